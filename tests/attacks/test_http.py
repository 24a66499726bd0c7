"""What other programs of a machine, and web pages in its browser, can do to `submodel serve --http`."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from contract.bundle.bundle import Bundle
from contract.files.state_folder import StateFolderError, state_folder
from lsp_server.http import http_transport as serve
from lsp_server.http.guard import TOKEN_FILE, Guard, read_token
from lsp_server.http.messages import Refusal
from lsp_server.options import ServerOptions
from lsp_server.serve_errors import ServeError
from submodel.health_checks import check_state_folder
from tests.http_server import HttpServer, head, serving

PROMPT = {"prompt": "def greet(name):\n    return ", "max_tokens": 4}


@pytest.fixture(scope="module")
def server(tiny_bundle: Bundle) -> Iterator[HttpServer]:
    with serving(tiny_bundle.folder.parents[1]) as server:
        yield server
        assert server.ask("POST", "/v1/completions", PROMPT)[0] == 200, "who has the token is served after all of it"
        assert "Traceback" not in server.end()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def test_without_the_token_nothing_is_answered(server: HttpServer) -> None:
    token = read_token()[0]
    for given in (None, "", token, f"Bearer {token[:-1]}", f"Bearer {token}x", f"Basic {token}", "Bearer é"):
        for path in ("/v1/completions", "/infill", "/nowhere"):
            status, document = server.ask("POST", path, PROMPT, Authorization=given)
            assert status == 401
            assert "Authorization: Bearer" in document["error"]["message"]
        assert server.ask("GET", "/v1/models", Authorization=given)[0] == 401


def test_health_tells_strangers_no_name(server: HttpServer) -> None:
    _, document = server.ask("GET", "/health", Authorization=None)
    assert "/" not in json.dumps(document)


@pytest.mark.parametrize("line", ["Content-Length: 8000000", "Transfer-Encoding: chunked"])
def test_health_reads_no_body(server: HttpServer, line: str) -> None:
    """On de82a37 each stranger's connection made the server read 8 MB."""
    answer = server.say(head("GET", "/health", line, token=False))
    assert status_of(answer) == 413, "at once, though no body is sent"
    assert server.ask("POST", "/health", Authorization=None)[0] == 405


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8012"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "192.168.1.2"},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_web_pages_and_foreign_names_are_refused(server: HttpServer, headers: dict[str, str]) -> None:
    """Even with the token, and the open path too."""
    for method, path in (("POST", "/v1/completions"), ("GET", "/health"), ("OPTIONS", "/infill")):
        status, document = server.ask(method, path, PROMPT, **headers)
        assert status == 403
        assert document["error"]["message"].endswith(".")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.1.2.3:9", "[::1]:8012", "[::1]", "::1", "my.host"]
)
def test_own_names(host: str) -> None:
    Guard(token=None, host="my.host", port=8012).check("/infill", {"host": host})


def test_other_addresses_are_names_only_of_servers_that_others_reach() -> None:
    with pytest.raises(Refusal, match=r"ask http://localhost:8012\."):
        Guard(token=None, host="localhost", port=8012).check("/infill", {"host": "192.168.1.2"})
    with pytest.raises(Refusal, match=r"ask http://\[::1\]:8012\."):
        Guard(token=None, host="::1", port=8012).check("/infill", {"host": "192.168.1.2"})
    guard = Guard(token=None, host="0.0.0.0", port=8012, is_any_address=True)
    guard.check("/infill", {"host": "192.168.1.2"})
    with pytest.raises(Refusal, match=r"by an IP address of its machine, or start it with `--http NAME:8012`"):
        guard.check("/infill", {"host": "evil.example"})


@pytest.mark.parametrize(
    ("headers", "fault"), [({}, "missing"), ({"authorization": "Bearer old"}, "not this server's")]
)
def test_a_refusal_says_what_is_wrong_with_the_token_and_where_it_is(headers: dict[str, str], fault: str) -> None:
    guard = Guard(token="new", host="localhost", port=8012)
    with pytest.raises(Refusal, match=f"{fault}; .*the file http-token"):
        guard.check("/infill", {"host": "localhost", **headers})


def test_a_body_of_100_megabytes_is_refused_unread(server: HttpServer) -> None:
    answer = server.say(head("POST", "/infill", "Content-Length: 104857600") + b"x" * 1000)
    assert status_of(answer) == 413
    assert b"8 MB" in answer


def test_a_body_of_chunks_is_refused_once_it_is_too_long(server: HttpServer) -> None:
    chunk = b"%x\r\n" % (1 << 20) + b"x" * (1 << 20) + b"\r\n"
    request = head("POST", "/infill", "Transfer-Encoding: chunked").replace(b"Connection: close\r\n", b"")
    with server.connect() as client:
        client.sendall(request + chunk * 9)
        assert status_of(client.recv(1000)) == 413


def test_an_endless_head_is_refused(server: HttpServer) -> None:
    for endless in (b"X: y\r\n" * 10_000, b"X: " + b"y" * 100_000):
        assert status_of(server.say(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + endless)) == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"prompt": 1}', b'{"prompt": [1, 2]}', b'{"input_extra": [1]}'],
)
def test_bodies_that_are_no_request_get_a_sentence(server: HttpServer, body: bytes) -> None:
    for path in ("/infill", "/v1/completions"):
        if path == "/v1/completions" and b"input_extra" in body:
            continue
        answer = server.say(head("POST", path, f"Content-Length: {len(body)}") + body)
        assert status_of(answer) == 400
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"].endswith(".")


def test_silent_and_slow_connections_lock_nobody_out(server: HttpServer) -> None:
    slow = [server.connect() for _ in range(150)]
    try:
        for client in slow[::2]:
            client.sendall(b"POST /infill HTTP/1.1\r\nHo")
        assert server.ask("POST", "/v1/completions", PROMPT)[0] == 200
    finally:
        for client in slow:
            client.close()


@pytest.mark.slow
def test_a_slow_body_is_refused(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit of two seconds in place of ten."""
    patch = "from lsp_server.http import http_transport as h; h.BODY_S = 2.0;"
    monkeypatch.setattr("tests.http_server.SERVE", patch + "from submodel.app import main; main()")
    with serving(tiny_bundle.folder.parents[1]) as server:
        assert status_of(server.say(head("POST", "/infill", "Content-Length: 100") + b"{")) == 408


def test_connections_that_are_cut_leave_nothing(server: HttpServer) -> None:
    """In the head, in the body and while the answer is made, more of them than may be open at once."""
    process = psutil.Process(server.process.pid)
    body = json.dumps(PROMPT).encode()
    whole = head("POST", "/v1/completions", f"Content-Length: {len(body)}") + body

    def cut(times: int) -> int:
        for number in range(times):
            with server.connect() as client:
                client.sendall(whole[: (10, len(whole) - 1, len(whole))[number % 3]])
        assert server.ask("POST", "/v1/completions", PROMPT)[0] == 200
        for _ in range(100):
            if not [one for one in process.net_connections("tcp") if one.status != psutil.CONN_LISTEN]:
                break
            time.sleep(0.1)
        else:
            pytest.fail("connections are left")
        return min(opened() for _ in range(10))

    def opened() -> int:
        time.sleep(0.1)  # a file or a socket may be open for a moment
        return process.num_fds() if sys.platform != "win32" else process.num_handles()

    once = cut(3)
    assert cut(250) <= once


def test_file_names_of_clients_are_only_labels(server: HttpServer, tmp_path: Path, tiny_bundle: Bundle) -> None:
    workspace = tiny_bundle.folder.parents[1]
    before = sorted(workspace.rglob("*")), sorted(state_folder().rglob("*"))
    names = [
        "../../../etc/passwd",
        "/etc/shadow",
        "C:\\x",
        "\\\\host\\share\\x",
        str(tmp_path / "made"),
        "a\nb\x00c" * 500,
    ]
    for name in names:
        request = {
            "input_prefix": "x = ",
            "input_extra": [{"filename": name, "text": "y = 1\n"}],
            "path": name,
            "language": name,
            "n_predict": 4,
        }
        assert server.ask("POST", "/infill", request)[0] == 200
    assert not (tmp_path / "made").exists()
    assert (sorted(workspace.rglob("*")), sorted(state_folder().rglob("*"))) == before


def test_other_methods_and_paths(server: HttpServer) -> None:
    assert server.ask("GET", "/infill")[0] == 405
    assert server.ask("DELETE", "/v1/models")[0] == 405
    for path in (
        "/",
        "/v1/models/",
        "/../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/v1/chat/completions",
        "//evil.example/infill",
    ):
        assert server.ask("POST", path, PROMPT)[0] == 404
    absolute = b"GET http://evil.example/v1/models HTTP/1.1\r\n" + head("GET", "/")[len(b"GET / HTTP/1.1\r\n") :]
    assert status_of(server.say(absolute)) == 404


def test_the_token_s_file_is_the_user_s_alone() -> None:
    token, file = read_token()
    assert len(token) == 32
    assert read_token()[0] == token
    assert file == Path(os.path.realpath(state_folder())) / TOKEN_FILE
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_the_token_s_path_is_one_that_other_programs_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A linked folder plays the one that Windows gives Python from the Microsoft Store."""
    (tmp_path / "real").mkdir()
    (tmp_path / "named").symlink_to(tmp_path / "real")
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "named" / "state"))
    token, file = read_token()
    assert file == tmp_path / "real" / "state" / TOKEN_FILE
    assert file.read_text() == token
    assert check_state_folder().found == str(tmp_path / "real" / "state")


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_a_token_s_file_that_others_may_read_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMODEL_STATE_DIR", str(tmp_path / "state"))
    _, file = read_token()
    file.chmod(0o644)
    with pytest.raises(StateFolderError, match="open to other users"):
        read_token()


def test_other_machines_are_let_in_by_name_and_never_without_a_token(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="--http-any-address"):
        serve.serve_http("0.0.0.0", 1, ServerOptions())
    with pytest.raises(ServeError, match="--http-no-token"):
        serve.serve_http("0.0.0.0", 1, ServerOptions(), is_any_allowed=True, is_open=True)


@pytest.mark.slow
def test_the_token_is_not_printed(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.folder.parents[1]) as server:
        server.ask("POST", "/v1/completions", {"prompt": "secret_word = ", "max_tokens": 2})
        said = server.end()
    assert read_token()[0] not in said
    assert str(read_token()[1]) in said
    assert "secret_word" not in said
    assert "loaded: []" in said or sys.platform == "win32"  # where it is ended before it says so


@pytest.mark.slow
def test_without_a_token_pages_are_refused_all_the_same(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.folder.parents[1], "--http-no-token") as server:
        assert server.ask("POST", "/v1/completions", PROMPT, Authorization=None)[0] == 200
        assert (
            server.ask("POST", "/v1/completions", PROMPT, Authorization=None, Origin="https://evil.example")[0] == 403
        )
        assert server.ask("POST", "/v1/completions", PROMPT, Authorization=None, Host="evil.example")[0] == 403


def test_the_page_says_how_large_a_body_may_be() -> None:
    text = " ".join((Path(__file__).parents[2] / "docs" / "editors.md").read_text("utf-8").split())
    assert f"bodies of more than {serve.MAX_BODY_BYTES >> 20} MB" in text


def test_it_ends_though_clients_wait(tiny_bundle: Bundle) -> None:
    """One is silent, one waits for a long answer; neither is waited for, and the end is not an error."""
    with serving(tiny_bundle.folder.parents[1]) as server:
        body = json.dumps({"prompt": "def greet(name):\n    return ", "max_tokens": 500}).encode()
        with server.connect(), server.connect() as waiting:
            waiting.sendall(head("POST", "/v1/completions", f"Content-Length: {len(body)}") + body)
            assert "Traceback" not in server.end()  # which waits for less than IDLE_S
