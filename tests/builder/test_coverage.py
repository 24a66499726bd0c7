"""What an update reads first: windows that show most new lines."""

from hypothesis import given, settings
from hypothesis import strategies as st

from builder.corpus.corpus import SourceFile
from builder.coverage import CHARS_A_TOKEN, by_coverage
from builder.fim_examples import FimExample
from contract.prompt import PromptFormat

LINE = "value = compute(first, second)\n"
# Windows of five lines before the cursor's and two behind.
FIVE = PromptFormat(max_prefix_tokens=round(5 * len(LINE) / CHARS_A_TOKEN), prefix_step_tokens=1,
                    max_suffix_tokens=round(2 * len(LINE) / CHARS_A_TOKEN))  # fmt: skip
TINY = PromptFormat(max_prefix_tokens=1, prefix_step_tokens=1, max_suffix_tokens=0)


def file(path="a.py", lines=400):
    return SourceFile(path=path, language="Python", text=LINE * lines, sha256=path, split="calibration")


def at(line, source=None):
    return FimExample(file=source or file(), offset=line * len(LINE), middle=LINE[:-1])


def lines_of(drawn):
    return [example.offset // len(LINE) for example, _ in drawn]


def test_the_window_that_shows_most_comes_first_and_each_place_once():
    new = [10, 200, 201, 202, 203, 300, 302]
    order = lines_of(by_coverage([(at(line), FIVE) for line in new], seed=0))
    assert order[0] in (202, 203)  # shows all four
    assert set(order[1:3]) <= {10, 300, 302} and 10 in order[1:3]
    # Then all are shown, and it begins anew with those that are left.
    assert order[3] in (200, 201, 202, 203)
    assert sorted(order) == new


def test_a_long_window_counts_what_it_shows_and_a_short_one_too():
    drawn = [(at(20), TINY), (at(21), TINY), (at(22), FIVE)]
    assert lines_of(by_coverage(drawn, seed=0))[0] == 22


def test_files_are_apart():
    other = file("b.py")
    drawn = [(at(5), FIVE), (at(6, other), FIVE), (at(7, other), FIVE)]
    first, second, *_ = by_coverage(drawn, seed=0)
    assert (first[0].file.path, second[0].file.path) == ("b.py", "a.py")


def test_a_seed_decides_between_equals():
    drawn = [(at(20 * number), FIVE) for number in range(15)]
    orders = {tuple(lines_of(by_coverage(drawn, seed))) for seed in range(3)}
    assert len(orders) == 3
    assert lines_of(by_coverage(drawn, 0)) == lines_of(by_coverage(drawn, 0))


@given(st.lists(st.tuples(st.integers(0, 399), st.sampled_from([FIVE, TINY])), max_size=40), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_nothing_is_lost_or_doubled(places, seed):
    drawn = [(at(line), form) for line, form in places]
    assert sorted(lines_of(by_coverage(drawn, seed))) == sorted(line for line, _ in places)
