"""The trivial baselines: they find what the text repeats, and look at nothing beyond the cursor."""

import random
from collections import Counter, defaultdict

from builder.corpus.corpus import SourceFile
from builder.evaluation import baselines
from builder.evaluation.baselines import _WORD, NGram, complete_by_similar_line
from builder.fim_examples import FimExample


def example_at(text, mark="▏"):
    offset = text.index(mark)
    text = text.replace(mark, "")
    middle = text[offset:].split("\n", 1)[0]
    file = SourceFile(path="a.py", language="Python", text=text, sha256="0", split="held-out")
    return FimExample(file=file, offset=offset, middle=middle)


def source(text, path="b.py"):
    return SourceFile(path=path, language="Python", text=text, sha256="1", split="calibration")


def test_the_nearest_line_that_begins_alike_is_continued():
    text = "self.name = far\nx = 1\n    self.name = near\nself.na▏me = other\n"
    assert complete_by_similar_line(example_at(text)) == "me = near"


def test_an_empty_line_follows_the_last_line_s_twin():
    text = "open()\n    read()\nclose()\nopen()\n    ▏write()\n"
    assert complete_by_similar_line(example_at(text)) == "read()"


def test_no_line_alike_gives_nothing():
    assert complete_by_similar_line(example_at("alpha\nbe▏ta\nbeta\n")) == ""


def test_the_n_gram_repeats_what_calibration_files_say():
    model = NGram.of([source("for item in items:\n    print(item)\n")])
    assert model.complete(example_at("for item▏ x")) == " in items:"


def test_the_text_before_the_cursor_comes_first():
    model = NGram.of([source("call(alpha)\n")])
    assert model.complete(example_at("call(beta)\ncall(▏gamma)")) == "beta)"


def test_what_stands_after_the_cursor_is_not_read():
    model = NGram.of([])
    assert model.complete(example_at("unknown▏(secret)\nunknown(secret)\n")) == ""


def test_the_n_gram_knows_what_counting_each_context_gives():
    """Against counters of whole contexts, with ties, over several files."""
    draw = random.Random(0)
    texts = [" ".join(draw.choice("abcd") for _ in range(draw.randrange(40))) for _ in range(20)]
    model = NGram.of(map(source, texts, map(str, range(20))), order=4)
    following = defaultdict(Counter)
    for text in texts:
        words = _WORD.findall(text)
        for index in range(1, len(words)):
            for length in range(1, min(4, index) + 1):
                following[tuple(words[index - length : index])][words[index]] += 1
    assert {context: model._known(context) for context in following} == {
        context: counts.most_common(1)[0][0] for context, counts in following.items()
    }
    assert model._known(("e", " ")) is None


def test_the_n_gram_of_a_large_repository_knows_all_folders(monkeypatch):
    monkeypatch.setattr(baselines, "MOST_WORDS", 20)
    files = [source(f"word_{number:02}", f"services/{number:02}/main.py") for number in range(40)]
    assert NGram.of(files[:20]).words != NGram.of(files).words
    assert len(NGram.of(files).words) == 20
    assert sum(word >= "word_20" for word in NGram.of(files).words) > 5
