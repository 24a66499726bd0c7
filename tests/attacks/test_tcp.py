"""What other users of a machine, and web pages in its browser, can do to `submodel serve --tcp`.

Each attack on a server process succeeds on 104ea66: the first connection was the client, whatever it said, and its end
was that of the server.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from lsp_server import listener, tcp
from lsp_server.addresses import find_addresses
from lsp_server.bounded_streams import BoundedReader
from lsp_server.options import ServerOptions
from lsp_server.serve_errors import ServeError
from lsp_server.tcp import serve_one_client, take_token
from lsp_server.transports import create_server
from tests.attacks.lsp_process import (
    TOKEN,
    answer_to,
    connect,
    framed,
    initialize,
    is_closed,
    listening,
    request,
)
from tests.http_server import HOST

pytestmark = pytest.mark.slow  # each test starts a server

IN_TIME_S = 60.0  # what is closed at once needs milliseconds; the deadline of these servers is twice as long


@pytest.fixture
def port() -> Iterator[int]:
    """A server that listens; after the attack an editor connects to it, is served, and leaves."""
    with listening() as (server, port):
        yield port
        assert is_served(port), "an editor that comes later is served"
        assert server.wait(120) == 0, "and when it has left, the server ends"


def is_served(port: int) -> bool:
    with connect(port) as editor, editor.makefile("rb") as stream:
        editor.sendall(initialize({"token": TOKEN}))
        is_initialized = "capabilities" in answer_to(1, stream).get("result", {})
        editor.sendall(request(2, "shutdown", None) + framed({"jsonrpc": "2.0", "method": "exit"}))
        answer_to(2, stream)
        return is_initialized


def refusal_of(port: int, message: bytes) -> str:
    """What a client is told, whose connection then ends."""
    with connect(port) as client, client.makefile("rb") as stream:
        client.sendall(message)
        answer = answer_to(1, stream)
        assert "result" not in answer
        assert is_closed(client, IN_TIME_S)
        return str(answer["error"]["message"])


def test_a_probe_does_not_end_the_server(port: int) -> None:
    for _ in range(20):
        connect(port).close()


def test_a_silent_client_locks_nobody_out() -> None:
    with listening() as (_, port), connect(port):
        assert is_served(port)


ORIGIN = b"Host: 127.0.0.1\r\nOrigin: https://evil.example\r\n"
PAGES = (
    b"POST / HTTP/1.1\r\n" + ORIGIN + b"Content-Type: text/plain\r\n",
    b"GET / HTTP/1.1\r\n" + ORIGIN + b"Upgrade: websocket\r\n",
    b"X: y\r\n",
    b"\r\n",
    b"\x16\x03\x01\n",
    b"x" * 100_000,
)


def test_a_web_page_s_request_is_no_message(port: int) -> None:
    """Even of one that knows the token: pygls passes over headers that it doesn't know."""
    message = initialize({"token": TOKEN})
    length = b"Content-Length: %d\r\n" % len(message)
    for page in PAGES:
        for text in (page + message, page + length + b"\r\n" + message):
            with connect(port) as client:
                client.settimeout(IN_TIME_S)
                with suppress(ConnectionError):
                    client.sendall(text)
                assert received(client) == b""


def received(client: socket.socket) -> bytes:
    """All that the server says before it ends the connection."""
    try:
        return b"".join(iter(lambda: client.recv(1 << 16), b""))
    except ConnectionError:
        return b""


def test_without_the_token_nobody_is_served(port: int) -> None:
    for token in (None, "", TOKEN[:-1], TOKEN + "x", "é\ud800", [TOKEN]):
        assert "initializationOptions.token" in refusal_of(port, initialize({"token": token}))
    options: object
    for options in (None, {}, [], TOKEN):
        assert "initializationOptions.token" in refusal_of(port, initialize(options))


def test_nothing_is_answered_before_the_token(port: int) -> None:
    status = request(1, "submodel/status", {"initializationOptions": {"token": TOKEN}})
    assert "initializationOptions.token" in refusal_of(port, status)
    message: object
    for message in ({"jsonrpc": "2.0", "method": "exit"}, [], {"id": None}, 7):
        with connect(port) as client:
            client.sendall(framed(message) + initialize({"token": TOKEN}))
            client.settimeout(IN_TIME_S)
            assert received(client) == b""


def test_no_long_message_is_read_before_the_token(port: int) -> None:
    for size in (tcp.MAX_FIRST_BYTES + 1, 200 << 20, 10**30):
        with connect(port) as client:
            client.sendall(b"Content-Length: %d\r\n\r\n{" % size)
            assert is_closed(client, IN_TIME_S)


def test_three_hundred_that_say_half_of_it_lock_nobody_out() -> None:
    with listening() as (_, port), ExitStack() as others:
        clients = [others.enter_context(connect(port)) for _ in range(300)]
        for client in clients:
            with suppress(ConnectionError):
                client.sendall(b"Content-Length: 500\r\n\r\n{")
        early = clients[: -tcp.MAX_WAITING]
        assert sum(is_closed(client, IN_TIME_S) for client in early) == len(early)
        assert is_served(port)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs signals that stop a process")
def test_a_burst_of_others_does_not_push_out_an_editor() -> None:
    """All come at once for the server, the editor in their midst."""
    with listening() as (server, port), ExitStack() as all_of_them:
        server.send_signal(signal.SIGSTOP)
        for _ in range(40):
            all_of_them.enter_context(connect(port))
        editor = all_of_them.enter_context(connect(port))
        editor.sendall(initialize({"token": TOKEN}))
        for _ in range(50):
            all_of_them.enter_context(connect(port))
        server.send_signal(signal.SIGCONT)
        assert "result" in answer_to(1, all_of_them.enter_context(editor.makefile("rb")))


def note_ports(patch: pytest.MonkeyPatch) -> asyncio.Queue[int]:
    """The ports that asyncio listens on from now on."""
    ports: asyncio.Queue[int] = asyncio.Queue()
    start_server = asyncio.start_server

    async def start_and_note(*arguments: Any, **options: Any) -> asyncio.Server:
        listener = await start_server(*arguments, **options)
        ports.put_nowait(listener.sockets[0].getsockname()[1])
        return listener

    patch.setattr(asyncio, "start_server", start_and_note)
    return ports


@pytest.mark.parametrize("said", [b"", b"C", b"Content-Length: 50\r\n\r\n"])
def test_who_does_not_come_to_the_point_is_sent_away(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte at a time, however long: the time is for the whole message."""
    monkeypatch.setattr(tcp, "MAX_WAIT_S", 0.3)

    async def drip(port: int) -> bytes:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(said)
        ended = asyncio.ensure_future(reader.read())
        while not ended.done():
            writer.write(b" ")
            await asyncio.wait([ended], timeout=0.02)
        writer.close()
        return ended.result() if ended.exception() is None else b""

    async def test() -> bytes:
        ports = note_ports(monkeypatch)
        server = create_server(ServerOptions(), "1")
        serving = asyncio.create_task(serve_one_client(server, [HOST], 0, TOKEN))
        try:
            return await drip(await ports.get())
        finally:
            serving.cancel()
            server.close()

    assert asyncio.run(asyncio.wait_for(test(), 120)) == b""


def test_a_client_that_resets_before_it_is_accepted_locks_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows asyncio closes the listening socket then."""
    started: list[asyncio.Server] = []
    start_server = asyncio.start_server

    async def start_and_note(*arguments: Any, **options: Any) -> asyncio.Server:
        started.append(await start_server(*arguments, **options))
        return started[-1]

    async def test() -> bytes:
        server = create_server(ServerOptions(), "1")
        serving = asyncio.create_task(serve_one_client(server, [HOST], 0, TOKEN))
        try:
            while not started:
                await asyncio.sleep(0.01)
            lost = started[0].sockets[0]
            with suppress(NotImplementedError):  # of Windows' event loop, which watches no file descriptors
                asyncio.get_running_loop().remove_reader(lost.fileno())
            lost._sock.close()  # type: ignore[attr-defined]
            while len(started) < 2:
                await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection(*started[1].sockets[0].getsockname()[:2])
            writer.write(initialize({}))
            return await reader.readline()
        finally:
            serving.cancel()
            server.close()

    monkeypatch.setattr(listener, "WATCH_S", 0.01)
    monkeypatch.setattr(asyncio, "start_server", start_and_note)
    assert asyncio.run(asyncio.wait_for(test(), IN_TIME_S)).startswith(b"Content-Length")


def test_a_client_that_is_gone_without_a_word_does_not_hold_the_server() -> None:
    """As one behind a network that is cut: without the system's own probes the server would wait for it for ever."""

    async def test() -> None:
        entered: asyncio.Queue[Any] = asyncio.Queue()
        server = create_server(ServerOptions(), "1")
        with pytest.MonkeyPatch.context() as patch:
            ports = note_ports(patch)
            patch.setattr(server.protocol, "set_writer", entered.put_nowait)
            serving = asyncio.create_task(serve_one_client(server, [HOST], 0, TOKEN))
            try:
                _, writer = await asyncio.open_connection(HOST, await ports.get())
                writer.write(initialize({"token": TOKEN}))
                connection = (await entered.get()).get_extra_info("socket")
                is_asked = connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                known = {name: getattr(socket, name) for name in tcp.KEEPALIVE if hasattr(socket, name)}
                times = {name: connection.getsockopt(socket.IPPROTO_TCP, number) for name, number in known.items()}
                assert (bool(is_asked), times) == (True, {name: tcp.KEEPALIVE[name] for name in known})
                writer.close()
            finally:
                serving.cancel()
                server.close()

    asyncio.run(asyncio.wait_for(test(), IN_TIME_S))


@pytest.mark.parametrize("error", [TimeoutError(errno.ETIMEDOUT, ""), OSError(errno.EHOSTUNREACH, "")])
def test_and_its_stream_then_ends(error: OSError) -> None:
    async def test() -> list[bytes]:
        reader = asyncio.StreamReader()
        reader.set_exception(error)
        return [await BoundedReader(reader).readline(), await BoundedReader(reader).readexactly(5)]

    assert asyncio.run(test()) == [b"", b""]


def test_the_second_client_is_refused_by_the_system() -> None:
    with listening() as (_, port), connect(port) as editor, editor.makefile("rb") as stream:
        early = connect(port)
        editor.sendall(initialize({"token": TOKEN}))
        answer_to(1, stream)
        assert is_closed(early, IN_TIME_S), "who has waited is sent away"
        early.close()
        with pytest.raises(ConnectionError):
            connect(port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0", "192.0.2.1", "::ffff:192.0.2.1"])
def test_only_this_machine_reaches_it_unless_that_is_asked_for(host: str) -> None:
    with pytest.raises(ServeError, match="--tcp-any-address"):
        find_addresses(host, 2087, is_any_allowed=False)
    assert find_addresses(host, 2087, is_any_allowed=True)


def test_this_machine_has_many_names() -> None:
    assert find_addresses("127.0.0.1", 2087, is_any_allowed=False) == ["127.0.0.1"]
    assert find_addresses("::1", 2087, is_any_allowed=False) == ["::1"]
    assert find_addresses("localhost", 2087, is_any_allowed=False)


def test_all_addresses_are_refused_in_one_sentence() -> None:
    command = [sys.executable, "-m", "submodel", "serve", "--tcp", "0.0.0.0:2087"]
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"--tcp-any-address") == 1


def test_the_token_is_reported_once_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(tcp.TOKEN_VARIABLE, raising=False)
    tokens = {take_token() for _ in range(2)}
    assert len(tokens) == 2
    assert {line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()} == tokens
    monkeypatch.setenv(tcp.TOKEN_VARIABLE, TOKEN)
    assert take_token() == TOKEN
    assert tcp.TOKEN_VARIABLE not in os.environ, "no program that the server starts has it"
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(tcp.TOKEN_VARIABLE, "short")
    with pytest.raises(ServeError, match="16 characters"):
        take_token()


def test_the_token_is_in_no_log_no_status_and_no_option() -> None:
    with listening() as (server, port):
        with connect(port) as editor, editor.makefile("rb") as stream:
            editor.sendall(initialize({"token": TOKEN}) + request(2, "submodel/status", {}))
            answers = [answer_to(1, stream), answer_to(2, stream)]
            editor.sendall(request(3, "submodel/explain", {"count": 100}) + request(4, "shutdown", None))
            answers += [answer_to(3, stream), answer_to(4, stream)]
        assert TOKEN not in json.dumps(answers)
        assert server.stderr is not None
        assert TOKEN.encode() not in server.stderr.read()
