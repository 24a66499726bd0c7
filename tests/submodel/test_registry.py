"""Pulling bundles from a registry: names, what is fetched, what is kept."""

from __future__ import annotations

import json
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.message import Message
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock
from urllib.error import HTTPError, URLError

import pytest
from tuf.api.exceptions import DownloadError
from typer.testing import CliRunner

from builder.bases.catalogue import CACHE_VARIABLE
from contract.bundle.bundle import WORKSPACE_BUNDLE, Bundle, find_trusted_bundle, read_bundle
from contract.bundle.manifest import MODEL_FILE, build_of
from contract.bundle.previous import previous_bundles
from contract.bundle.trusted_builds import forget_build
from contract.errors import CorpusError, RegistryError
from contract.files.state_folder import state_folder
from fleet.fleet_file import BuildPart, Repository, TaskPart
from fleet.identity import remote_of
from fleet.publishing import publish_run
from lsp_server.pulled_builds import REGISTRY_FILE, PulledFrom, pulled_from
from submodel.app import app
from submodel.registry import fetcher, pull_run
from submodel.registry.fetcher import RegistryFetcher
from submodel.registry.names import given_name, names_of, repository_name, repository_root
from submodel.registry.pull_run import PullSettings, run_pull
from testbed.git import git
from testbed.registries import NAME, make_repository, publish

SAME = [
    "https://github.com/Acme/App.git",
    "https://github.com/acme/app",
    "https://github.com/acme/app/",
    "https://someone:secret@github.com/acme/app.git",
    "https://github.com:443/acme/app",
    "http://token@github.com/acme/app.git",
    "git@github.com:acme/app.git",
    "github.com:/acme/app",
    "ssh://git@github.com/acme/app.git",
    "ssh://git@github.com:22/acme//app.git/",
    "git://GitHub.com/acme/app.git",
]
NO_NAMES = [
    "",
    "/srv/git/app.git",
    "../app",
    "file:///srv/git/app.git",
    "C:\\git\\app",
    "C:/git/app",
    "https://github.com/",
    "https://github.com/acme/../../etc",
    "https://../app",
    "https://[half/app",
    "ext::sh -c evil",
    "https://github.com/a\nb",
    "https://github.com/acme/a%5c..%5cb",
    f"https://github.com/{'a' * 1000}",
]


@pytest.mark.parametrize("remote", SAME)
def test_all_forms_of_a_remote_have_one_name(remote: str) -> None:
    assert repository_name(remote) == "github.com/acme/app"


@pytest.mark.parametrize("remote", NO_NAMES)
def test_what_is_on_this_machine_or_odd_has_no_name(remote: str) -> None:
    assert repository_name(remote) is None


def test_a_name_is_given_as_it_stands_in_the_registry_or_as_an_address() -> None:
    for text in ("GitHub.com/acme/app", "github.com:8443/acme/app", "git@github.com:acme/app", SAME[0]):
        assert given_name(text) == "github.com/acme/app"
    assert given_name("git@example.com:8443/app") == "example.com/8443/app", "git's short form has no port"
    for text in ("app", "../app", "file:///srv/git/app.git"):
        with pytest.raises(RegistryError, match="no repository's name"):
            given_name(text)


def test_names_of_a_repository(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "app", "/srv/git/app.git")
    with pytest.raises(RegistryError, match="no git remote on another machine"):
        names_of(root)
    for name, remote in (("fork", "https://example.com/me/app"), ("again", "git@example.com:me/app")):
        git(root, "remote", "add", name, remote)
    git(root, "remote", "set-url", "origin", "https://example.com/acme/app")
    assert names_of(root) == ["example.com/acme/app", "example.com/me/app"]
    git(root, "config", "remote.origin.partialclonefilter", "blob:none")
    assert names_of(root) == ["example.com/acme/app", "example.com/me/app"]
    (root / "src" / "deep").mkdir(parents=True)
    assert repository_root(root / "src" / "deep") == root
    with pytest.raises(RegistryError, match="no git remote"):
        names_of(tmp_path)


def test_a_remote_has_its_name_by_the_address_that_it_was_given(tmp_path: Path) -> None:
    """A company's git fetches from its mirror: each machine that has no such rule must find the same name."""
    root = make_repository(tmp_path / "app", "https://example.com/acme/app")
    git(root, "config", "url.https://mirror.example.org/cache/.insteadOf", "https://example.com/")
    assert names_of(root) == ["example.com/acme/app", "mirror.example.org/cache/acme/app"]
    repository = Repository(name="app", source=str(root), ref="HEAD", build=BuildPart(), task=TaskPart())
    assert remote_of(repository) == "https://example.com/acme/app"
    git(root, "config", "url.git@example.com:.insteadOf", "ex:")
    git(root, "remote", "set-url", "origin", "ex:acme/app")
    assert names_of(root)[0] == "example.com/acme/app", "a shorthand of this machine is no name"
    assert remote_of(repository) == "git@example.com:acme/app"


def test_a_pulled_bundle_is_whole_and_trusted(
    registry: Path, published: tuple[Path, str], repository: Path, tiny_bundle: Bundle
) -> None:
    pulled = run_pull(PullSettings(folder=repository, address=str(registry), key=published[1]))
    assert (pulled.state, pulled.repository, pulled.build) == ("pulled", NAME, tiny_bundle.build)
    assert find_trusted_bundle(repository) == pulled.bundle == repository / WORKSPACE_BUNDLE
    assert read_bundle(pulled.bundle).build == tiny_bundle.build
    assert pulled_from(pulled.build) == PulledFrom(address=pulled.address, name=None)
    (state_folder() / REGISTRY_FILE).write_text(json.dumps({"address": "https://other/", "key": "another"}))
    known = pulled_from(pulled.build)
    assert known is not None and known.command(None) == ("submodel", "pull", "https://other/"), "a key may have leaked"
    (state_folder() / REGISTRY_FILE).unlink()
    known = pulled_from(pulled.build)
    assert known is not None and known.command(None) == ("submodel", "pull", pulled.address, "--key", published[1])
    assert (repository / ".submodel" / ".gitignore").read_text() == "*\n"
    size = sum(path.stat().st_size for path in tiny_bundle.folder.rglob("*") if path.is_file())
    assert pulled.bundle_bytes == size < pulled.fetched_bytes < size + 100_000


def test_each_file_is_fetched_once(
    registry: Path, published: tuple[Path, str], repository: Path, newer: Path, tmp_path: Path
) -> None:
    settings = PullSettings(folder=repository, address=str(registry), key=published[1])
    first = run_pull(settings)
    assert run_pull(settings).state == "unchanged"
    publish(newer, registry)
    second = run_pull(settings)
    assert (second.state, second.build) == ("pulled", build_of(newer))
    model = (newer / MODEL_FILE).stat().st_size
    assert second.fetched_bytes < model < first.fetched_bytes  # the index, and bundle.json
    assert previous_bundles(second.bundle) == [], "the graph is the same, so there is nothing to go back to"
    publish(newer, registry, name="example.com/acme/other")
    other = make_repository(tmp_path / "other", "https://example.com/acme/other")
    third = run_pull(PullSettings(folder=other))  # address and key of the run before
    assert third.build == second.build and third.fetched_bytes < model


def test_a_bundle_that_was_damaged_or_is_not_trusted_any_more_is_put_right(
    registry: Path, published: tuple[Path, str], repository: Path
) -> None:
    settings = PullSettings(folder=repository, address=str(registry), key=published[1])
    first = run_pull(settings)
    forget_build(first.build)
    assert run_pull(settings).state == "unchanged"
    assert find_trusted_bundle(repository) == first.bundle
    # A hard link: the same bytes lie in the store.
    model = first.bundle / MODEL_FILE
    content = model.read_bytes()
    model.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert run_pull(settings).state == "pulled"
    assert read_bundle(first.bundle).build == first.build


def test_a_mirror_is_a_copy_of_the_folder(registry: Path, published: tuple[Path, str], repository: Path) -> None:
    first = run_pull(PullSettings(folder=repository, address=str(registry), key=published[1]))
    mirror = registry.rename(registry.with_name("mirror"))
    shutil.rmtree(first.bundle)
    again = run_pull(PullSettings(folder=repository, address=mirror.as_uri()))
    assert (again.state, again.build) == ("pulled", first.build)
    kept = json.loads((state_folder() / REGISTRY_FILE).read_text())
    assert kept == {"address": f"{registry.as_uri()}/", "key": published[1]}  # of the run that gave a key


class Quiet(SimpleHTTPRequestHandler):
    """A web server as anybody has one."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(registry: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(registry)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_over_http_and_through_a_proxy(
    site: str, published: tuple[Path, str], repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever asks for another host gets the registry: the proxy passes for it. A proxy is given the whole address.
    monkeypatch.setattr(Quiet, "path", property(lambda self: self._path, _keep_path), raising=False)
    monkeypatch.setenv("http_proxy", site)
    monkeypatch.setenv("no_proxy", "")
    pulled = run_pull(PullSettings(folder=repository, address="http://models.invalid", key=published[1]))
    assert pulled.state == "pulled"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert run_pull(PullSettings(folder=repository, address=f"{site}/", key=published[1])).state == "unchanged"


@pytest.mark.parametrize(
    ("status", "page", "sentence"),
    [
        (401, b"", r"the server answers 401\); it asks for a password, and pull sends none: copy the registry"),
        (403, b"", r"the server answers 403\); it is no registry, or half copied"),
        (200, b"\n<!DOCTYPE html><title>Log in</title>", "answers with a web page, such as a login, and not with"),
    ],
)
def test_a_server_that_wants_a_login(
    site: str, repository: Path, monkeypatch: pytest.MonkeyPatch, status: int, page: bytes, sentence: str
) -> None:
    def answer(self: Quiet) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    monkeypatch.setattr(Quiet, "do_GET", answer)
    with pytest.raises(RegistryError, match=sentence):
        run_pull(PullSettings(folder=repository, address=site, key="0" * 64))


def _keep_path(self: Quiet, path: str) -> None:
    self._path = path.removeprefix("http://models.invalid")  # type: ignore[attr-defined]


def test_nobody_answers(repository: Path, published: tuple[Path, str]) -> None:
    with pytest.raises(RegistryError, match=r"can't be fetched .*; try again, or give another address\.$"):
        run_pull(PullSettings(folder=repository, address="http://127.0.0.1:9", key=published[1]))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            URLError(OSError("Tunnel connection failed: 407 Proxy Authentication Required")),
            "the proxy asks for a password",
        ),
        (HTTPError("", 407, "", Message(), None), "the proxy asks for a password"),
        (HTTPError("", 404, "", Message(), None), "the server answers 404)"),
        (URLError(ConnectionRefusedError(111, "Connection refused")), "[Errno 111] Connection refused)"),
    ],
)
def test_why_a_file_does_not_come_is_said(monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    opener = Mock()
    opener.open.side_effect = error
    monkeypatch.setattr(fetcher, "_opener", lambda: opener)
    with pytest.raises(DownloadError, match=re.escape(f"https://models.example/a can't be fetched ({said}")):
        RegistryFetcher().download_bytes("https://models.example/a", 1000)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_cache_is_closed_to_other_accounts(
    registry: Path, published: tuple[Path, str], repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a model has learned, and the drafts, are a repository's code. The registry itself is for all to read."""
    settings = PullSettings(folder=repository, address=str(registry), key=published[1])
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setattr(pull_run, "cache_folder", lambda: tmp_path / "own")
    cache = tmp_path / "own" / "registry"
    run_pull(settings)
    assert cache.stat().st_mode & 0o777 == 0o700
    cache.chmod(0o775)
    run_pull(settings)
    assert cache.stat().st_mode & 0o777 == 0o775, "several accounts may share it"


def test_what_is_not_in_the_registry(registry: Path, published: tuple[Path, str], repository: Path) -> None:
    with pytest.raises(RegistryError, match=r"has no bundle for example\.com/acme/none; publish one"):
        run_pull(PullSettings(folder=repository, address=str(registry), key=published[1], name="example.com/acme/none"))
    assert not (repository / ".submodel").exists()
    kept = json.loads((state_folder() / REGISTRY_FILE).read_text())
    assert kept["key"] == published[1], "the next repository needs no key"


def test_a_package_that_was_pulled_by_name_is_pulled_again_by_it(
    registry: Path, published: tuple[Path, str], repository: Path
) -> None:
    part = repository / "part"
    part.mkdir()
    pulled = run_pull(PullSettings(folder=part, address=str(registry), key=published[1], name=NAME))
    source = pulled_from(pulled.build)
    assert source is not None
    assert source.command(part) == ("submodel", "pull", pulled.address, str(part), "--repository", NAME)


def test_a_package_of_a_larger_repository_has_its_own_bundle(
    registry: Path, published: tuple[Path, str], repository: Path, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(newer, registry, name=f"{NAME}/billing")
    package = repository / "services" / "billing"
    settings = PullSettings(folder=package, address=str(registry), key=published[1], name=f"{NAME}/billing")
    for wrong in (settings, replace(settings, name=None)):  # by its remotes it would be the repository's
        with pytest.raises(CorpusError, match="no folder"):
            run_pull(wrong)
    package.mkdir(parents=True)
    assert run_pull(settings).bundle == package / WORKSPACE_BUNDLE
    assert find_trusted_bundle(package) == package / WORKSPACE_BUNDLE
    assert not (repository / ".submodel").exists()
    monkeypatch.chdir(package)  # no folder is named: it would go to all of the repository
    with pytest.raises(RegistryError, match=r"This folder lies in the repository .*: `\.` for this one"):
        run_pull(replace(settings, folder=None))
    assert not (repository / ".submodel").exists()
    monkeypatch.chdir(repository)
    assert run_pull(replace(settings, folder=None)).bundle == repository / WORKSPACE_BUNDLE


def sum_of(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()):,}"


def test_a_pull_prints_when_the_bundle_was_published(
    registry: Path, published: tuple[Path, str], repository: Path, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    with monkeypatch.context() as patch:
        patch.setattr(publish_run, "datetime", Mock(now=lambda zone: day))
        publish(newer, registry)
    publish(newer, registry)  # it is there already, and keeps its date
    monkeypatch.chdir(repository)
    for words in (f"({sum_of(newer)} bytes, ", "is the newest one, "):
        done = CliRunner().invoke(app, ["pull", str(registry), "--key", published[1], "--json"])
        assert words in done.stderr and done.stderr.endswith("published on 2023-11-14.\n")
        assert json.loads(done.stdout)["published_at"] == "2023-11-14T22:13:20+00:00"
