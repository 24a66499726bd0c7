"""Files of benchmarks stay out of the corpus, whatever they are called; ordinary code does not.

No benchmark is kept here: problems are invented, but for a few sentences that are quoted all over the web.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.corpus.corpus import read_corpus
from contract.repository.benchmark_files import MANY_TASKS, MIN_NAMES, find_benchmark, holds_problems
from contract.repository.file_filters import reason_by_text
from contract.repository.fingerprints import RUN_WORDS, load_fingerprints, read_words
from contract.repository.languages import get_language
from testbed.fingerprints import make_fingerprints, save_fingerprints

ROOT = Path(__file__).parents[2]
SWAPPED = """
    list lists array arrays vector vectors slice slices sequence table tables tuple tuples pair dict dictionary
    dictionaries map object hash hashmap none null nil undefined nothing true false
"""

# The first sentence of HumanEval's first problem, and two of MBPP.
CLOSE = "Check if in given list of numbers, are any two numbers closer to each other than given threshold."
SIMILAR = "Write a function to find the similar elements from the given two tuple lists."
NON_PRIME = "Write a python function to identify non-prime numbers."

ORDINARY = "".join(f"def step_{n}(state, delta):\n    return state.advance(delta, {n})\n\n\n" for n in range(300))


def paste(text: str, host: str = ORDINARY) -> str:
    """The text in the middle of an ordinary file."""
    middle = host.index("\n\n\n", len(host) // 2) + 3
    return host[:middle] + text + "\n\n\n" + host[middle:]


def naive_words(text: str) -> list[str]:
    parted = re.sub(r"\\[nrt]", lambda match: "\\ ", text)
    words = [word.replace("_", "").lower() for word in re.findall(r"[A-Za-z0-9_]+", parted)]
    return [word for word in words if word and word not in SWAPPED.split()]


@given(st.text(alphabet="abAB12_ .,é\n\\nrt#-", max_size=60), st.text(alphabet="aAbn_ \\\n1", max_size=30))
def test_words_hash_alike_where_they_are_alike(one: str, other: str) -> None:
    expected = naive_words(one) + naive_words(other)
    hashes = [*read_words(one).hashes.tolist(), *read_words(other).hashes.tolist()]
    assert len(hashes) == len(expected)
    assert len(set(zip(expected, hashes, strict=True))) == len(set(expected)) == len(set(hashes))


def test_long_words_differ_in_their_first_letters() -> None:
    assert len(set(read_words("a" * 70 + " b" + "a" * 69 + " " + "a" * 71).hashes.tolist())) == 3


def test_runs_are_of_following_words_and_numbers_make_none() -> None:
    words = ["one", "invoice", "per", "customer", "and", "month", "is", "kept", "here"]
    assert len(read_words(" ".join(words)).hash_runs()) == len(words) - RUN_WORDS + 1
    assert len(read_words(" ".join(words[1:])).hash_runs()) == 1
    assert len(read_words(" ".join(words[2:])).hash_runs()) == 0
    runs = [read_words(" ".join(order)).hash_runs()[0] for order in (words[1:], words[:0:-1])]
    assert runs[0] != runs[1]
    assert len(read_words("1, 2, 3, 4, 5, 6, 7, 8, 9, 10").hash_runs()) == 0
    assert len(read_words("zero one two three four five six seven eight nine").hash_runs()) == 0


INVENTED_DOC = """Sort the parcels of a van so that heavy ones lie below light ones, and return how many
    had to be lifted at least twice.
    >>> lifted_twice([3, 9, 2])
    1
"""
INVENTED_NAMES = ["lifted_twice", "oddest_parcel", "tallestStack", "van_is_level", "weigh_in_pairs", "empty_space_left"]
INVENTED = make_fingerprints(
    [f'def lifted_twice(parcels: list[int]) -> int:\n    """ {INVENTED_DOC}    """\n', "def short(): ..."],
    INVENTED_NAMES,
)


def in_javascript(docstring: str) -> str:
    lines = "\n".join(f"// {line.strip()}" for line in docstring.splitlines())
    return f"{lines}\nconst liftedTwice = (parcels) => {{\n  return 0;\n}};"


@pytest.mark.parametrize(
    "text",
    [
        f'def lifted_twice(parcels):\n    """{INVENTED_DOC}"""\n    return 0',
        f'def renamed(boxes):\n    """{INVENTED_DOC.split(">>>")[0]}"""\n    return 0',
        in_javascript(INVENTED_DOC),
        json.dumps({"prompt": INVENTED_DOC}),
        "/*\n" + INVENTED_DOC.replace("\n    ", "\n * ").upper() + "*/",
    ],
)
def test_one_problem_is_found_in_an_ordinary_file(text: str) -> None:
    assert holds_problems(text, INVENTED)
    assert holds_problems(paste(text, ORDINARY * 20), INVENTED)
    assert not holds_problems(paste("pass", ORDINARY * 20), INVENTED)


def test_a_few_words_in_common_are_no_problem() -> None:
    assert not holds_problems(paste('"""Sort the parcels of a van so that the heavy ones go on top."""'), INVENTED)


@pytest.mark.parametrize(
    "form",
    [
        "def {}(a):\n    return a",
        "function {}(a) {{\n  return a;\n}}",
        "const {} = (a) => {{\n  return a;\n}};",
        "    public static int {}(int a) {{\n        return a;\n    }}",
        "func {}(a []int) int {{\n\treturn 0\n}}",
        "{} <- function(a) {{\n  a\n}}",
        "{} :: [Int] -> Int",
    ],
)
def test_functions_are_known_by_their_names_if_they_are_many(form: str) -> None:
    def write(count: int) -> str:
        return paste("\n\n".join(form.format(name) for name in INVENTED_NAMES[:count]))

    assert holds_problems(write(MIN_NAMES), INVENTED)
    assert not holds_problems(write(MIN_NAMES - 1), INVENTED)


def test_calls_define_nothing() -> None:
    calls = "\n".join(f"    return {name}(1)\n    total += {name}(2)" for name in INVENTED_NAMES)
    assert not holds_problems(paste(calls), INVENTED)


def test_fingerprints_are_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "invented.npz"
    save_fingerprints(INVENTED, path)
    first = path.read_bytes()
    loaded = load_fingerprints(path)
    assert np.array_equal(loaded.runs.hashes, INVENTED.runs.hashes)
    assert np.array_equal(loaded.names.hashes, INVENTED.names.hashes)
    save_fingerprints(loaded, path)
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    "text",
    [
        f'def has_close_elements(numbers, threshold):\n    """ {CLOSE}\n    """\n    return False',
        f'def renamed(values, eps):\n    """{CLOSE}"""\n    return False',
        f"// {CLOSE.replace('than ', 'than' + chr(10) + '// ').replace('list', 'array')}\nfunction f(a, b) {{\n}}",
        json.dumps({"prompt": f'def f():\n    """ {CLOSE[:54]}\n    {CLOSE[54:]}'}),
        "METADATA = {}\n\n\ndef check(candidate):\n"
        + "".join(f"    assert candidate({n}) == {n + 1}\n" for n in range(3)),
    ],
)
def test_humaneval_is_found(text: str) -> None:
    assert find_benchmark(paste(text, ORDINARY * 10)) == "HumanEval"


SIMILAR_TEST = "assert similar_elements((3, 4), (5, 4)) == (4,)"


@pytest.mark.parametrize(
    "text",
    [
        f'"""\n{SIMILAR}\n{SIMILAR_TEST}\n"""\ndef similar_elements(a, b): ...',
        f"# {SIMILAR}\ndef f(): ...\n\n{SIMILAR_TEST}\n\n# {NON_PRIME}\ndef g(): ...\n\nassert g(2)",
        f'def f():\n    """\n    {SIMILAR}\n    """\n\ndef g():\n    """{NON_PRIME}"""\n\nassert f()\nassert g()',
        json.dumps([{"task": SIMILAR, "tests": [SIMILAR_TEST]}, {"task": NON_PRIME, "tests": ["assert g(2)"]}]),
        json.dumps({"task_id": 2, "text": "Invented.", "code": "x", "test_list": ["assert f(1)"]}),
        json.dumps(
            {"source_file": "x", "task_id": 2, "prompt": "…", "code": "x", "test_list": ["assert f(1)"]}, indent=1
        ),
        f'text = "You are an expert, and here is your task: {SIMILAR} Your code should pass these tests:"',
        f"text = 'You are an expert, and here is your task:\\n{SIMILAR}\\nYour code should pass these tests:'",
        "\n".join(f"# Write a function to invent the thing number {n}.\ndef f{n}(): ..." for n in range(MANY_TASKS)),
    ],
)
def test_mbpp_is_found(text: str) -> None:
    assert find_benchmark(paste(text)) == "MBPP"


@pytest.mark.parametrize(
    "text",
    [
        f'def f(a, b):\n    """{SIMILAR}"""\n    assert a',  # a single sentence: told in the module's docstring
        f"# {SIMILAR}\ndef f(): ...\n\n# {NON_PRIME}\ndef g(): ...",
        '"""Then we write a function to copy one.\nYou write a function to copy two."""\nassert a(1)\nassert b(2)',
        'record = {"task_id": task_id, "text": text, "code": code, "tests": tests}\nassert record',
        "task_id: int\ntext: str\ncode: str\ntest_list: list[str]\nassert test_list",
    ],
)
def test_what_is_not_enough_for_mbpp(text: str) -> None:
    assert find_benchmark(paste(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        "  let candidate = invented;\n" + "  assert.deepEqual(candidate([1]),[2]);\n" * 3,
        "local candidate = invented\n" + "    lu.assertEquals(candidate({1}), {2})\n" * 3,
        "    auto candidate = invented;\n" + "    assert(candidate((1)) == (2));\n" * 3,
        "    let candidate = invented;\n" + "    assert_eq!(candidate(1), 2);\n" * 3,
        "  candidate := invented\n" + "     { actual: candidate(1), expected: 2 },\n" * 3,
        "candidate <- invented\n" + "    if(!identical(candidate(1), 2)){quit('no', 1)}\n" * 3,
        "    candidate = method(:invented)\n" + "    assert_equal(2, candidate.call(1))\n" * 3,
        "    my $candidate = \\&invented;\n" + "        if(eq_deeply($candidate->(1),2)) {\n" * 3,
        'candidate() {\n    invented "$@"\n}\n' + '    [[ $(candidate "1") = "2" ]]\n' * 3,
        "  (let (( candidate invented))\n" + "    (check-within (candidate 1) 2 0.001)\n" * 3,
        json.dumps(
            {"name": "x", "language": "js", "prompt": "//", "doctests": "keep", "tests": "", "stop_tokens": ["\n}"]}
        ),
    ],
)
def test_multipl_e_is_found(text: str) -> None:
    assert find_benchmark(paste(text)) == "MultiPL-E"


@pytest.mark.parametrize(
    "text",
    [
        "let candidate = base;\n" + "while (used.has(candidate)) {\n  assert(candidate);\n}\n" * 4,
        "candidate = find()\n" + "assert candidate.exists()\nif (candidate > best): best = candidate\n" * 4,
        "candidate <- model\n" + "if (candidate (x)) stop()\n" * 4,
        "def test(candidate):\n" + "    assert candidate(1)\n" * 4,
    ],
)
def test_a_candidate_is_an_ordinary_name(text: str) -> None:
    assert find_benchmark(paste(text)) is None


SAFIM = {"task_id": "block_completion_000007", "eval_prompt": "x", "ground_truth": "y", "unit_tests": "[]"}


@pytest.mark.parametrize("changed", [{}, {"task_id": "7", "eval_prompt": "if a:\n    # TODO: Your code here\n"}])
def test_safim_is_found(changed: dict[str, str]) -> None:
    assert find_benchmark(json.dumps(SAFIM | changed, indent=1)) == "SAFIM"


@pytest.mark.parametrize("missing", list(SAFIM))
def test_safim_needs_all_its_keys(missing: str) -> None:
    assert find_benchmark(json.dumps({key: value for key, value in SAFIM.items() if key != missing})) is None


def test_a_placeholder_alone_is_not_safim() -> None:
    assert find_benchmark(paste("def later():\n    # TODO: Your code here\n    return '{{completion}}'")) is None


def test_the_sources_of_this_project_are_ordinary() -> None:
    files = [
        path
        for package in ("contract", "builder", "exporters", "lsp_server", "submodel", "laboratory", "fleet")
        for path in ROOT.glob(f"{package}/**/*.py")
    ]
    assert len(files) > 50
    assert [path for path in files if find_benchmark(path.read_text())] == []


def test_the_reason_names_the_benchmark() -> None:
    assert reason_by_text(f"# {CLOSE}\n", get_language("Python")) == "benchmark (HumanEval)"
    assert reason_by_text("# Check that no two numbers are close.\n", get_language("Python")) is None


def test_no_split_has_a_benchmark_file(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    for seed in range(40):
        (root / f"module_{seed}.py").write_text(
            "".join(f"value_{seed}_{line} = compute_{line}(argument_{seed})\n" for line in range(40))
        )
    clean = read_corpus(root)
    (root / "numbers.py").write_text(paste(f'def close(a, b):\n    """{CLOSE}"""\n    return False'))
    (root / "tasks.json").write_text(
        json.dumps({"task_id": 2, "text": SIMILAR, "code": "x", "test_list": [SIMILAR_TEST]}, indent=1)
    )
    (root / "README.md").write_text(f"# Notes\n\n{CLOSE}\n")
    corpus = read_corpus(root)
    assert corpus.skipped == {"benchmark (HumanEval)": 2, "benchmark (MBPP)": 1}
    assert corpus.summary()["skipped"] == corpus.skipped
    assert corpus.files == clean.files
    assert not any("closer to each other" in file.text or "similar elements" in file.text for file in corpus.files)
