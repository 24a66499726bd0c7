"""The bench's arithmetic, and our worker over a tiny bundle."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from builder.evaluation.infill import InfillEncoder
from contract.errors import SubmodelError
from contract.prompt import PromptFormat, begun_text
from laboratory.bench import bench_run
from laboratory.bench.bench_run import (
    BenchError,
    BenchSettings,
    check_unlearned,
    leads,
    own_environment,
    ratios,
    run_bench,
)
from laboratory.bench.llama_cpp_worker import PATH_FIRST, SUFFIX_FIRST, Peer
from laboratory.bench.workload import Workload, WorkloadSettings, make_workload
from laboratory.replay.passages import Passage
from submodel.console import StageDisplay
from testbed.git import git
from testbed.python_files import write_python
from testbed.tokenizer import make_tokenizer


def engine(**changes):
    figures = {
        "name": "ours",
        "prompt_tokens_per_s": 900.0,
        "prompt_characters_per_s": 3000.0,
        "decode_tokens_per_s": 120.0,
        "completion_ms_p50": 50.0,
        "completion_ms_p95": 200.0,
        "new_place_ms_p50": 150.0,
        "new_place_ms_p95": 200.0,
        "resident_bytes": 300,
    }
    return {**figures, **changes}


def test_a_ratio_above_one_is_better_but_for_memory():
    peer = engine(
        name="peer",
        prompt_tokens_per_s=9.0,  # of longer tokens
        prompt_characters_per_s=1000.0,
        decode_tokens_per_s=40.0,
        completion_ms_p50=150.0,
        completion_ms_p95=500.0,
        new_place_ms_p50=300.0,
        new_place_ms_p95=800.0,
        resident_bytes=1000,
    )
    assert ratios(engine(), [peer]) == {
        "peer": {
            "prompt": 3.0,
            "decode": 3.0,
            "completion_p50": 3.0,
            "completion_p95": 2.5,
            "new_place_p50": 2.0,
            "new_place_p95": 4.0,
            "memory": 0.3,
        }
    }


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    return write_python(folder, range(40), functions=30, file="module", name="function")


def test_passages_are_typed_key_by_key(repository):
    workload = make_workload(repository, WorkloadSettings(passages=5, lines=3, keys=4))
    assert len(workload.passages) == 5
    for passage in workload.passages:
        assert [stroke.is_new_place for stroke in passage] == [True] + [False] * (len(passage) - 1)
        assert 1 <= sum(stroke.is_new_line for stroke in passage) <= 3
        assert len({stroke.behind for stroke in passage}) == 1  # what stands behind all of it
        for before, after in itertools.pairwise(passage):
            if after.is_new_line:
                assert (before.before + before.truth) in after.before
                assert after.truth.strip() == after.truth != ""
            else:
                assert after.before.endswith(before.truth[0])
                assert before.truth == before.truth[0] + after.truth
            assert after.truth not in after.behind.split("\n")[0]


def test_lines_that_were_added_later_are_typed(tmp_path, monkeypatch):
    for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):  # the draw depends on the commit's hash
        monkeypatch.setenv(name, "2026-11-30T12:00:00+0000")
    write_python(tmp_path, range(40), functions=30, file="old", name="old")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "old")
    old = (tmp_path / "old_0.py").read_text()
    new = "first = 1\nclass New:\n    def __init__(self):\n        self.a = 1\n\n    # why\n    b = 2\n"
    (tmp_path / "old_0.py").write_text(new + old)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "new")
    begun = set()
    for seed in range(40):
        settings = WorkloadSettings(passages=5, lines=9, keys=99, since="HEAD~1", seed=seed)
        [passage] = make_workload(tmp_path, settings).passages
        assert passage[0].is_new_place
        assert {stroke.behind for stroke in passage} == {"\n" + old}, "later lines are not there yet"
        for stroke in passage:
            assert f"{new}\n".startswith(f"{stroke.before}{stroke.truth}\n")
        begun.add(passage[0].before.count("\n"))
    assert begun == {0, 1, 2, 3, 6}


def test_a_lead_is_paired_and_has_an_interval():
    found = leads({"ours": [True] * 50 + [False] * 50, "same": [True] * 50 + [False] * 50, "worse": [False] * 100})
    assert found["same"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["worse"]["value"] == 0.5
    assert 0.35 < found["worse"]["low"] < 0.5 < found["worse"]["high"] < 0.65
    two_files = leads({"ours": [True] * 50 + [False] * 50, "worse": [False] * 100}, ["a.py"] * 50 + ["b.py"] * 50)
    assert (two_files["worse"]["low"], two_files["worse"]["high"]) == (0.0, 1.0)
    one_file = leads({"ours": [True] * 50 + [False] * 50, "worse": [False] * 100}, ["a.py"] * 100)
    assert one_file == {"worse": {"value": 0.5}}


@pytest.mark.parametrize("since", [None, "HEAD~1"])
def test_a_bundle_that_learned_what_is_asked_is_no_peer(monkeypatch, since):
    learned = {"ours": ["other"], "fair": ["other"], "unfair": ["other", "asked"]}
    later = Passage(path="a.py", language="Python", before="", truth="a", after="", file_sha256="asked")
    workload = Workload(passages=((), ()), text="text", source="", added=(later,) if since else ())

    def read(folder, verify=True):
        return Mock(manifest={"held_out_sha256": ["asked"], "learned_sha256": learned[folder.name]})

    monkeypatch.setattr("laboratory.bench.bench_run.read_bundle", read)
    check_unlearned([Path("ours"), Path("fair")], workload, since)
    with pytest.raises(SubmodelError, match=r"unfair learned .* with --since"):
        check_unlearned([Path("ours"), Path("fair"), Path("unfair")], workload, since)


@pytest.mark.slow
def test_engines_are_measured_side_by_side(repository, tiny_bundle):
    settings = BenchSettings(
        bundle=tiny_bundle.folder,
        repository=repository,
        threads=1,
        workload=WorkloadSettings(passages=3, lines=2, keys=2),
        prompt_tokens=60,
        decode_tokens=8,
        rounds=2,
    )
    with StageDisplay() as display:
        document = run_bench(settings, display)
    ours, plain = document["engines"]
    assert [ours["name"], plain["name"]] == ["submodel", "submodel, no drafts"]
    assert ours["exact_match"] == plain["exact_match"]
    assert ours["same_answers"] == plain["same_answers"] == 1.0
    assert document["bundle_build"] == tiny_bundle.build
    assert document["passages"] == 3
    assert document["lines"] == 6
    assert 6 < document["keystrokes"] <= 12
    none = {"value": 0.0, "low": 0.0, "high": 0.0}
    assert document["leads"] == {"submodel, no drafts": none}
    assert document["exact"]["submodel"] == document["exact"]["submodel, no drafts"]
    assert len(document["exact"]["submodel"]) == 6
    for figures in document["engines"]:
        assert figures["prompt_characters_per_s"] > figures["prompt_tokens_per_s"] > 0
        assert figures["completion_ms_p50"] <= figures["completion_ms_p95"]


FAMILY = {"pre": "<fim_prefix>", "suf": "<fim_suffix>", "mid": "<fim_middle>", "rep": "<reponame>", "sep": "<filename>"}


class Llama:
    """A model of llama-cpp-python over a tokenizer of ours. It keeps what it is asked, and answers with `answer`."""

    token_eos, token_bos = (lambda self: -1), (lambda self: 7777)

    def __init__(self, tokenizer, metadata):
        self.tokenizer, self.metadata, self.model = tokenizer, metadata, tokenizer
        self.asked, self.answer = [], "\n"

    def tokenize(self, text, add_bos, special):
        assert not add_bos
        return self.tokenizer.encode(text.decode(), add_special_tokens=False).ids

    def detokenize(self, ids):
        return self.tokenizer.decode(ids).encode()

    def generate(self, prompt, **settings):
        self.asked.append(prompt)
        return iter(self.tokenize(self.answer.encode(), add_bos=False, special=False))


@pytest.fixture
def make_peer(monkeypatch):
    """Open a peer over a fake llama.cpp whose vocabulary has some of the special tokens."""

    def make(*parts, adds_bos=False, metadata=None):
        tokenizer = make_tokenizer(control_tokens=[FAMILY[part] for part in parts])
        llama_cpp = Mock(__version__="1", llama_model_get_vocab=lambda model: model)
        llama_cpp.Llama.return_value = Llama(tokenizer, metadata or {})
        llama_cpp.llama_print_system_info.return_value = b""
        llama_cpp.llama_vocab_get_add_bos.return_value = adds_bos
        for part, token in FAMILY.items():
            found = tokenizer.token_to_id(token)
            getattr(llama_cpp, f"llama_vocab_fim_{part}").return_value = -1 if found is None else found
        monkeypatch.setitem(sys.modules, "llama_cpp", llama_cpp)
        return Peer("model.gguf", threads=1, context=4096)

    return make


@pytest.mark.parametrize("bos", [[], [7777]])
def test_a_peer_is_asked_with_the_special_tokens_of_its_family(make_peer, bos):
    assert make_peer(adds_bos=bool(bos)).prompt([1, 2], [3]) == [*bos, 1, 2], "the prefix alone"
    assert not make_peer().reads_suffix
    peer = make_peer("pre", "suf", "mid", adds_bos=bool(bos))
    pre, suf, mid = (peer.llm.tokenizer.token_to_id(FAMILY[part]) for part in ("pre", "suf", "mid"))
    assert peer.reads_suffix
    assert peer.prompt([1, 2], [3]) == [*bos, pre, 1, 2, suf, 3, mid]
    peer = make_peer("pre", "suf", "mid", adds_bos=bool(bos), metadata={SUFFIX_FIRST: "true"})
    assert peer.prompt([1, 2], [3]) == [*bos, pre, suf, 3, mid, 1, 2]
    peer = make_peer(*FAMILY, adds_bos=bool(bos))
    pre, suf, mid, repository, file = (peer.llm.tokenizer.token_to_id(token) for token in FAMILY.values())
    head = [repository, *peer._text("myproject\n"), file, *peer._text("filename\n")]
    assert peer.prompt([1, 2], [3]) == [*head, *bos, pre, 1, 2, suf, 3, mid]
    peer = make_peer(*FAMILY, adds_bos=bool(bos), metadata={SUFFIX_FIRST: "true", PATH_FIRST: "true"})
    head = [file, *peer._text("app/store.py\n")]
    assert peer.prompt([1, 2], [3], "app/store.py") == [*bos, *head, pre, suf, 3, mid, 1, 2]


LINES = [f"value_{number} = compute({number})\n" for number in range(600)]
LETTERS = [f"{chr(97 + number % 26)}\n" for number in range(600)]  # so that 256 lines are less than 768 tokens


@pytest.mark.parametrize(("lines", "typed"), [(LINES, 0), (LINES, 2), (LINES, 14), (LETTERS, 0), (LETTERS, 1)])
@pytest.mark.parametrize("line", [3, 40, 300, 599])
@pytest.mark.parametrize("indentation", ["", "    "])
def test_a_peer_and_our_score_of_a_base_ask_the_same(make_peer, lines, typed, line, indentation):
    # Our score cuts a text and then makes tokens of it, which may join two at the cut. These places are none of those.
    text = "".join(f"{indentation}{one}" for one in lines)
    offset = len("".join(f"{indentation}{one}" for one in lines[:line])) + len(indentation) + typed
    peer = make_peer(*FAMILY)
    prompt = PromptFormat(
        prefix_token=FAMILY["pre"],
        suffix_token=FAMILY["suf"],
        middle_token=FAMILY["mid"],
        stop_tokens=(FAMILY["rep"], FAMILY["sep"]),
    )
    encoder = InfillEncoder(peer.llm.tokenizer, prompt)
    peer.complete(text[:offset], text[offset:])
    assert peer.llm.asked == [encoder.encode(encoder.window(text, offset))]


@pytest.mark.parametrize(
    ("line", "begun"),
    [
        ("y = wid", " wid"),
        ("wid", "wid"),
        ("    wid", " wid"),
        ("a.wid", ".wid"),
        ("y = 12", "2"),
        ("f(", "("),
        ("    ", ""),
        ("", ""),
    ],
)
def test_a_sub_model_in_llama_cpp_is_asked_before_the_word_at_the_cursor(make_peer, line, begun):
    peer = make_peer("pre", "suf", "mid", metadata={SUFFIX_FIRST: "true"})
    assert begun.removeprefix(".") == begun_text(peer.llm.tokenizer, f"x = 1\n{line}")
    peer.llm.answer = f"{begun}th\n"
    assert peer.complete(f"x = 1\n{line}", "\n")["text"] == "th"
    assert peer.llm.asked[0][-3:] == peer._text(f"x = 1\n{line.removesuffix(begun) if line.strip() else ''}")[-3:]
    base = make_peer("pre", "suf", "mid")
    base.llm.answer = "th\n"
    assert base.complete(f"x = 1\n{line}", "\n")["text"] == "th"


def test_an_engine_that_ends_or_prints_something_else_is_said():
    worker = bench_run._Worker("llama.cpp", [sys.executable, "-c", "print({})"])
    worker._process.wait()
    with pytest.raises(BenchError, match=r"engine llama\.cpp ended"):
        worker.ask("complete")
    with pytest.raises(BenchError, match=r"printed 'hello' in place of an answer"):
        bench_run._Worker("llama.cpp", [sys.executable, "-c", "print('hello', flush=True); input()"])


def test_engines_choose_their_own_way_to_wait():
    given = {"PATH": "/bin", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "HOMP": "x"}
    assert own_environment(given) == {"PATH": "/bin", "HOMP": "x"}


@pytest.mark.slow
def test_a_peer_that_is_no_file_is_said(tmp_path):
    command = [sys.executable, "-m", "laboratory", "bench", str(tmp_path), "--peer", "llama.cpp=nowhere.gguf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nowhere.gguf" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.dumps(done.stdout) == '""'
