"""What an update reads first: windows that show most new lines."""

from hypothesis import given, settings
from hypothesis import strategies as st

from builder.corpus.corpus import SourceFile
from builder.coverage import CHARS_A_TOKEN, by_coverage
from builder.fim_examples import FimExample
from contract.prompt import PromptFormat
from testbed.tokenizer import FIM

LINE = "value = compute(first, second)\n"
LINE_TOKENS = len(LINE) / CHARS_A_TOKEN
FIVE = FIM.with_window(round(5 * LINE_TOKENS), round(2 * LINE_TOKENS))  # five lines before the cursor's, two behind
TINY = FIM.with_window(1, 0)


def file(path="a.py", lines=400):
    return SourceFile(path=path, language="Python", text=LINE * lines, sha256=path, split="calibration")


def at(line, source=None):
    return FimExample(file=source or file(), offset=line * len(LINE), middle=LINE[:-1])


def lines_of(drawn):
    return [example.offset // len(LINE) for example, _ in drawn]


def test_the_window_that_shows_most_comes_first_and_each_line_is_shown():
    new = [10, 200, 201, 202, 203, 300, 302]
    order = lines_of(by_coverage([(at(line), FIVE) for line in new], seed=0))
    assert order[0] in (202, 203)  # shows all four
    assert set(order[1:]) <= {10, 300, 302} and 10 in order[1:]
    assert len(order) == 3  # then all are shown


def test_a_long_window_counts_what_it_shows_and_a_short_one_too():
    drawn = [(at(20), TINY), (at(21), TINY), (at(22), FIVE), (at(100), FIVE), (at(101), FIVE), (at(102), TINY)]
    for seed in range(5):
        order = lines_of(by_coverage(drawn, seed))
        assert set(order[:2]) == {22, 101} or set(order[:2]) == {22, 100}  # each shows three
        assert 102 not in order[:2]  # shows one


def test_a_base_that_sees_only_what_is_before_the_cursor_is_shown_nothing_behind_it():
    plain = PromptFormat().with_window(round(5 * LINE_TOKENS), round(2 * LINE_TOKENS))
    for seed in range(5):
        assert lines_of(by_coverage([(at(20), plain), (at(21), plain), (at(22), plain)], seed))[0] == 22


def test_files_are_apart():
    other = file("b.py")
    drawn = [(at(5), FIVE), (at(6, other), FIVE), (at(7, other), FIVE)]
    first, second, *_ = by_coverage(drawn, seed=0)
    assert (first[0].file.path, second[0].file.path) == ("b.py", "a.py")


def test_a_large_new_file_does_not_take_all_windows():
    large, small = file("large.py", lines=4000), file("small.py")
    drawn = [(at(line, large), FIVE) for line in range(0, 4000, 7)] + [(at(50, small), TINY)]
    order = [example.file.path for example, _ in by_coverage(drawn, seed=0)]
    assert order.index("small.py") <= 5


def test_a_seed_decides_between_equals():
    drawn = [(at(20 * number), FIVE) for number in range(15)]
    orders = {tuple(lines_of(by_coverage(drawn, seed))) for seed in range(3)}
    assert len(orders) == 3
    assert lines_of(by_coverage(drawn, 0)) == lines_of(by_coverage(drawn, 0))


@given(st.lists(st.tuples(st.integers(0, 399), st.sampled_from([FIVE, TINY])), max_size=40), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_every_line_is_shown_and_no_window_is_in_vain(places, seed):
    drawn = [(at(line), form) for line, form in places]
    left = {line for line, _ in places}
    for example, form in by_coverage(drawn, seed):
        line = example.offset // len(LINE)
        before, behind = (5, 2) if form is FIVE else (0, 0)
        shown = left & set(range(line - before, line + behind + 1))
        assert shown
        left -= shown
    assert not left
