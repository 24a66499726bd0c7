"""Splits that follow earlier ones: held out stays held out, whatever a file is called and wherever its code goes."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from builder.corpus.corpus import Corpus, SourceFile
from builder.corpus.following import Known, PastText, changed_since, follow, know
from builder.corpus.split import split_by_hash


def text(number: int, lines: int = 20) -> str:
    rng = random.Random(number)
    return "".join(f"value_{rng.randrange(10**9)} = compute_{rng.randrange(10**9)}(argument)\n" for _ in range(lines))


def corpus(texts: dict[str, str], splits: dict[str, str] | None = None) -> Corpus:
    """As read: the splits are what a first build would choose, here of no importance."""
    files = [
        SourceFile(
            path=path,
            language="Python",
            text=content,
            sha256=hashlib.sha256(content.encode()).hexdigest(),
            split=(splits or {}).get(path, "calibration"),  # type: ignore[arg-type]
        )
        for path, content in sorted(texts.items())
    ]
    return Corpus(
        root=Path(), files=tuple(files), skipped={}, secret_lines={}, near_duplicates_moved=0, listed_by="walk"
    )


def splits_of(followed) -> dict[str, str]:
    return {file.path: file.split for file in followed.corpus.files}


BEFORE = {"a.py": text(1), "b.py": text(2), "c.py": text(3)}
KNOWN = know(corpus(BEFORE, {"a.py": "held-out", "b.py": "validation"}))


def new_text(split: str) -> str:
    """A text whose hash gives it this split."""
    texts = map(text, range(100, 1000))
    return next(one for one in texts if split_by_hash(hashlib.sha256(one.encode()).hexdigest()) == split)


def near_copy(content: str) -> str:
    """The text with two lines more, and with a hash by which it is learned from."""
    copies = (content + text(number, 2) for number in range(100, 1000))
    return next(one for one in copies if split_by_hash(hashlib.sha256(one.encode()).hexdigest()) == "calibration")


def test_known_files_keep_their_splits_and_only_changed_texts_are_fresh():
    followed = follow(corpus(BEFORE | {"c.py": text(4)}), KNOWN, {})
    assert splits_of(followed) == {"a.py": "held-out", "b.py": "validation", "c.py": "calibration"}
    assert followed.fresh == {"c.py"}
    assert [file.path for file in followed.fresh_to_learn] == ["c.py"]


def test_a_validation_file_is_learned_from_once_a_learned_file_has_become_like_it():
    learned = new_text("calibration")
    known = know(corpus({"b.py": learned, "v.py": text(7)}, {"b.py": "validation", "v.py": "validation"}))
    like = {"b.py": learned, "v.py": text(7), "new.py": near_copy(learned)}
    assert splits_of(follow(corpus(like), known, {})) == {
        "b.py": "calibration",
        "v.py": "validation",
        "new.py": "calibration",
    }


def test_the_last_validation_file_stays():
    known = know(corpus({"b.py": text(8)}, {"b.py": "validation"}))
    followed = follow(corpus({"b.py": text(8), "new.py": near_copy(text(8))}), known, {})
    assert splits_of(followed)["b.py"] == "validation"


def test_the_last_validation_file_stays_though_the_text_of_another_is_past():
    texts = {"c.py": text(1), "h.py": text(2), "v.py": text(3), "w.py": text(4)}
    known = know(corpus(texts, {"h.py": "held-out", "v.py": "validation", "w.py": "validation"}))
    now = {"c.py": text(1) + text(3), "h.py": text(2), "v.py": text(3)}
    past = [PastText(language="Python", text=texts["w.py"], split="validation")]
    assert splits_of(follow(corpus(now), known, {}, past))["v.py"] == "validation"


def test_a_held_out_file_that_changes_stays_held_out():
    followed = follow(corpus(BEFORE | {"a.py": text(1) + text(5)}), KNOWN, {})
    assert splits_of(followed)["a.py"] == "held-out"
    assert followed.fresh == {"a.py"}
    assert not followed.fresh_to_learn


def test_a_renamed_file_is_known_by_its_text_and_a_changed_one_by_git():
    moved = {"x/z.py": BEFORE["a.py"], "b.py": BEFORE["b.py"], "c.py": BEFORE["c.py"]}
    assert splits_of(follow(corpus(moved), KNOWN, {}))["x/z.py"] == "held-out"
    edited = moved | {"x/z.py": text(1, 18) + text(6, 2)}
    assert splits_of(follow(corpus(edited), KNOWN, {"x/z.py": "a.py"}))["x/z.py"] == "held-out"


def test_a_file_that_was_learned_before_its_renaming_was_committed_is_not_held_out_again():
    known = Known(paths={**KNOWN.paths, "z.py": "calibration"}, texts=KNOWN.texts)
    assert KNOWN.paths["a.py"] == "held-out"
    edited = {"z.py": text(1, 18) + text(6, 2), "b.py": BEFORE["b.py"], "c.py": BEFORE["c.py"]}
    assert splits_of(follow(corpus(edited), known, {"z.py": "a.py"}))["z.py"] == "calibration"


def test_new_files_are_split_by_their_hash():
    for split in ("calibration", "validation", "held-out"):
        followed = follow(corpus(BEFORE | {"new.py": new_text(split)}), KNOWN, {})
        assert splits_of(followed)["new.py"] == split


def test_a_new_copy_of_a_learned_file_is_not_held_out():
    held_out = new_text("held-out")
    followed = follow(corpus(BEFORE | {"c.py": held_out + text(7, 5), "new.py": held_out}), KNOWN, {})
    assert splits_of(followed)["new.py"] == "calibration"


def test_a_new_file_of_code_that_was_learned_under_another_path_is_not_held_out():
    """Half of b.py moved to d.py; b.py as it was learned is gone."""
    lines = BEFORE["b.py"].splitlines(keepends=True)
    moved = next(
        one
        for one in ("".join(random.Random(seed).sample(lines, 10)) for seed in range(100))
        if split_by_hash(hashlib.sha256(one.encode()).hexdigest()) == "held-out"
    )
    now = corpus({**BEFORE, "b.py": "".join(line for line in lines if line not in moved), "d.py": moved})
    assert splits_of(follow(now, KNOWN, {}))["d.py"] == "held-out", "nothing else is known of it"
    assert changed_since(now, KNOWN) == ["b.py"]
    followed = follow(now, KNOWN, {}, [PastText(language="Python", text=BEFORE["b.py"], split="validation")])
    assert splits_of(followed)["d.py"] == "calibration"
    assert len(followed.corpus.files) == 4


def test_a_new_file_of_code_that_was_held_out_under_another_path_is_held_out():
    """a.py was renamed and edited, which git doesn't know before it is committed; or most of it moved to d.py."""
    lines = BEFORE["a.py"].splitlines(keepends=True)
    moved = next(
        one
        for one in ("".join(random.Random(seed).sample(lines, 12)) + text(40, 3) for seed in range(100))
        if split_by_hash(hashlib.sha256(one.encode()).hexdigest()) == "calibration"
    )
    now = corpus({"b.py": BEFORE["b.py"], "c.py": BEFORE["c.py"], "d.py": moved})
    assert splits_of(follow(now, KNOWN, {}))["d.py"] == "calibration", "nothing else is known of it"
    assert changed_since(now, KNOWN) == ["a.py"]
    past = [PastText(language="Python", text=BEFORE["a.py"], split="held-out")]
    followed = follow(now, KNOWN, {}, past)
    assert splits_of(followed)["d.py"] == "held-out"
    assert splits_of(follow(corpus({**BEFORE, "d.py": moved + text(41)}), followed.known, {}))["d.py"] == "held-out"
    copied = follow(corpus({"b.py": BEFORE["b.py"], "c.py": moved}), KNOWN, {}, past)
    assert "c.py" not in splits_of(copied), "it was learned from as it was: what it holds now is set aside"


def test_a_new_file_of_code_that_is_held_out_is_held_out():
    """Most of a.py, which is there unchanged, was copied to d.py."""
    copied = next(
        one
        for one in ("".join(text(1).splitlines(keepends=True)[:9]) + text(seed, 3) for seed in range(200, 300))
        if split_by_hash(hashlib.sha256(one.encode()).hexdigest()) == "calibration"
    )
    assert splits_of(follow(corpus(BEFORE | {"d.py": copied}), KNOWN, {}))["d.py"] == "held-out"


def test_held_out_code_that_was_copied_into_a_learned_file_is_not_learned():
    followed = follow(corpus(BEFORE | {"c.py": BEFORE["c.py"] + BEFORE["a.py"]}), KNOWN, {})
    assert splits_of(followed) == {"a.py": "held-out", "b.py": "validation"}
    assert followed.set_aside == 1
    again = follow(corpus(BEFORE | {"c.py": BEFORE["c.py"] + BEFORE["a.py"]}), followed.known, {})
    assert "c.py" not in splits_of(again), "unchanged, it still holds what is held out"
    freed = follow(corpus({"b.py": BEFORE["b.py"], "c.py": BEFORE["c.py"] + BEFORE["a.py"]}), followed.known, {})
    assert [file.path for file in freed.fresh_to_learn] == ["c.py"], "what it was a copy of is gone"


def test_a_held_out_file_that_became_a_copy_of_a_learned_one_is_not_scored_and_not_learned():
    followed = follow(corpus(BEFORE | {"a.py": BEFORE["c.py"] + text(8, 3)}), KNOWN, {})
    assert splits_of(followed) == {"b.py": "validation", "c.py": "calibration"}
    assert followed.known.paths["a.py"] == "held-out"
    apart = follow(corpus(BEFORE | {"a.py": text(9)}), followed.known, {})
    assert splits_of(apart)["a.py"] == "held-out"


def test_what_was_set_aside_and_not_read_is_no_more_learned_than_before():
    known = Known(paths={"d.py": "aside"}, texts={"d": "aside", "e": "held-out"})
    later = Known(paths={"d.py": "calibration", "f.py": "calibration"}, texts={"d": "calibration", "f": "calibration"})
    unread = [replace(corpus({f"{name}.py": ""}).files[0], sha256=name) for name in "df"]
    assert later.without(unread, known) == Known(paths={"d.py": "aside"}, texts={"d": "aside"})


def test_of_a_refused_update_only_what_it_held_out_is_known():
    known = Known(paths={"a.py": "calibration"}, texts={"a": "calibration"})
    later = Known(paths={"b.py": "held-out", "c.py": "validation"}, texts={"b": "held-out", "c": "validation"})
    assert known.with_held_out(later) == Known(
        paths={"a.py": "calibration", "b.py": "held-out"}, texts={"a": "calibration", "b": "held-out"}
    )


def test_a_file_that_comes_back_is_known_still():
    without = follow(corpus({"b.py": BEFORE["b.py"], "c.py": BEFORE["c.py"]}), KNOWN, {})
    back = follow(corpus(BEFORE), without.known, {})
    assert splits_of(back)["a.py"] == "held-out"
    assert not back.fresh


@given(
    st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 30), min_size=1), min_size=1, max_size=6),
    st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["calibration", "validation", "held-out"])),
)
def test_no_text_is_ever_both_learned_and_held_out(trees, first_splits):
    """Whatever files come, go, change and are copied, over several updates."""

    def read(tree: dict[str, int], splits=None) -> Corpus:
        return corpus({path: text(number, 6) for number, path in {n: p for p, n in tree.items()}.items()}, splits)

    known = know(read(trees[0], first_splits))
    learned = {text for text, place in known.texts.items() if place != "held-out"}
    held_out = {text for text, place in known.texts.items() if place == "held-out"}
    for tree in trees[1:]:
        followed = follow(read(tree), known, {})
        known = followed.known
        learned |= {file.sha256 for file in followed.corpus.learned}
        held_out |= {file.sha256 for file in followed.corpus.files if file.split == "held-out"}
        assert not learned & held_out
        for path in {path for path, place in known.paths.items() if place == "held-out"} & set(tree):
            assert path not in {file.path for file in followed.corpus.learned}
