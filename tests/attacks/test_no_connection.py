"""The language server opens no connection while it loads a bundle and answers.

Python's own calls are all noted. Of native libraries, the sockets are seen that are open after the answer.
"""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from contract.bundle.bundle import Bundle
from tests.attacks.lsp_process import answer_to, initialize, notice, request
from tests.e2e.editor import PATIENT, TEXT

# The last connection is the test's own: it shows that connections are noted.
SERVE = """
import socket, sys
sys.addaudithook(lambda event, details: event.startswith("socket.") and seen.append((event, details[1:])))
seen = []
from submodel.app import main
try:
    main()
finally:
    with socket.socket() as own:
        own.connect_ex(("127.0.0.1", 9))
    outward = ("socket.connect", "socket.send", "socket.get")
    print("outward:", [one for one in seen if one[0].startswith(outward)], file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there asyncio connects to itself")
def test_the_server_opens_no_connection(tiny_bundle: Bundle) -> None:
    folder = tiny_bundle.folder.parents[1]
    uri = (folder / "greet.txt").as_uri()
    document = {"uri": uri, "languageId": "plaintext", "version": 1, "text": TEXT}
    place = {"textDocument": {"uri": uri}, "position": {"line": 1, "character": 24}, "context": {"triggerKind": 1}}
    folders = [{"uri": folder.as_uri(), "name": "workspace"}]
    command, pipe = [sys.executable, "-c", SERVE, "serve", "--threads", "1"], subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        try:
            server.stdin.write(initialize({"experimental": PATIENT}, workspaceFolders=folders))
            server.stdin.write(notice("initialized", {}) + notice("textDocument/didOpen", {"textDocument": document}))
            server.stdin.write(request(2, "textDocument/inlineCompletion", place))
            server.stdin.flush()
            assert answer_to(2, server.stdout)["result"]["items"] != []
            assert psutil.Process(server.pid).net_connections("inet") == []
            server.stdin.write(request(3, "shutdown", None) + notice("exit", None))
            server.stdin.flush()
            said = server.stderr.read().decode()
        finally:
            server.kill()
    assert "outward: [('socket.connect', (('127.0.0.1', 9),))]" in said
