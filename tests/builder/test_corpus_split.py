"""The split: stable by text, the right shares, no near-copy of a learned file in held-out."""

from __future__ import annotations

import hashlib
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from builder.corpus import split
from builder.corpus.duplicates import COMMON_FILES, EVERY_FILE, evidence_lines, find_near_files
from builder.corpus.split import Split, SplitCandidate, SplitResult, split_by_hash, split_by_origin, split_files


def make_candidate(lines: list[str], language: str = "Python") -> SplitCandidate:
    text = "\n".join(lines) + "\n"
    return SplitCandidate(text=text, language=language, sha256=hashlib.sha256(text.encode()).hexdigest())


def make_file(seed: object, line_count: int = 30) -> list[str]:
    """Lines that no other seed has."""
    return [f"value_{seed}_{line} = compute_{line}(argument_{seed})" for line in range(line_count)]


def split_of(result: SplitResult, candidates: list[SplitCandidate]) -> dict[str, Split]:
    return {candidate.sha256: where for candidate, where in zip(candidates, result.splits, strict=True)}


def is_near(first: SplitCandidate, second: SplitCandidate) -> bool:
    """Independent of the index: plain sets of stripped lines, for files whose lines are all evidence."""
    lines = set(first.text.split("\n")) - {""}
    return len(lines & set(second.text.split("\n"))) >= 0.5 * len(lines)


def test_the_shares_are_those_that_are_promised() -> None:
    splits = [split_by_hash(hashlib.sha256(str(number).encode()).hexdigest()) for number in range(20_000)]
    assert abs(splits.count("held-out") / 20_000 - 0.20) < 0.01
    assert abs(splits.count("validation") / 20_000 - 0.08) < 0.01


@given(st.binary())
def test_a_file_is_split_by_its_hash_alone(content: bytes) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    number = int(sha256, 16) / 2**256
    expected = "held-out" if number < 0.2 else "validation" if number < 0.28 else "calibration"
    assert split_by_hash(sha256) == expected


def test_files_keep_their_split_when_others_come_and_go() -> None:
    candidates = [make_candidate(make_file(seed)) for seed in range(200)]
    everything = split_of(split_files(candidates), candidates)
    fewer = [candidate for index, candidate in enumerate(candidates) if index % 3]
    assert split_of(split_files(fewer), fewer).items() <= everything.items()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=12, unique=True), min_size=1, max_size=40), st.randoms()
)
def test_no_scored_file_is_near_a_learned_one(files: list[list[int]], order: random.Random) -> None:
    """Files drawn from few lines, so that they overlap in all ways; the outcome holds whatever their order is."""
    by_hash = {}
    for numbers in files:
        candidate = make_candidate([f"shared_line_number_{number} = {number}" for number in numbers])
        by_hash[candidate.sha256] = candidate
    candidates = list(by_hash.values())
    splits = split_of(split_files(candidates), candidates)
    for first in candidates:
        for second in candidates:
            if first is second or not is_near(first, second):
                continue
            if splits[first.sha256] == "held-out":
                assert splits[second.sha256] == "held-out"
            if splits[first.sha256] == "validation":
                assert splits[second.sha256] != "calibration"
    shuffled = list(candidates)
    order.shuffle(shuffled)
    assert split_of(split_files(shuffled), shuffled) == splits


def test_a_near_copy_of_a_learned_file_leaves_held_out() -> None:
    originals = [make_candidate(make_file(seed)) for seed in range(100)]
    candidates = list(originals)
    learned = [one for one in originals if split_by_hash(one.sha256) == "calibration"]
    copies: dict[str, str] = {}  # copy → original
    for number, original in enumerate(learned):
        copy = make_candidate([*original.text.split("\n")[:16], *make_file(f"copy{number}", 14)])
        if split_by_hash(copy.sha256) == "held-out":
            copies[copy.sha256] = original.sha256
            candidates.append(copy)
    assert copies
    result = split_files(candidates)
    splits = split_of(result, candidates)
    assert all(splits[copy] == splits[original] != "held-out" for copy, original in copies.items())
    assert "held-out" in splits.values()
    assert result.near_duplicates_moved == len(copies)


def test_a_template_in_more_files_than_are_counted_is_still_no_held_out_file() -> None:
    template = make_file("template")
    candidates = [make_candidate([*template, f"own_line_of_file_{seed} = {seed}"]) for seed in range(COMMON_FILES + 30)]
    candidates += [make_candidate(make_file(seed)) for seed in range(60)]
    splits = split_files(candidates).splits
    assert set(splits[: COMMON_FILES + 30]) == {"calibration"}
    assert "held-out" in splits[COMMON_FILES + 30 :]


def test_what_comes_from_elsewhere_is_held_out_but_for_near_copies() -> None:
    own = [make_candidate(make_file(seed)) for seed in range(100)]
    foreign = [make_candidate(make_file(f"foreign{seed}")) for seed in range(30)]
    copy = make_candidate([*make_file(3), *make_file("a few lines", 3)])
    candidates = [*own, *foreign, copy]
    result = split_by_origin(candidates, [False] * 100 + [True] * 31)
    assert result.near_duplicates_moved == 1
    assert set(result.splits[100:130]) == {"held-out"}
    assert set(result.splits[:100]) == {"calibration", "validation"}
    assert result.splits[-1] == "calibration"


def test_what_comes_from_elsewhere_leaves_enough_to_validate_on() -> None:
    """Chance gives validation no file where there are few, and the bounds some."""
    own = [make_candidate(make_file(seed)) for seed in range(200)]
    unlucky = [one for one in own if split_by_hash(one.sha256) != "validation"][:20]
    foreign = [make_candidate(make_file("foreign"))]
    result = split_by_origin([*unlucky, *foreign], [False] * 20 + [True])
    assert 1 <= result.splits.count("validation") <= 4
    assert result.splits[-1] == "held-out"


def test_nearness_is_containment_of_distinct_lines() -> None:
    small = evidence_lines("\n".join(make_file("a", 10)), "Python")
    large = evidence_lines("\n".join([*make_file("a", 10), *make_file("b", 90)]), "Python")
    assert find_near_files([small, large]) == [frozenset({1}), frozenset()]
    common = [evidence_lines("\n".join(make_file("c", 3)), "Python")] * (COMMON_FILES + 1)
    assert find_near_files(common)[0] == {EVERY_FILE}


def test_comments_white_space_and_brackets_are_no_evidence() -> None:
    assert not evidence_lines("# A licence that all files carry.\n\n}\n    else:\n        return x\n", "Python")
    assert not evidence_lines("/* A licence\n * that all files carry.\n */\n// and more words\n", "JavaScript")
    assert evidence_lines("value = compute( 1 )", "Python") == evidence_lines("    value  =  compute( 1 )", "Python")


def test_documents_are_never_scored_and_still_pull_code_out_of_held_out() -> None:
    documents = [make_candidate(make_file(seed), "Markdown") for seed in range(50)]
    assert set(split_files(documents).splits) == {"calibration"}
    code = [make_candidate([*make_file(seed), "# the same as code"]) for seed in range(50)]
    assert set(split_files([*documents, *code]).splits) == {"calibration"}


def find_small_repository(wanted: set[Split], count: int) -> list[SplitCandidate]:
    """Files whose hashes all lie in the wanted splits."""
    found: list[SplitCandidate] = []
    seed = 0
    while len(found) < count:
        candidate = make_candidate(make_file(f"small{seed}"))
        seed += 1
        if split_by_hash(candidate.sha256) in wanted:
            found.append(candidate)
    return found


def test_a_split_that_chance_left_empty_is_filled() -> None:
    candidates = find_small_repository({"calibration"}, 10)
    by_hash = [where for _, where in sorted(split_of(split_files(candidates), candidates).items())]
    assert by_hash[:2] == ["held-out", "held-out"]  # the lowest hashes: a tenth of the bytes is a little over one file
    assert by_hash[2] == "validation"
    assert set(by_hash[3:]) == {"calibration"}


def test_a_split_that_chance_made_too_large_is_cut() -> None:
    splits = split_files(find_small_repository({"held-out"}, 20)).splits
    assert splits.count("held-out") == 8
    assert splits.count("validation") == 1


def test_near_copies_move_together() -> None:
    originals = find_small_repository({"calibration"}, 5)
    copies = [
        make_candidate([*one.text.split("\n")[:-1], f"last_line_of_{index} = 0"]) for index, one in enumerate(originals)
    ]
    splits = split_files([*originals, *copies]).splits
    assert splits[:5] == splits[5:]
    assert splits[:5].count("held-out") == 1


def fill_slowly(splits: list[Split], into: Split, bounds: split.Bounds, files: list[split._File]) -> None:
    """`_fill` without its early stops. Splits are kept over versions, so both must agree on every repository."""
    code_bytes = sum(file.size for file in files)
    taken = sum(file.size for file, where in zip(files, splits, strict=True) if where == into)
    for share in (bounds.group_share, bounds.most_share):
        for index in sorted(range(len(files)), key=lambda index: files[index].sha256):
            if taken >= bounds.least_share * code_bytes:
                return
            group = {index}
            while more := {other for member in group for other in files[member].near} - group - {EVERY_FILE}:
                group |= more
            if not all(files[one].may_be_scored and splits[one] in ("calibration", into) for one in group):
                continue
            size = sum(files[member].size for member in group if splits[member] == "calibration")
            if 0 < size <= share * code_bytes and taken + size <= bounds.most_share * code_bytes:
                for member in group:
                    splits[member] = into
                taken += size


def describe(sizes: list[int], near: list[set[int]], is_scored: list[bool]) -> list[split._File]:
    return [
        split._File(
            size=size, sha256=hashlib.sha256(b"%d" % index).hexdigest(), near=frozenset(others), may_be_scored=scored
        )
        for index, (size, others, scored) in enumerate(zip(sizes, near, is_scored, strict=True))
    ]


@settings(deadline=None, max_examples=500)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 20),
            st.sets(st.integers(0, 15), max_size=3),
            st.integers(0, 19),
            st.sampled_from(("calibration", "calibration", "calibration", "calibration", "validation", "held-out")),
        ),
        min_size=1,
        max_size=16,
    ),
    st.sampled_from(
        (
            *split._BOUNDS.values(),
            split.Bounds(least_share=0.9, most_share=0.95, group_share=0.2),
            split.Bounds(least_share=0.5, most_share=0.6, group_share=0.3),
        )
    ),
    st.sampled_from(("held-out", "validation")),
)
def test_a_split_is_filled_as_if_all_that_each_file_reaches_were_found(
    drawn: list[tuple[int, set[int], int, Split]], bounds: split.Bounds, into: Split
) -> None:
    near = [
        {other % len(drawn) for other in others} - {index} | ({EVERY_FILE} if chance == 0 else set())
        for index, (_, others, chance, _) in enumerate(drawn)
    ]
    files = describe([size for size, *_ in drawn], near, [chance > 1 for _, _, chance, _ in drawn])
    splits, expected = [where for *_, where in drawn], [where for *_, where in drawn]
    split._fill(splits, into, bounds, files)
    fill_slowly(expected, into, bounds, files)
    assert splits == expected
