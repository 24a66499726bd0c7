"""stdin is read under another number, so that libraries which look at file 0 as they load don't wait for that."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# What a program does before and after something reads its stdin in another thread.
SERVED = """
from lsp_server import transports
from lsp_server.options import ServerOptions
from lsp_server.server import CompletionServer
CompletionServer.start_io = lambda self, stdin, stdout: show(stdin.readline().decode())
transports.serve_stdio(ServerOptions(), "0")
"""
SHOW = """
import os, sys
def show(line):
    is_null = os.fstat(0).st_rdev == os.stat(os.devnull).st_rdev
    print(line.strip(), "null" if is_null else "stdin", file=sys.stderr)
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows gives its null device no number")
def test_what_reads_stdin_leaves_the_null_device_as_file_0() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SHOW + SERVED], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stderr is not None
        child.stdin.write("wait\n")
        child.stdin.flush()
        shown = child.stderr.read()  # it ends although stdin stays open
    assert "wait null" in shown.splitlines()
    assert child.returncode == 0, shown
