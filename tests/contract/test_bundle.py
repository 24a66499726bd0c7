from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from contract.bundle import previous
from contract.bundle.bundle import (
    MAX_CACHE_BYTES,
    Architecture,
    find_bundle,
    graph_of,
    read_bundle,
    replace_bundle,
)
from contract.bundle.manifest import MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE, write_manifest, write_manifest_of
from contract.bundle.previous import MOST_KEPT, previous_bundles
from contract.errors import BundleError
from contract.prompt import PromptFormat

ARCHITECTURE = Architecture(layers=2, kv_heads=2, head_dim=16, hidden_size=64, vocab_size=261, max_positions=2048)
PROMPT = PromptFormat(stop_tokens=("<|endoftext|>",), max_prefix_tokens=700)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "repository" / ".submodel" / "bundle"
    (folder / "onnx").mkdir(parents=True)
    (folder / MODEL_FILE).write_bytes(b"a graph" * 100)
    (folder / TOKENIZER_FILE).write_text("{}")
    write_manifest_of(folder, {"prompt": PROMPT.to_json(), "architecture": ARCHITECTURE.to_json()})
    return folder


def marked(text: str) -> str:
    """A bundle.json by which a later build knows the folder as one of ours."""
    return json.dumps({"schema": 2, "files": {}, "text": text})


def test_reads_what_was_written(bundle: Path) -> None:
    read = read_bundle(bundle)
    assert (read.prompt, read.architecture) == (PROMPT, ARCHITECTURE)
    assert read.model_path.read_bytes() == b"a graph" * 100
    assert read.tokenizer_path == bundle / TOKENIZER_FILE


def test_the_weights_beside_a_graph_are_the_graph_s(bundle: Path) -> None:
    inside = graph_of(bundle)
    assert inside == read_bundle(bundle).manifest["files"][MODEL_FILE], "as kept stages have it"
    seen: list[object] = [inside]
    for weights in (b"some", b"others"):
        (bundle / f"{MODEL_FILE}_data").write_bytes(weights)
        write_manifest_of(bundle, {"prompt": PROMPT.to_json(), "architecture": ARCHITECTURE.to_json()})
        assert graph_of(bundle) not in seen
        assert json.loads(json.dumps(graph_of(bundle))) == graph_of(bundle)
        seen.append(graph_of(bundle))
    assert graph_of(bundle / "none") is None


def test_what_file_managers_leave_is_no_file_of_the_bundle(bundle: Path) -> None:
    for name in (".DS_Store", "onnx/._model.onnx", "desktop.ini", "onnx/Thumbs.db"):
        (bundle / name).write_text("stray")
    write_manifest_of(bundle, {"prompt": PROMPT.to_json(), "architecture": ARCHITECTURE.to_json()})
    assert set(read_bundle(bundle).manifest["files"]) == {MODEL_FILE, TOKENIZER_FILE}


def test_names_a_missing_file(bundle: Path) -> None:
    (bundle / TOKENIZER_FILE).unlink()
    with pytest.raises(BundleError, match=r"tokenizer\.json is missing.*run `submodel build`"):
        read_bundle(bundle)


def test_names_a_file_with_one_byte_changed(bundle: Path) -> None:
    data = bytearray((bundle / MODEL_FILE).read_bytes())
    data[350] ^= 1
    (bundle / MODEL_FILE).write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.onnx has changed.*SHA-256"):
        read_bundle(bundle)
    assert read_bundle(bundle, verify=False).folder == bundle  # sizes alone can't tell


def test_names_a_truncated_file_without_hashing(bundle: Path) -> None:
    (bundle / MODEL_FILE).write_bytes(b"a graph" * 99)
    with pytest.raises(BundleError, match=r"model\.onnx has 693 bytes, not 700"):
        read_bundle(bundle, verify=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "schema 99.*; upgrade submodel and restart its server"),
        ({"schema": 1}, "schema 1,.*; run `submodel build`"),
        ({"schema": None}, "schema None"),
        ({"layout": "optimum"}, "format 'optimum'"),
        ({"files": {}}, "lists no onnx/model.onnx"),
        ({"prompt": {"prefix": 1}}, "prompt key .prefix., which this version does not know; upgrade submodel"),
        ({"prompt": []}, "lacks or misstates a key"),
        ({"variants": {"fp16": {"file": []}}}, "bad value for 'variants'"),
        ({"architecture": {"layers": 2}}, "kv_heads"),
        ({"architecture": {**ARCHITECTURE.to_json(), "layers": "many"}}, "many"),
    ],
)
def test_refuses_a_manifest_that_is_not_understood(bundle: Path, change: dict[str, object], message: str) -> None:
    document = json.loads((bundle / MANIFEST_FILE).read_text("utf-8")) | change
    write_manifest(bundle, document)
    with pytest.raises(BundleError, match=message):
        read_bundle(bundle)


@pytest.mark.parametrize("path", ["../outside", "/etc/hostname", "onnx/../../outside"])
def test_refuses_files_outside_the_bundle(bundle: Path, path: str) -> None:
    document = json.loads((bundle / MANIFEST_FILE).read_text("utf-8"))
    document["files"][path] = {"bytes": 1, "sha256": ""}
    write_manifest(bundle, document)
    with pytest.raises(BundleError, match="bad entry"):
        read_bundle(bundle)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b""])
def test_refuses_a_manifest_that_is_no_json_object(bundle: Path, content: bytes) -> None:
    (bundle / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(bundle)


def test_refuses_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(BundleError, match="is no bundle"):
            read_bundle(folder)


def test_finds_the_nearest_bundle_above(bundle: Path) -> None:
    repository = bundle.parent.parent
    deep = repository / "package" / "module.py"
    deep.parent.mkdir()
    deep.write_text("x = 1\n")
    assert find_bundle(deep) == find_bundle(repository) == bundle
    with pytest.raises(BundleError, match=r"No bundle.*submodel build"):
        find_bundle(repository.parent)


def test_replaces_a_bundle_as_a_whole(bundle: Path) -> None:
    with replace_bundle(bundle) as fresh:
        (fresh / MANIFEST_FILE).write_text("new")
        assert (bundle / MODEL_FILE).exists()
    assert [path.name for path in bundle.iterdir()] == [MANIFEST_FILE]
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["bundle", "previous"]
    (kept,) = previous_bundles(bundle)  # once, however many files it has
    assert sorted(path.name for path in kept.iterdir()) == [MANIFEST_FILE, "onnx", TOKENIZER_FILE]


def test_the_same_version_with_other_drafts_is_no_version_to_go_back_to(bundle: Path) -> None:
    with replace_bundle(bundle) as fresh:
        (fresh / MANIFEST_FILE).write_text(marked("new"))
    kept = previous_bundles(bundle)
    for number in range(MOST_KEPT + 1):
        with replace_bundle(bundle, keeps_previous=False) as fresh:
            (fresh / MANIFEST_FILE).write_text(marked(f"other drafts {number}"))
    assert previous_bundles(bundle) == kept
    assert (bundle / MANIFEST_FILE).read_text() == marked(f"other drafts {MOST_KEPT}")


def test_reading_loads_nothing_heavy() -> None:
    heavy = {"torch", "onnx", "onnx_ir", "onnxruntime", "numpy"}
    code = f"import contract.bundle.bundle, sys; print({heavy} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "set()"


def test_a_workspace_keeps_the_bundles_before(tmp_path: Path) -> None:
    target = tmp_path / ".submodel" / "bundle"
    for number in range(MOST_KEPT + 2):
        with replace_bundle(target) as fresh:
            (fresh / MANIFEST_FILE).write_text(marked(str(number)))
            os.utime(fresh / MANIFEST_FILE, (1e9 + number, 1e9 + number + 0.25))
    assert (target / MANIFEST_FILE).read_text() == marked(str(MOST_KEPT + 1))
    kept = previous_bundles(target)
    expected = [marked(str(number)) for number in (MOST_KEPT, MOST_KEPT - 1)]
    assert [(folder / MANIFEST_FILE).read_text() for folder in kept] == expected
    assert kept[0].name == "2001-09-09T01-46-42-250Z"


def test_older_bundles_come_in_the_order_in_which_they_were_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in that of their files: a bundle that was pulled may have been built long before, and clocks go back."""
    target = tmp_path / ".submodel" / "bundle"
    clock = iter((3e9, 2e9, 1e9))
    monkeypatch.setattr(previous, "time", SimpleNamespace(time=lambda: next(clock)))
    (target.parent / "previous" / "half-removed").mkdir(parents=True)
    for number in range(4):
        with replace_bundle(target) as fresh:
            (fresh / MANIFEST_FILE).write_text(marked(str(number)))
            os.utime(fresh / MANIFEST_FILE, (1e9 - 10 * number, 1e9 - 10 * number))
    kept = previous_bundles(target)
    assert [(folder / MANIFEST_FILE).read_text() for folder in kept] == [marked("2"), marked("1")]
    assert sorted(path.name for path in kept) == sorted(path.name for path in (target.parent / "previous").iterdir())
    assert (kept[0] / MANIFEST_FILE).stat().st_mtime == 1e9 - 20, "it says when the bundle was built"


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_older_bundles_are_removed_through_no_link(tmp_path: Path) -> None:
    elsewhere = [tmp_path / str(number) for number in range(MOST_KEPT + 1)]
    (tmp_path / ".submodel" / "previous").mkdir(parents=True)
    for folder in elsewhere:
        folder.mkdir()
        (folder / MANIFEST_FILE).write_text(marked("another repository's"))
        (tmp_path / ".submodel" / "previous" / folder.name).symlink_to(folder)
    with suppress(OSError):  # rmtree refuses a link
        previous.forget_older(tmp_path / ".submodel" / "bundle")
    assert all((folder / MANIFEST_FILE).is_file() for folder in elsewhere)


def test_a_bundle_elsewhere_is_not_kept(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with replace_bundle(tmp_path / "elsewhere") as fresh:
            (fresh / MANIFEST_FILE).write_text(marked(text))
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_any_changed_byte_of_the_manifest_is_found(bundle: Path) -> None:
    """Of bundle.json itself, whose checksum is within it; the other files' are in it."""
    path = bundle / MANIFEST_FILE
    good = path.read_bytes()
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(BundleError, match=re.escape(str(path))):
            read_bundle(bundle, verify=False)
    path.write_bytes(good)
    read_bundle(bundle)


def test_a_manifest_without_its_checksum_is_refused(bundle: Path) -> None:
    document = json.loads((bundle / MANIFEST_FILE).read_text("utf-8"))
    del document["checksum"]
    (bundle / MANIFEST_FILE).write_text(json.dumps(document, indent=2) + "\n")
    with pytest.raises(BundleError, match="has no checksum at its end"):
        read_bundle(bundle)


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
def test_what_is_no_regular_file_is_never_opened(bundle: Path) -> None:
    document = json.loads((bundle / MANIFEST_FILE).read_text("utf-8"))
    document["files"]["pipe"] = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    os.mkfifo(bundle / "pipe")
    write_manifest(bundle, document)
    with pytest.raises(BundleError, match="not a regular file"):
        read_bundle(bundle)
    (bundle / MANIFEST_FILE).unlink()
    os.mkfifo(bundle / MANIFEST_FILE)
    with pytest.raises(BundleError, match="not a regular file"):
        read_bundle(bundle)


@pytest.mark.parametrize("content", ["[" * 200_000, '{"schema": 1, "files": ' + '{"a":' * 100_000, "9" * 10_000])
def test_a_manifest_that_is_nested_for_ever(bundle: Path, content: str) -> None:
    (bundle / MANIFEST_FILE).write_text(content)
    with pytest.raises(BundleError, match=r"not valid JSON|schema"):
        read_bundle(bundle)


def test_keys_and_values_have_a_bound_of_their_own() -> None:
    """Each number is one that some model has."""
    most = {"layers": 1 << 5, "kv_heads": 1 << 5, "head_dim": 1 << 7, "max_positions": 1 << 16}
    assert 8 * math.prod(most.values()) == MAX_CACHE_BYTES
    replace(ARCHITECTURE, **most)
    for name, number in most.items():
        with pytest.raises(ValueError, match=r"keys and values of .* positions"):
            replace(ARCHITECTURE, **(most | {name: 2 * number}))


@pytest.mark.parametrize(
    ("name", "number"), [("layers", 0), ("layers", 10**9), ("max_positions", -1), ("vocab_size", 10**12)]
)
def test_numbers_that_no_model_has_are_refused_before_memory_is_asked_for(bundle: Path, name: str, number: int) -> None:
    document = json.loads((bundle / MANIFEST_FILE).read_text("utf-8"))
    document["architecture"][name] = number
    write_manifest(bundle, document)
    with pytest.raises(BundleError, match=name):
        read_bundle(bundle)
