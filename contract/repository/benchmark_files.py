"""Files of benchmarks, known by their content: HumanEval, MBPP, MultiPL-E and SAFIM never calibrate or tune a model.

A model that has seen them scores too well on them, so that every comparison with it is void. What is caught:

- HumanEval: one problem with its docstring anywhere in a file, in Python or in a translation that keeps the English
  (MultiPL-E, HumanEval-X), also under another name; five of its functions in one file, without their docstrings; its
  tests. The hashes beside this module are of 8-word runs; three distinct ones make a hit.
- MBPP: its JSON; two of its sentences ("Write a function to …") in a file that asserts; one, where an assertion follows
  it in the docstring, or the words of the usual prompt.
- MultiPL-E and SAFIM: their JSON; MultiPL-E's programs that test a `candidate`.

What is not: one MBPP sentence, or a solution, on its own; HumanEval's docstrings of one short sentence where neither
the function's name nor the examples are kept (21 of 164), or in a translation (10), or at all (`modp`); reworded
problems; a SAFIM program outside its JSON, which is somebody's ordinary code.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from contract.repository.fingerprints import Fingerprints, load_fingerprints, read_words

HUMANEVAL_FILE = Path(__file__).with_name("humaneval_fingerprints.npz")  # benchmarks/make_fingerprints.py makes it

MIN_RUNS = 3  # ten words in a row; in 54,000 files of libraries there were never more than two
MIN_NAMES = 5  # any program may have one or two functions that are called alike
MIN_TESTS = 3
MIN_TASKS = 2  # sentences of MBPP in a file that asserts
MANY_TASKS = 10  # and in one that does not: a list of exercises has fewer, or words them otherwise

_DEFINITION = re.compile(
    r"""\b(?:def|function|func|fun|fn|sub|defn|define|let|rec|const|var|val)[ \t]+\(?(\w+)
      | ^[ \t]*(\w+)[ \t]*(?:<-|=|::)
      | \b(?!(?:return|await|else|in|not|and|or|new|assert|yield|if|while)\b)
        \w+[>\]*&?]*[ \t]+[*&]?(\w+)\([^;\n]{0,300}$""",
    re.VERBOSE | re.MULTILINE,
)

_CHECK = re.compile(r"(?:^|\\n|[\"'])def check\(candidate\):", re.MULTILINE)

_TASK = re.compile(r"[Ww]rite a (?:python )?function (?:to|that|which|for|of) [^\n\"\\]{8,}")
_TASK_LEAD = re.compile(
    r"""(?:^|\\n|task:|["'`])[ \t]*+(?:(?:\#+|/{2,}|/?\*+|-{2,}|;+|%+)[ \t]*+)?+(?:["'`]{1,3}+[ \t]*+)?+$""", re.VERBOSE
)
_LEAD_CHARS = 100
# What stands by the sentence in prompts made of MBPP; a line end may be written out, as in a string of JSON.
_TESTS_BELOW = re.compile(
    r"\"?(?:\n|\\n)[ \t]*(?:[#/*;%-]+[ \t]*)?(?:assert |[Yy]our code should (?:pass|satisfy) these tests)"
)
_TESTS_BESIDE = re.compile(r"[Yy]our code should (?:pass|satisfy) these tests")
_ASSERTION = re.compile(r"(?:\b|\\n)assert\w*[ (.!]")

# Both are asked for: `candidate` is a common name, but seldom another name of a function, and that called in tests.
_CANDIDATE_BOUND = re.compile(
    r"""\bcandidate[ \t]*(?::=|<-|=)[ \t]*(?:[\\&]{0,2}\w+|method\(:\w+\))[ \t]*+(?:;[ \t]*+)?+(?:$|\\n)
      | \bcandidate\(\)[ \t]*\{ | \bfunction[ ]candidate\(\.\.\. | \([ ]?candidate[ ][\w-]+\)""",
    re.VERBOSE | re.MULTILINE,
)
_CANDIDATE_TESTED = re.compile(
    r"""(?:assert|check|expect|@test|eq_deeply|actual|identical\(|if[ ]\()[^\n]{0,60}?\bcandidate(?:\(|->\(|\.call\()
      | (?:\[\[[ ]"?\$|check-\w+[ ]|equal\?[ ]|\(=[ ])\(candidate[ ]""",
    re.VERBOSE,
)


def find_benchmark(text: str) -> str | None:
    """The benchmark that a file with this text comes from, or None. The time is linear in the text."""
    if _is_multipl_e(text):
        return "MultiPL-E"
    if _is_safim(text):
        return "SAFIM"
    if _is_humaneval(text):  # before MBPP: some of its docstrings begin in the same words
        return "HumanEval"
    if _is_mbpp(text):
        return "MBPP"
    return None


def _is_humaneval(text: str) -> bool:
    return _holds_humaneval_tests(text) or holds_problems(text, _load_humaneval())


@cache
def _load_humaneval() -> Fingerprints:
    return load_fingerprints(HUMANEVAL_FILE)


def holds_problems(text: str, known: Fingerprints) -> bool:
    """Whether a text has the words of a known problem, or defines several of the known functions."""
    words = read_words(text)
    if known.runs.count(words.hash_runs()) >= MIN_RUNS:
        return True
    if known.names.count(words.hashes) < MIN_NAMES:
        return False
    defined = "\n".join("".join(names) for names in _DEFINITION.findall(text))
    return known.names.count(read_words(defined).hashes) >= MIN_NAMES


def _holds_humaneval_tests(text: str) -> bool:
    return text.count("candidate(") >= MIN_TESTS and "assert " in text and _CHECK.search(text) is not None


def _is_mbpp(text: str) -> bool:
    has_task = _has_keys(text, "test_list", "task_id", "code") and "assert " in text
    if has_task and (_has_keys(text, "text") or _has_keys(text, "prompt")):
        return True
    if "rite a " not in text:
        return False
    tasks = [match for match in _TASK.finditer(text) if _opens_text(text, match.start())]
    if any(_TESTS_BELOW.match(text, task.end()) or _TESTS_BESIDE.search(task[0]) for task in tasks):
        return True
    distinct = len({task[0] for task in tasks})
    return distinct >= MANY_TASKS or (distinct >= MIN_TASKS and len(_ASSERTION.findall(text)) >= distinct)


def _opens_text(text: str, position: int) -> bool:
    """Whether a docstring, a comment or a string starts at a position, not prose that goes on."""
    return _TASK_LEAD.search(text[max(0, position - _LEAD_CHARS) : position].rpartition("\n")[2]) is not None


def _is_multipl_e(text: str) -> bool:
    if _has_keys(text, "stop_tokens", "doctests", "name", "language", "prompt", "tests"):
        return True
    if text.count("candidate") < MIN_TESTS or _CANDIDATE_BOUND.search(text) is None:
        return False
    return len(_CANDIDATE_TESTED.findall(text)) >= MIN_TESTS


def _is_safim(text: str) -> bool:
    if not _has_keys(text, "eval_prompt", "ground_truth", "unit_tests", "task_id"):
        return False
    marks = ("block_completion_", "control_completion_", "api_completion_", "{{completion}}", "# TODO: Your code here")
    return any(mark in text for mark in marks)


def _has_keys(text: str, *keys: str) -> bool:
    """Whether each is a key of JSON, or of a dict literal, somewhere in the text."""
    return all(key in text for key in keys) and all(re.search(rf"[\"']{key}\\?[\"']\s*:", text) for key in keys)
