"""The language server opens no connection while it loads a bundle and answers; nor do a completion and a build.

Python's own calls are all noted. Of native libraries, the sockets are seen that are open after the answer.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from contract.bundle.bundle import Bundle
from testbed.models import save_base
from testbed.python_files import write_python
from tests.attacks.lsp_process import answer_to, initialize, notice, request
from tests.e2e.editor import PATIENT, TEXT

# The last connection is the test's own: it shows that connections are noted.
NOTING = """
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
    outward_calls = str([one for one in seen if one[0].startswith(outward)])
    sys.stderr.write("outward: " + outward_calls + chr(10))  # at once: a thread may log meanwhile
"""
NOTHING_ELSE = "outward: [('socket.connect', (('127.0.0.1', 9),))]"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there asyncio connects to itself")
def test_the_server_opens_no_connection(tiny_bundle: Bundle) -> None:
    folder = tiny_bundle.folder.parents[1]
    uri = (folder / "greet.txt").as_uri()
    document = {"uri": uri, "languageId": "plaintext", "version": 1, "text": TEXT}
    place = {"textDocument": {"uri": uri}, "position": {"line": 1, "character": 24}, "context": {"triggerKind": 1}}
    folders = [{"uri": folder.as_uri(), "name": "workspace"}]
    command, pipe = [sys.executable, "-c", NOTING, "serve", "--threads", "1"], subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        try:
            server.stdin.write(initialize(PATIENT, workspaceFolders=folders))
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
    assert NOTHING_ELSE in said


@pytest.mark.slow
def test_a_completion_opens_no_connection(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (file := tmp_path / "code.py").write_text("area = 1\n")
    words = ["complete", str(file), "--line", "0", "--character", "4", "--bundle", str(tiny_bundle.folder)]
    done = subprocess.run([sys.executable, "-c", NOTING, *words], capture_output=True, text=True, check=True)
    assert NOTHING_ELSE in done.stderr


@pytest.mark.slow
def test_a_build_opens_no_connection(tmp_path: Path) -> None:
    """Of a base that is a folder. Others are fetched."""
    base, repository = save_base(tmp_path / "base", kind="qwen2"), write_python(tmp_path / "repository", range(24))
    words = ["build", str(repository), "--base", str(base), "--size", "0.8", "--minutes", "0", "--quantize", "fp32"]
    done = subprocess.run(
        [sys.executable, "-c", NOTING, *words, "--positions", "4"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert NOTHING_ELSE in done.stderr
