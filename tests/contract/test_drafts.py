"""The index against a naive search, and what it refuses."""

import zipfile
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.bundle import drafts
from contract.bundle.drafts import FILES, RUNS, SEPARATOR, build_index, open_index, within_limit, write_index
from contract.errors import BundleError

SEQUENCES = st.lists(st.lists(st.integers(0, 5), max_size=30), max_size=6)


def naive(sequences, run):
    """The next tokens that a run may be followed by: the most frequent ones."""
    counts = Counter(
        sequence[i + len(run)]
        for sequence in sequences
        for i in range(len(sequence) - len(run))
        if sequence[i : i + len(run)] == run
    )
    most = max(counts.values(), default=0)
    return {token for token, count in counts.items() if count == most}


@given(SEQUENCES, st.lists(st.integers(0, 6), min_size=1, max_size=6))
def test_the_longest_run_and_its_most_frequent_next_token(sequences, context):
    found, following = build_index(sequences).propose(context, 3)
    expected = next((run for run in RUNS if len(context) >= run and naive(sequences, context[-run:])), 0)
    assert found == expected
    if found:
        assert following[0] in naive(sequences, context[-found:])
        whole = [*context[-found:], *following]
        assert any(
            sequence[i : i + len(whole)] == whole for sequence in sequences for i in range(len(sequence))
        )  # a draft never runs from one file into the next


def test_a_large_index_loses_few_runs(tmp_path):
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 20_000, 60_000).tolist()
    write_index(build_index([tokens]), tmp_path)
    index = open_index(tmp_path)
    hits = sum(index.propose(tokens[i - 4 : i], 2)[0] == 4 for i in range(4, 60_000, 59))
    assert hits >= 0.99 * len(range(4, 60_000, 59))


def test_an_index_takes_whole_files_up_to_its_limit(monkeypatch):
    monkeypatch.setattr(drafts, "MAX_TOKENS", 7)
    sequences = [[1, 2], [3, 4, 5], [6], [7]]
    assert [taken.tolist() for taken in within_limit(sequences)] == sequences[:2]
    assert build_index(sequences).tokens.tolist() == [1, 2, int(SEPARATOR), 3, 4, 5, int(SEPARATOR)]


def test_no_index_and_broken_ones(tmp_path):
    assert open_index(tmp_path) is None
    write_index(build_index([[1, 2, 3, 4, 5, 6]]), tmp_path)
    np.save(tmp_path / "places-4.npy", np.zeros(3, np.uint32))
    with pytest.raises(BundleError, match="power of two"):
        open_index(tmp_path)
    np.save(tmp_path / "places-4.npy", np.zeros(4, np.float32))
    with pytest.raises(BundleError, match="float32"):
        open_index(tmp_path)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w"):  # numpy opens archives, too
        pass
    for content in (b"no array", b"", b"PK\x03\x04", (tmp_path / "archive.zip").read_bytes()):
        (tmp_path / "places-4.npy").write_bytes(content)
        with pytest.raises(BundleError, match=r"places-4\.npy"):
            open_index(tmp_path)


def test_a_file_that_claims_more_than_any_memory_is_refused(tmp_path):
    write_index(build_index([[1, 2, 3, 4, 5, 6]]), tmp_path)
    with (tmp_path / "tokens.npy").open("wb") as file:
        header = {"descr": "<u4", "fortran_order": False, "shape": (1 << 58,)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(BundleError, match=r"tokens\.npy can't be read"):
        open_index(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_larger_than_any_of_ours_is_not_read(tmp_path, name):
    write_index(build_index([[1, 2, 3, 4, 5, 6]]), tmp_path)
    with (tmp_path / name).open("r+b") as file:
        file.truncate(1 << 32)  # a hole, which takes no disk
    with pytest.raises(BundleError, match=rf"{name} holds more than"):
        open_index(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_without_one_of_its_files_there_is_no_index(tmp_path, name):
    write_index(build_index([[1, 2, 3, 4, 5, 6]]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    (tmp_path / name).unlink()
    assert open_index(tmp_path) is None


def test_an_index_stays_when_its_files_change(tmp_path):
    write_index(build_index([list(range(100_000))]), tmp_path)
    index = open_index(tmp_path)
    for name in FILES:
        (tmp_path / name).write_bytes(b"")  # as `cp` does at first
    assert index.propose([5, 6, 7, 8], 2) == (4, [9, 10])


def test_places_outside_the_tokens_are_no_match(tmp_path):
    write_index(build_index([[1, 2, 3, 4, 5, 6]]), tmp_path)
    np.save(tmp_path / "places-2.npy", np.full(4, 10**9, np.uint32))
    assert open_index(tmp_path).propose([1, 2], 3) == (0, [])
