"""What `submodel-fleet publish` takes into a registry, under which name, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from typer.testing import CliRunner

from contract.bundle.bundle import WORKSPACE_BUNDLE, Bundle, read_bundle
from contract.bundle.drafts import FOLDER as DRAFTS
from contract.bundle.manifest import MANIFEST_FILE, build_of, write_manifest, write_manifest_of
from contract.bundle.trusted_builds import trust_build
from contract.errors import RegistryError
from contract.files.state_folder import VARIABLE
from fleet.app import app
from fleet.publishing import publish_run
from fleet.publishing.found_bundles import find_bundles
from fleet.publishing.publish_run import PublishedRow, PublishSettings, run_publish
from submodel.registry.index import FILES
from submodel.registry.pull_run import PullSettings, run_pull
from submodel.registry.store import FileStore
from testbed.registries import NAME, REMOTE, make_repository, publish


def test_a_folder_of_repositories_and_of_results(tiny_bundle: Bundle, newer: Path, tmp_path: Path) -> None:
    """One row a bundle: what can't be published keeps nothing else from it. Only a trusted bundle is signed."""
    folder = tmp_path / "results"
    write_manifest(newer, {**read_bundle(newer).manifest, "mark": "mine"})
    trust_build(build_of(newer))
    for name, remote in (
        ("a", "https://example.com/acme/a"),
        ("b", None),
        ("c", "git@example.com:acme/a"),
        ("local", "file:///srv/git/app.git"),
        ("relative", "../app"),
        ("part", ""),
    ):
        shutil.copytree(newer, folder / name / "bundle")
        if remote is not None:
            (folder / name / "result.json").write_text(json.dumps({"remote": remote or None}))
    clone = make_repository(folder / "clone", "https://example.com/acme/clone")
    shutil.copytree(tiny_bundle.folder, clone / WORKSPACE_BUNDLE)  # of this account
    stranger = make_repository(folder / "stranger", "https://example.com/acme/stranger")
    shutil.copytree(newer, stranger / WORKSPACE_BUNDLE)
    write_manifest(stranger / WORKSPACE_BUNDLE, {**read_bundle(newer).manifest, "mark": "another"})
    shutil.copytree(stranger / WORKSPACE_BUNDLE, folder / "disguised" / "bundle")
    (folder / "disguised" / "result.json").write_text(json.dumps({"remote": "https://example.com/acme/d"}))
    (folder / "empty").mkdir()
    shutil.copytree(folder / "a", folder / ".a.replaced")  # that a killed fleet has left
    settings = PublishSettings(
        folder=folder, registry=tmp_path / "registry", key_file=tmp_path / "key.pem", is_new=True, drafts=False
    )
    _, rows = run_publish(settings)
    states = {row.bundle.relative_to(folder).parts[0]: row.state for row in rows}
    assert states == {
        "a": "published",
        "b": "failed",
        "c": "failed",
        "clone": "published",
        "local": "failed",
        "relative": "failed",
        "part": "failed",
        "stranger": "failed",
        "disguised": "failed",
    }
    errors = {row.bundle.relative_to(folder).parts[0]: row.error for row in rows if row.error}
    alone = {name: f"publish {folder / name / 'bundle'} alone, with its name" for name in errors}
    assert alone["b"] in errors["b"]
    assert (
        f"{folder / 'c' / 'bundle'} is another bundle of example.com/acme/a than {folder / 'a' / 'bundle'}; publish it"
        in errors["c"]
    )
    assert all(f"is a path of this machine; {alone[name]}" in errors[name] for name in ("local", "relative"))
    assert f"names no remote; {alone['part']}" in errors["part"]
    for name in ("stranger", "disguised"):
        assert "was not built by this account" in errors[name]


def test_of_a_fleet_s_results_those_that_its_index_names_are_published(
    tiny_bundle: Bundle, registry: Path, tmp_path: Path
) -> None:
    """What the file no longer names stays in the folder, and may be years old."""
    folder = tmp_path / "results"
    for name in ("kept", "gone"):
        shutil.copytree(tiny_bundle.folder, folder / name / "bundle")
        (folder / name / "result.json").write_text(json.dumps({"remote": f"https://example.com/acme/{name}"}))
    (folder / "fleet.json").write_text(json.dumps({"repositories": [{"name": "kept"}, {"name": "new"}]}))
    said: list[str] = []
    settings = PublishSettings(folder=folder, registry=registry, key_file=registry.with_suffix(".pem"))
    _, rows = run_publish(settings, on_event=said.append)
    assert [(row.repository, row.state) for row in rows] == [("example.com/acme/kept", "published")]
    assert len(said) == 1 and said[0].startswith(f"1 results in {folder}, first gone, are left out")
    for damaged in ("{", "[]", "{}"):
        (folder / "fleet.json").write_text(damaged)
        with pytest.raises(RegistryError, match=r"fleet\.json can't be read .*; run `submodel-fleet build` again"):
            run_publish(settings)


def test_the_exit_code_says_that_one_was_not_published(tiny_bundle: Bundle, newer: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    for name, bundle in (("own", tiny_bundle.folder), ("stranger", newer)):
        root = make_repository(folder / name, f"https://example.com/acme/{name}")
        shutil.copytree(bundle, root / WORKSPACE_BUNDLE)
    write_manifest(root / WORKSPACE_BUNDLE, {**read_bundle(newer).manifest, "mark": "a stranger's"})
    options = ["--to", str(tmp_path / "registry"), "--key", str(tmp_path / "key.pem")]
    done = CliRunner().invoke(app, ["publish", str(folder), *options, "--new", "--json"])
    assert done.exit_code == 1
    rows = json.loads(done.stdout)["bundles"]
    assert [(row["state"], row.get("repository")) for row in rows] == [
        ("published", "example.com/acme/own"),
        ("failed", "example.com/acme/stranger"),
    ]
    assert "was not built by this account" in done.stderr
    shutil.rmtree(folder / "stranger")
    assert CliRunner().invoke(app, ["publish", str(folder), *options]).exit_code == 0


def test_a_name_is_for_one_bundle_and_a_folder_must_have_one(tiny_bundle: Bundle, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(tiny_bundle.folder, tmp_path / "results" / name / "bundle")
    (tmp_path / "empty").mkdir()
    for folder, error in (
        ("results", "--repository names one bundle, and .* has 2; publish one of them alone, such as .*bundle"),
        ("empty", "has no bundle; name one"),
        ("nowhere", "has no bundle; name one"),
    ):
        settings = PublishSettings(
            folder=tmp_path / folder, registry=tmp_path / "registry", key_file=tmp_path / "k", is_new=True, name=NAME
        )
        with pytest.raises(RegistryError, match=error):
            run_publish(settings)
    assert not (tmp_path / "registry").exists()


def publish_as(
    bundle: Path, learned: list[str], registry: Path, root: Path, name: str | None = None
) -> list[PublishedRow]:
    """Publish a bundle that was built of these texts in a repository whose remote claims NAME."""
    folder = (root if root.is_dir() else make_repository(root)) / WORKSPACE_BUNDLE
    shutil.copytree(bundle, folder, dirs_exist_ok=True)
    write_manifest(folder, {**read_bundle(folder).manifest, "learned_sha256": learned})
    trust_build(build_of(folder))
    key_file = registry.with_suffix(".pem")
    return run_publish(PublishSettings(folder=root, registry=registry, key_file=key_file, name=name))[1]


def test_the_name_that_a_clone_gives_itself_replaces_no_other_code(
    tiny_bundle: Bundle, newer: Path, registry: Path, tmp_path: Path
) -> None:
    """An archive whose git configuration claims to be the repository of another team."""
    publish_as(tiny_bundle.folder, ["a" * 64, "b" * 64], registry, tmp_path / "theirs")
    rows = publish_as(newer, ["b" * 64, "c" * 64], registry, tmp_path / "again")
    assert [row.error for row in rows] == [None], "a later version of the same code"
    [row] = publish_as(newer, ["d" * 64], registry, tmp_path / "stranger")
    assert row.error is not None
    assert f"publish {row.bundle} alone with --repository {NAME}" in row.error
    [row] = publish_as(newer, ["d" * 64], registry, tmp_path / "stranger", name=NAME)
    assert row.error is None


def test_a_few_common_files_make_no_clone_the_same_repository(
    tiny_bundle: Bundle, newer: Path, registry: Path, tmp_path: Path
) -> None:
    """One text may be a licence; a bundle may name none."""
    texts = [f"{number:064x}" for number in range(40)]
    publish_as(tiny_bundle.folder, texts, registry, tmp_path / "theirs")
    for number, learned in enumerate(([], texts[:1], texts[:3])):
        [row] = publish_as(newer, learned, registry, tmp_path / f"stranger{number}")
        assert row.error is not None and f"of its 40 this one knows {len(learned)}." in row.error
    [row] = publish_as(newer, [*texts[:4], *("f" + text[1:] for text in texts)], registry, tmp_path / "again")
    assert row.error is None, "a later version, most of which was rewritten"


def remove_manifest(document: Path, place: Path) -> str:
    place.unlink()
    return "No such file or directory"


def change_manifest(document: Path, place: Path) -> str:
    place.write_text("[]")
    return "its bundle.json has changed"


def change_document(document: Path, place: Path) -> str:
    document.write_text(document.read_text().replace('"bundle"', '"other"'))
    return "its document has changed"


@pytest.mark.parametrize("damage", [remove_manifest, change_manifest, change_document])
def test_who_damages_a_registry_s_bundle_gets_no_other_code_signed_under_its_name(
    tiny_bundle: Bundle, newer: Path, registry: Path, tmp_path: Path, damage: Callable[[Path, Path], str]
) -> None:
    """Whoever can write to the folder has no key, and waits for the next run of one who has it."""
    [theirs] = publish_as(tiny_bundle.folder, ["a" * 64], registry, tmp_path / "theirs")
    assert theirs.build is not None
    place = FileStore(registry / FILES).place_of(theirs.build)
    [document] = [one for one in (registry / "repositories").iterdir() if theirs.build in one.read_text()]
    why = damage(document, place)
    [row] = publish_as(newer, ["d" * 64], registry, tmp_path / "stranger")
    assert row.error is not None
    assert f"can't be compared with this one ({why})" in row.error
    assert f"publish {row.bundle} alone with --repository {NAME}" in row.error
    [row] = publish_as(newer, ["d" * 64], registry, tmp_path / "stranger", name=NAME)
    assert row.error is None


def test_a_clone_s_own_bundle_json_is_no_bundle_that_the_user_named(newer: Path, tmp_path: Path) -> None:
    clone = make_repository(tmp_path / "clone", "https://example.com/acme/clone")
    shutil.copytree(newer, clone, dirs_exist_ok=True)
    write_manifest(clone, {**read_bundle(newer).manifest, "mark": "the clone's"})
    settings = PublishSettings(
        folder=clone, registry=tmp_path / "registry", key_file=tmp_path / "key.pem", is_new=True, name=NAME
    )
    _, [row] = run_publish(settings)
    assert row.error is not None and "was not built by this account" in row.error


def test_an_archive_s_own_bundle_json_does_not_hide_what_was_built_of_it(newer: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(newer, archive)
    shutil.copytree(newer, archive / WORKSPACE_BUNDLE)
    assert find_bundles(archive) == [(archive / WORKSPACE_BUNDLE, False)]
    shutil.rmtree(archive / ".submodel")
    assert find_bundles(archive) == [(archive, True)]


def test_a_part_of_a_repository_is_not_published_under_the_name_of_the_whole(newer: Path, tmp_path: Path) -> None:
    whole = make_repository(tmp_path / "mono", "https://example.com/acme/mono")
    shutil.copytree(newer, whole / "services" / "billing" / WORKSPACE_BUNDLE)
    settings = PublishSettings(
        folder=whole / "services" / "billing",
        registry=tmp_path / "registry",
        key_file=tmp_path / "key.pem",
        is_new=True,
    )
    _, [row] = run_publish(settings)
    assert row.error is not None and row.error.endswith(
        f"is a part of a git repository; publish {row.bundle} alone, with its name in the registry as --repository."
    )


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{")], ids=["lost", "damaged"])
def test_publishing_again_mends_a_registry_whose_document_is_gone(
    registry: Path, tiny_bundle: Bundle, damage: Callable[[Path], object]
) -> None:
    publish(tiny_bundle.folder, registry)
    [document] = (registry / "repositories").iterdir()
    content = document.read_bytes()
    damage(document)
    publish(tiny_bundle.folder, registry)
    assert document.read_bytes() == content


def test_the_private_key_is_not_kept_where_everybody_reads(tiny_bundle: Bundle, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    settings = PublishSettings(
        folder=tiny_bundle.folder, registry=registry, key_file=registry / "keys" / "key.pem", is_new=True, name=NAME
    )
    with pytest.raises(RegistryError, match="keep it elsewhere"):
        run_publish(settings)
    assert not registry.exists()


def test_a_name_that_was_removed_is_not_pulled_any_more(
    registry: Path, published: tuple[Path, str], repository: Path, newer: Path
) -> None:
    publish(newer, registry, name="example.com/acme/other")
    settings = PullSettings(folder=repository, address=str(registry), key=published[1])
    pulled = run_pull(settings)
    words = ["publish", "--to", str(registry), "--key", str(registry.with_suffix(".pem"))]
    done = CliRunner().invoke(app, [*words, "--remove", REMOTE, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["removed"] == NAME
    with pytest.raises(RegistryError) as refused:
        run_pull(settings)
    assert str(refused.value) == (
        f"The registry {registry.as_uri()}/ has no bundle for {NAME}: it was removed, or has another name there, which "
        f"--repository gives; the one in {pulled.bundle} stays, and `submodel trust --forget` stops its use."
    )
    assert run_pull(replace(settings, name="example.com/acme/other")).state == "pulled", "the others stay"
    again = CliRunner().invoke(app, [*words, "--remove", NAME])
    assert again.exit_code == 1 and f"has no bundle for {NAME}" in str(again.exception)
    publish(newer, registry)
    assert run_pull(settings).build == build_of(newer)


@pytest.mark.parametrize(
    "more", [[], ["bundle", "--remove", NAME], ["--remove", NAME, "--new"], ["--remove", NAME, "--no-drafts"]]
)
def test_a_bundle_is_published_or_a_name_removed(registry: Path, more: list[str]) -> None:
    words = ["publish", "--to", str(registry), "--key", str(registry.with_suffix(".pem")), *more]
    assert CliRunner().invoke(app, words).exit_code == 2


def test_the_index_is_renewed_even_if_no_bundle_can_be_published(
    registry: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all laptops would refuse it after 30 days of nightly runs. A new registry is not begun without a bundle."""
    monkeypatch.setattr(publish_run, "read_bundle", lambda bundle: read_bundle(tmp_path / "nowhere"))
    index = registry / "metadata" / "timestamp.json"
    before = json.loads(index.read_bytes())["signed"]
    settings = PublishSettings(
        folder=tiny_bundle.folder, registry=registry, key_file=registry.with_suffix(".pem"), name=NAME, valid_days=60
    )
    for one in (settings, replace(settings, registry=tmp_path / "new", is_new=True)):
        _, [row] = run_publish(one)
        assert row.state == "failed"
    after = json.loads(index.read_bytes())["signed"]
    assert after["expires"] > before["expires"] and after["version"] > before["version"]
    assert not (tmp_path / "new" / "metadata").exists()


def test_without_drafts(tiny_bundle: Bundle, repository: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))
    (bundle / DRAFTS).mkdir()
    (bundle / DRAFTS / "tokens.npy").write_bytes(b"the repository's code")
    write_manifest_of(bundle, {**tiny_bundle.manifest, "drafts": {"tokens": 9}})
    settings = PublishSettings(
        folder=bundle,
        registry=tmp_path / "slim",
        key_file=tmp_path / "slim.pem",
        is_new=True,
        name=NAME,
        drafts=False,
    )
    key, _ = run_publish(settings)
    pulled = run_pull(PullSettings(folder=repository, address=str(settings.registry), key=key))
    assert "drafts" not in read_bundle(pulled.bundle).manifest and not (pulled.bundle / DRAFTS).exists()
    assert "drafts" in read_bundle(bundle).manifest
    words = ["publish", str(bundle), "--to", str(tmp_path / "full"), "--key", str(tmp_path / "full.pem"), "--new"]
    done = CliRunner().invoke(app, [*words, "--repository", NAME])
    assert done.exit_code == 0 and "own code goes along" in done.stderr
    done = CliRunner().invoke(app, [*words[:-1], "--repository", NAME, "--no-drafts"])
    assert done.exit_code == 0 and "own code" not in done.stderr


def test_a_key_and_a_registry_are_begun_only_when_asked(tiny_bundle: Bundle, registry: Path, tmp_path: Path) -> None:
    def settings(folder: Path, key: Path, is_new: bool) -> PublishSettings:
        return PublishSettings(folder=tiny_bundle.folder, registry=folder, key_file=key, is_new=is_new, name=NAME)

    key = tmp_path / "other.pem"
    with pytest.raises(RegistryError, match="is no registry"):
        run_publish(settings(tmp_path / "new", key, False))
    with pytest.raises(RegistryError, match="a registry already"):
        run_publish(settings(registry, key, True))
    with pytest.raises(RegistryError, match="There is no key"):
        run_publish(settings(registry, key, False))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").touch()
    with pytest.raises(RegistryError, match="holds other files"):
        run_publish(settings(tmp_path / "thesis", key, True))
    key.write_text("nothing")
    with pytest.raises(RegistryError, match="can't be used"):
        run_publish(settings(registry, key, False))
    protected, other = Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(pem_of(protected, BestAvailableEncryption(b"a password")))
    with pytest.raises(
        RegistryError, match=r"can't be used .*private key is encrypted.*; give a PEM file without a password"
    ):
        run_publish(settings(registry, key, False))
    key.write_bytes(pem_of(other, NoEncryption()))
    with pytest.raises(RegistryError, match="is not an Ed25519 key"):
        run_publish(settings(registry, key, False))


def pem_of(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey, encryption: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.slow
def test_the_two_commands(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """As users call them; pulling loads nothing that only building or signing needs."""
    environment = os.environ | {VARIABLE: str(tmp_path / "state"), "SUBMODEL_CACHE": str(tmp_path / "cache")}

    def run(*arguments: object, code: int = 0, cwd: Path = tmp_path, program: str = "submodel") -> str:
        command = [sys.executable, "-m", program, *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    options = ("--to", "reg", "--key", "key.pem", "--new", "--repository", NAME, "--json")
    said = run("publish", tiny_bundle.folder, *options, program="fleet")
    document = json.loads(said)
    assert [(row["repository"], row["state"]) for row in document["bundles"]] == [(NAME, "published")]
    if sys.platform != "win32":
        assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    clone = make_repository(tmp_path / "clone")
    assert run("pull", tmp_path / "reg", cwd=clone, code=1).strip().endswith("ask the people who publish it.")
    pulled = json.loads(run("pull", tmp_path / "reg", "--key", document["key"], "--json", cwd=clone))
    assert (pulled["state"], pulled["build"]) == ("pulled", tiny_bundle.build)
    probe = (
        "import sys\nsys.argv = ['submodel', 'pull']\nfrom submodel.app import main\nmain_error = None\n"
        "try:\n    main()\nexcept SystemExit as error:\n    main_error = error.code\n"
        "print(sorted({'torch', 'transformers', 'onnx', 'onnxruntime', 'ray', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=clone, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[]" and "is the newest one" in done.stderr
    assert (clone / WORKSPACE_BUNDLE / MANIFEST_FILE).is_file()
