"""A bundle through a file and back, and files that someone made to do harm."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contract.bundle.bundle import Bundle, read_bundle
from contract.bundle.manifest import CHECKSUM, MANIFEST_FILE, MODEL_FILE, build_of, with_checksum, write_manifest_of
from contract.bundle.previous import previous_bundles
from contract.bundle.trusted_builds import trust_build
from contract.errors import BundleError, ExportError
from exporters import packed_bundle
from exporters.packed_bundle import pack_bundle, unpack_bundle
from submodel.app import app
from submodel.commands.pack import unpack

Entries = list[tuple[zipfile.ZipInfo, bytes]]


@pytest.fixture
def bundle(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """The tiny bundle with a repository's tokens."""
    folder = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "repository" / ".submodel" / "bundle"))
    (folder / "drafts").mkdir()
    (folder / "drafts" / "tokens.npy").write_bytes(b"the repository's code" * 50)
    manifest = {key: value for key, value in tiny_bundle.manifest.items() if key not in ("files", "schema")}
    write_manifest_of(folder, {**manifest, "drafts": {"tokens": 9}})
    return folder


@pytest.fixture
def archive(bundle: Path, tmp_path: Path) -> Path:
    return pack_bundle(bundle, tmp_path / "bundle.submodel").path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rewrite(archive: Path, change: Callable[[Entries], Entries]) -> None:
    """The archive with other entries."""
    with zipfile.ZipFile(archive) as source:
        entries = [(entry, source.read(entry)) for entry in source.infolist()]
    with zipfile.ZipFile(archive, "w") as target, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        for entry, data in change(entries):
            target.writestr(entry, data)


def add_to_manifest(entries: Entries, name: str, size: int) -> Entries:
    first, text = entries[0]
    manifest = json.loads(text)
    manifest["files"][name] = {"bytes": size, "sha256": "0" * 64}
    return [(first, json.dumps(manifest).encode()), *entries[1:]]


def test_what_comes_out_is_what_went_in(bundle: Path, archive: Path, tmp_path: Path) -> None:
    unpacked = unpack_bundle(archive, tmp_path / "laptop" / ".submodel" / "bundle")
    assert contents(unpacked.path) == contents(bundle)
    assert read_bundle(unpacked.path).manifest == read_bundle(bundle).manifest
    assert unpacked.has_drafts
    assert unpacked.archive_bytes == archive.stat().st_size < unpacked.bundle_bytes


def test_git_does_not_see_what_is_unpacked(archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path / "laptop" / ".submodel" / "bundle")
    assert (tmp_path / "laptop" / ".submodel" / ".gitignore").read_text() == "*\n"


def test_the_manifest_comes_first_and_the_same_bundle_gives_the_same_file(
    bundle: Path, archive: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(archive) as source:
        assert source.infolist()[0].filename == MANIFEST_FILE
        assert source.testzip() is None
    again = pack_bundle(bundle, tmp_path / "again.submodel")
    assert again.path.read_bytes() == archive.read_bytes()


def test_the_repository_s_code_can_stay_at_home(bundle: Path, tmp_path: Path) -> None:
    packed = pack_bundle(bundle, tmp_path / "bundle.submodel", drafts=False)
    assert not packed.has_drafts
    assert b"the repository's code" not in packed.path.read_bytes()
    unpacked = unpack_bundle(packed.path, tmp_path / "out")
    assert not unpacked.has_drafts
    assert "drafts" not in read_bundle(unpacked.path).manifest
    assert "drafts" in read_bundle(bundle).manifest


def test_the_command_finds_the_repository_s_bundle_and_names_the_file_after_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any folder of the repository; the file lies where the user stands."""
    trust_build(build_of(bundle))
    folder = bundle.parents[1] / "src"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for options, has_drafts in ((["--no-drafts"], False), ([], True)):
        done = CliRunner().invoke(app, ["pack", "--json", *options], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        document = json.loads(done.stdout)
        assert (document["path"], document["has_drafts"]) == ("repository.submodel", has_drafts)
        assert ("own code is inside" in done.stderr) is has_drafts
    assert [path.name for path in folder.iterdir()] == ["repository.submodel"]


def test_a_changed_bundle_is_not_packed(bundle: Path, tmp_path: Path) -> None:
    data = bytearray((bundle / MODEL_FILE).read_bytes())
    data[-1] ^= 1
    (bundle / MODEL_FILE).write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.onnx is not as it was exported"):
        pack_bundle(bundle, tmp_path / "bundle.submodel")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["repository"]


def test_only_archives_of_ours_are_replaced(bundle: Path, archive: Path, tmp_path: Path) -> None:
    assert pack_bundle(bundle, archive).path == archive
    (tmp_path / "thesis.zip").write_bytes(b"PK\x03\x04 precious")
    for target in (tmp_path / "thesis.zip", tmp_path):
        with pytest.raises(ExportError, match="with -o"):
            pack_bundle(bundle, target)
    assert (tmp_path / "thesis.zip").read_bytes() == b"PK\x03\x04 precious"


def test_a_bundle_that_was_there_stays_where_the_new_one_is_broken(bundle: Path, archive: Path, tmp_path: Path) -> None:
    unpack_bundle(archive, tmp_path / "out")

    def spoil(entries: Entries) -> Entries:
        return [(e, bytes(len(data)) if e.filename == MODEL_FILE else data) for e, data in entries]

    rewrite(archive, spoil)
    with pytest.raises(BundleError, match=r"onnx/model\.onnx in .* is not as it was exported"):
        unpack_bundle(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(bundle)
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("length", [0, 3, 21, 22, 200, -1, -30])
def test_a_cut_archive(archive: Path, tmp_path: Path, length: int) -> None:
    archive.write_bytes(archive.read_bytes()[:length])
    with pytest.raises(BundleError, match="no packed bundle that can be trusted"):
        unpack_bundle(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", [0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_damaged_byte_never_passes(bundle: Path, archive: Path, tmp_path: Path, where: float) -> None:
    data = bytearray(archive.read_bytes())
    data[int(where * len(data))] ^= 0x55
    archive.write_bytes(data)
    try:
        unpack_bundle(archive, tmp_path / "out")
    except BundleError as error:
        assert "\n" not in str(error)
        assert not (tmp_path / "out").exists()
    else:  # a field that nothing depends on
        assert contents(tmp_path / "out") == contents(bundle)


@pytest.mark.parametrize(
    "name",
    [
        *("../outside", "/etc/outside", "onnx/../../outside", "C:outside", "C:/outside", "a\\b", "onnx/", ""),
        *(".hidden", "onnx//a", "NUL", "onnx/con.txt", "name.", "name ", "a\nb", "a:stream", "x" * 300),
    ],
)
def test_names_that_leave_the_folder(archive: Path, tmp_path: Path, name: str) -> None:
    rewrite(archive, lambda entries: [*add_to_manifest(entries, name, 1), (zipfile.ZipInfo(name), b"x")])
    with pytest.raises(BundleError, match="bad entry"):
        unpack_bundle(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "extra"])
def test_a_file_that_the_manifest_does_not_know(archive: Path, tmp_path: Path, name: str) -> None:
    rewrite(archive, lambda entries: [*entries, (zipfile.ZipInfo(name), b"x")])
    with pytest.raises(BundleError, match="disagree"):
        unpack_bundle(archive, tmp_path / "out")


def test_other_drafts_of_the_same_graph_leave_what_a_user_can_go_back_to(
    bundle: Path, archive: Path, tmp_path: Path
) -> None:
    target = tmp_path / "laptop" / ".submodel" / "bundle"
    unpack_bundle(archive, target)
    unpack_bundle(pack_bundle(bundle, tmp_path / "slim.submodel", drafts=False).path, target)
    assert previous_bundles(target) == []


def test_a_graph_with_other_weights_beside_it_leaves_one_to_go_back_to(
    bundle: Path, archive: Path, tmp_path: Path
) -> None:
    target = tmp_path / "laptop" / ".submodel" / "bundle"
    unpack_bundle(archive, target)
    (bundle / f"{MODEL_FILE}_data").write_bytes(b"weights")
    write_manifest_of(bundle, {**read_bundle(bundle).manifest})
    unpack_bundle(pack_bundle(bundle, tmp_path / "other.submodel").path, target)
    assert len(previous_bundles(target)) == 1


def test_a_name_that_comes_twice(archive: Path, tmp_path: Path) -> None:
    rewrite(archive, lambda entries: [*entries, entries[-1]])
    with pytest.raises(BundleError, match="disagree"):
        unpack_bundle(archive, tmp_path / "out")


def test_a_name_in_two_spellings(archive: Path, tmp_path: Path) -> None:
    name = "Tokenizer.json"
    rewrite(archive, lambda entries: [*add_to_manifest(entries, name, 1), (zipfile.ZipInfo(name), b"x")])
    with pytest.raises(BundleError, match="Windows and macOS"):
        unpack_bundle(archive, tmp_path / "out")


def test_a_link(archive: Path, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    rewrite(archive, lambda entries: [*add_to_manifest(entries, "link", 11), (link, b"/etc/passwd")])
    with pytest.raises(BundleError, match="is a link"):
        unpack_bundle(archive, tmp_path / "out")


def test_a_bomb(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_bundle, "SMALL_BYTES", 1 << 20)
    entry = zipfile.ZipInfo("zeros")
    entry.compress_type = zipfile.ZIP_DEFLATED
    size = 40 * archive.stat().st_size
    rewrite(archive, lambda entries: [*add_to_manifest(entries, "zeros", size), (entry, bytes(size))])
    with pytest.raises(BundleError, match="would become"):
        unpack_bundle(archive, tmp_path / "out")


def test_an_entry_that_holds_more_than_it_says(archive: Path, tmp_path: Path) -> None:
    rewrite(archive, lambda entries: [*add_to_manifest(entries, "small", 1), (zipfile.ZipInfo("small"), bytes(9999))])
    with pytest.raises(BundleError, match="not as long as its manifest says"):
        unpack_bundle(archive, tmp_path / "out")


def test_a_bundle_of_a_later_version_replaces_nothing(archive: Path, bundle: Path, tmp_path: Path) -> None:
    unpack_bundle(archive, tmp_path / "out")

    def later(entries: Entries) -> Entries:
        first, text = entries[0]
        manifest = json.loads(text)
        manifest["prompt"]["a_later_flag"] = True
        manifest.pop(CHECKSUM)
        return [(first, with_checksum(manifest).encode()), *entries[1:]]

    rewrite(archive, later)
    with pytest.raises(BundleError, match=r"prompt key .*; upgrade submodel"):
        unpack_bundle(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(bundle)


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_another_compression(archive: Path, tmp_path: Path, kind: int) -> None:
    def recompress(entries: Entries) -> Entries:
        entries[-1][0].compress_type = kind
        return entries

    rewrite(archive, recompress)
    with pytest.raises(BundleError, match="unusual way"):
        unpack_bundle(archive, tmp_path / "out")


def test_an_entry_with_a_password(archive: Path, tmp_path: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # in the list of files
    archive.write_bytes(data)
    with pytest.raises(BundleError, match="is encrypted"):
        unpack_bundle(archive, tmp_path / "out")


def test_a_manifest_that_is_not_first(archive: Path, tmp_path: Path) -> None:
    rewrite(archive, lambda entries: [*entries[1:], entries[0]])
    with pytest.raises(BundleError, match=r"does not begin with bundle\.json"):
        unpack_bundle(archive, tmp_path / "out")


def test_a_full_disk(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(BundleError, match="has 1,000 left"):
        unpack_bundle(archive, tmp_path / "out")


def test_files_of_others_stay(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(ExportError, match=r"no bundle\.json"):
        unpack_bundle(archive, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"


@pytest.mark.slow
def test_unpacking_and_completing_load_neither_torch_nor_transformers(bundle: Path, tmp_path: Path) -> None:
    archive = pack_bundle(bundle, tmp_path / "bundle.submodel", drafts=False).path
    (tmp_path / "a.txt").write_text("def area(self):\n    return ", "utf-8")
    program = (
        "import sys; from pathlib import Path; from submodel.commands.pack import unpack;"
        "from submodel.commands.complete import complete;"
        f"unpack(Path({str(archive)!r}));"
        "complete(Path('a.txt'), 1, 11, as_json=True);"
        "print(sorted({'torch', 'transformers', 'onnx', 'onnx_ir', 'optimum', 'safetensors'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    document, _, loaded = output.removesuffix("\n").rpartition("\n")
    assert json.loads(document)["text"]
    assert loaded == "[]"
