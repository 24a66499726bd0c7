"""What a registry's files may hold, even signed with the right key, what a web server answers, what a workspace brings.

Each is refused in one sentence. The bundle that was there stays, byte for byte, and nothing else is trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contract.bundle.bundle import Bundle
from contract.bundle.manifest import MODEL_FILE, TOKENIZER_FILE, build_of, read_manifest
from contract.errors import BundleError, SubmodelError
from submodel.registry import fetcher
from submodel.registry.fetcher import RegistryFetcher
from submodel.registry.index import BUNDLE, FILES, MAX_DOCUMENT_BYTES, METADATA, target_path
from submodel.registry.pull_run import PullSettings, run_pull
from submodel.registry.store import FileStore
from testbed.registries import NAME
from tests.attacks.registry_refusals import flip, refuse, signed_anew


def put_document(registry: Path, document: Any) -> None:
    signed_anew(registry, lambda index: index.put(target_path(NAME), json.dumps(document).encode()))


def put_manifest(registry: Path, manifest: dict[str, Any]) -> None:
    content = json.dumps(manifest).encode()
    facts: Any = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    FileStore(registry / FILES).add(facts, iter([content]), "bundle.json", lambda size: None)
    put_document(registry, {"schema": 1, "repository": NAME, "artifacts": [{"kind": BUNDLE, "file": facts}]})


def refuse_manifest(served: Path, registry: Path, words: str) -> None:
    """The registry is named, and what to do there."""
    place = re.escape(str(registry))
    refuse(served, rf"^\S*{place}\S* has a bundle.json .*{words}.*; publish it again\.$", error=BundleError)


@pytest.mark.parametrize(
    "name", ["../../evil", "/tmp/evil", "a/../../evil", "c:evil", "onnx\\..\\evil", "aux", ".git/x"]
)
def test_names_that_lead_elsewhere(served: Path, registry: Path, newer: Path, name: str) -> None:
    """Signed with the right key."""
    manifest: dict[str, Any] = {**read_manifest(newer)}
    manifest["files"] = {**manifest["files"], name: manifest["files"][TOKENIZER_FILE]}
    put_manifest(registry, manifest)
    refuse_manifest(served, registry, "has a bad entry for the file")
    assert not list(served.parent.rglob("evil"))


def test_odd_manifests_and_documents(served: Path, registry: Path, newer: Path) -> None:
    manifest: dict[str, Any] = {**read_manifest(newer)}
    files = manifest["files"]
    facts = files[TOKENIZER_FILE]
    put_manifest(registry, {**manifest, "files": files | {f"f{number}": facts for number in range(300)}})
    refuse_manifest(served, registry, "at most 256")
    put_manifest(registry, {**manifest, "files": files | {"Tokenizer.json": facts}})
    refuse_manifest(served, registry, "one to Windows and macOS")
    put_manifest(registry, {**manifest, "files": files | {"huge": {"bytes": 1 << 60, "sha256": "0" * 64}}})
    refuse(served, "are to be fetched and the disk of")
    put_manifest(registry, {"schema": 99})
    refuse(served, "has the schema 99, .*; upgrade submodel", error=BundleError)
    put_document(registry, {"schema": 2})
    refuse(served, "has the schema 2 for")
    for document in (
        {"schema": 1, "repository": "example.com/acme/other", "artifacts": []},
        {"schema": 1, "repository": NAME, "artifacts": [{"kind": BUNDLE, "file": {"bytes": -1, "sha256": "0" * 64}}]},
        {"schema": 1, "repository": NAME, "artifacts": [{"kind": BUNDLE, "file": {"bytes": 1, "sha256": "../x"}}]},
        {"schema": 1, "repository": NAME, "artifacts": 7},
    ):
        put_document(registry, document)
        refuse(served, "misstates what it has")
    put_document(registry, {"schema": 1, "repository": NAME, "artifacts": [{"kind": "adapter", "of": 1}]})
    refuse(served, "has no bundle for")
    put_document(registry, {"schema": 1, "repository": NAME, "artifacts": [], "more": "x" * MAX_DOCUMENT_BYTES})
    refuse(served, "longer than it may be")
    big = {"kind": BUNDLE, "file": {"bytes": 1 << 40, "sha256": "0" * 64}}
    put_document(registry, {"schema": 1, "repository": NAME, "artifacts": [big]})
    refuse(served, "names a bundle.json of")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes in folders and /dev are of Unix")
def test_pipes_and_devices(served: Path, registry: Path) -> None:
    path = registry / METADATA / "timestamp.json"
    path.unlink()
    os.mkfifo(path)
    refuse(served, "is not a regular file")
    path.unlink()
    path.symlink_to("/dev/zero")
    refuse(served, "is not a regular file")


class Odd(BaseHTTPRequestHandler):
    """Answers each request with the status and the headers that `answers` has for its path."""

    answers: dict[str, tuple[int, dict[str, str], bytes]] = {}  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, headers, body = self.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type[Odd]) -> Iterator[str]:
    """The address of a server that answers by `handler` within the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def odd() -> Iterator[tuple[str, type[Odd]]]:
    handler = type("Handler", (Odd,), {"answers": {}, "asked": []})
    with serving(handler) as address:
        yield address, handler


def test_a_redirect_to_another_scheme(odd: tuple[str, type[Odd]], repository: Path, registry: Path, key: str) -> None:
    address, handler = odd
    root = "/metadata/1.root.json"
    for scheme in (registry.as_uri(), "ftp://127.0.0.1", "https://127.0.0.1:9", "data:text/plain"):
        for status in (301, 302, 303, 307, 308):
            handler.answers[root] = (status, {"Location": f"{scheme}{root}"}, b"")
            refuse(repository, "redirects to another scheme", address, key)
    for place in (root, "//[half"):  # a circle, and no address
        handler.answers[root] = (302, {"Location": place}, b"")
        refuse(repository, "can't be fetched", address, key)
    # To another place of the same scheme it is followed.
    handler.answers[root] = (302, {"Location": f"{address}/other"}, b"")
    handler.answers["/other"] = (200, {}, (registry / METADATA / "1.root.json").read_bytes())
    refuse(repository, "timestamp.json can't be fetched", address, key)


def test_a_server_that_drips_is_given_up(repository: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then is no silence: such an answer would never end."""
    monkeypatch.setattr(fetcher, "PATIENCE_S", 0.5)

    has_ended = threading.Event()

    class Drips(Odd):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                for _ in range(6000):
                    self.wfile.write(b"{")
                    self.wfile.flush()
                    time.sleep(0.05)
                has_ended.set()

    with serving(Drips) as address:
        refuse(repository, "less than a kilobyte a second|nothing of the file", address, key)
    assert not has_ended.is_set(), "the answer was waited for"


def test_what_comes_with_a_redirect_is_not_read(odd: tuple[str, type[Odd]], monkeypatch: pytest.MonkeyPatch) -> None:
    """urllib would read all of it into memory. Succeeds on de82a37."""
    address, handler = odd
    handler.answers["/a"] = (302, {"Location": f"{address}/b"}, bytes(1_000_000))
    handler.answers["/b"] = (200, {}, b"content")
    sizes: list[int] = []
    read = HTTPResponse.read

    def count(response: HTTPResponse, *arguments: int) -> bytes:
        content = read(response, *arguments)
        sizes.append(len(content))
        return content

    monkeypatch.setattr(HTTPResponse, "read", count)
    assert b"".join(RegistryFetcher().fetch(f"{address}/a")) == b"content"
    assert sum(sizes) == 0


def test_odd_answers(odd: tuple[str, type[Odd]], repository: Path, key: str) -> None:
    address, handler = odd
    root = "/metadata/1.root.json"
    for answer, words in (
        ((500, {}, b""), "the server answers 500"),
        ((200, {"Content-Length": "1000"}, b"{}"), "is damaged|can't be fetched"),
        ((200, {}, b"<html>"), "a web page, such as a login"),
        ((200, {}, b"[" * 100_000), "is damaged"),
        ((200, {}, b'{"signed": {"_type": "timestamp"}}'), "is damaged"),
    ):
        handler.answers[root] = answer
        refuse(repository, words, address, key)
    assert handler.asked
    assert not any(part in path for path in handler.asked for part in ("..", *re.findall(r"\w+", NAME)))


@pytest.mark.parametrize(
    "address",
    [
        "https://me:secret@example.com/x",
        "ftp://example.com/x",
        "s3://bucket/x",
        "file://host/x",
        "https:///x",
        "https://[half/x",
        "https://example.com:0/x",
        "https://example.com:99999/x",
    ],
)
def test_addresses_that_are_not_taken(address: str, repository: Path, key: str) -> None:
    sentence = refuse(repository, "give (an https://|it without)", address, key)
    assert "secret" not in sentence


def test_a_workspace_names_neither_registry_nor_key(
    repository: Path, registry: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = json.dumps({"address": str(registry), "key": key})
    for name in ("registry.json", ".submodel/registry.json"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text(settings)
    monkeypatch.chdir(repository)
    refuse(repository, "No registry is set")
    refuse(repository, "No key is set", registry)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_workspace_that_is_not_the_users(repository: Path, registry: Path, key: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (repository / ".submodel").symlink_to(elsewhere)
    with pytest.raises(SubmodelError, match="link"):
        run_pull(PullSettings(folder=repository, address=str(registry), key=key))
    assert not list(elsewhere.iterdir())


def test_a_changed_store_is_no_way_into_a_bundle(
    served: Path, registry: Path, tiny_bundle: Bundle, newer: Path
) -> None:
    facts = tiny_bundle.manifest["files"][MODEL_FILE]
    path = FileStore(Path(os.environ["SUBMODEL_CACHE"]) / "registry").place_of(facts["sha256"])
    flip(path, 1000)
    pulled = run_pull(PullSettings(folder=served))
    assert pulled.build == build_of(newer) and pulled.fetched_bytes > facts["bytes"]
    assert (pulled.bundle / MODEL_FILE).read_bytes() == (newer / MODEL_FILE).read_bytes()
