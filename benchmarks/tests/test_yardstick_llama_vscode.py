"""What llama.vscode sends, as `benchmarks.yardstick.llama_vscode` plays it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.yardstick.llama_vscode import RING_CHUNKS, LlamaServer, Snippet, alike, request_of, ring_of, snippets_of
from laboratory.bench.workload import Keystroke
from testbed.git import git


def a_stroke(before: str, behind: str = "", path: str = "a.py", commit: str = "") -> Keystroke:
    return Keystroke(
        before=before, behind=behind, truth="x", path=path, commit=commit, is_new_line=True, is_new_place=True
    )


def commit_files(repository: Path, **files: str) -> str:
    """Write files, commit them; return the commit."""
    for name, text in files.items():
        (repository / f"{name}.py").write_text(text)
    if not (repository / ".git").exists():
        git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "change")
    return git(repository, "rev-parse", "HEAD")


def code(name: str, lines: int) -> str:
    return "".join(f"{name}_{number} = {number}\n" for number in range(lines))


def test_a_request_has_256_lines_before_the_line_and_64_behind_it() -> None:
    before = "".join(f"a{number}\n" for number in range(300)) + "    value = "
    behind = "end\n" + "".join(f"b{number}\n" for number in range(100))
    request = request_of(a_stroke(before, behind))
    above, below = request["input_prefix"].split("\n"), request["input_suffix"].split("\n")
    assert above[0] == "a44" and above[-2:] == ["a299", ""]
    assert below[0] == "end" and below[-2:] == ["b63", ""]
    assert (request["prompt"], request["n_indent"]) == ("    value = ", 4)


def test_indentation_alone_is_not_sent() -> None:
    request = request_of(a_stroke("if x:\n    ", "\n"))
    assert (request["prompt"], request["n_indent"]) == ("", 4)


def test_a_first_line_has_an_empty_line_before_it() -> None:
    request = request_of(a_stroke("import "))
    assert (request["input_prefix"], request["input_suffix"]) == ("\n", "\n\n")
    assert "n_indent" not in request


def test_a_snippet_lies_around_the_last_line_that_was_changed(tmp_path: Path) -> None:
    commit = commit_files(tmp_path, long=code("long", 200), short=code("short", 10))
    long, short = snippets_of(tmp_path, commit)
    # The cursor is at the file's last line, and 32 lines before it are there: less than a piece.
    assert (long.path, long.lines[0], long.lines[-2]) == ("long.py", "long_167 = 167", "long_199 = 199")
    assert short.lines == (*code("short", 10).split("\n")[:10], "")


def test_of_a_long_piece_half_is_taken(tmp_path: Path) -> None:
    commit_files(tmp_path, long=code("long", 200))
    commit = commit_files(tmp_path, long=code("long", 200).replace("long_100 = 100", "changed = 1"))
    (piece,) = snippets_of(tmp_path, commit)
    assert len(piece.lines) == 32
    assert set(piece.lines) <= {*code("long", 200).split("\n")[68:133], "changed = 1"}
    assert snippets_of.__wrapped__(tmp_path, commit) == (piece,)


def test_a_ring_has_the_latest_snippets_last(tmp_path: Path) -> None:
    for number in range(RING_CHUNKS + 2):
        commit = commit_files(tmp_path, **{f"file{number}": code(f"name{number}", 8)})
    ring = ring_of(a_stroke("", path="other.py"), tmp_path, commit)
    assert [snippet.path for snippet in ring] == [f"file{number}.py" for number in range(2, RING_CHUNKS + 2)]


def test_an_older_snippet_that_is_like_a_newer_one_leaves_the_ring(tmp_path: Path) -> None:
    commit_files(tmp_path, one=code("name", 30), two=code("other", 30))
    commit = commit_files(tmp_path, one=code("name", 31))
    ring = ring_of(a_stroke("", path="other.py"), tmp_path, commit)
    assert [(snippet.path, len(snippet.lines)) for snippet in ring] == [("two.py", 31), ("one.py", 32)]
    assert alike(Snippet("a", ("x", "y")), Snippet("b", ("y", "z"))) == 1 / 3


def test_a_held_out_line_gets_no_snippet_of_its_own_file(tmp_path: Path) -> None:
    commit = commit_files(tmp_path, one=code("name", 30), two=code("other", 30))
    assert [snippet.path for snippet in ring_of(a_stroke("", path="one.py"), tmp_path, commit)] == ["two.py"]


def test_a_later_line_gets_its_own_file_as_it_was_before_its_commit(tmp_path: Path) -> None:
    since = commit_files(tmp_path, one=code("name", 30), two=code("other", 30))
    commit = commit_files(tmp_path, one="truth = 1\n" + code("name", 30), three=code("third", 9))
    ring = ring_of(a_stroke("", path="one.py", commit=commit), tmp_path, since)
    assert [snippet.path for snippet in ring] == ["one.py", "two.py", "three.py"]
    assert "truth = 1" not in ring[0].lines


FAKE_SERVER = """#!{python}
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Fake(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply({{}})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open({log!r}, "a") as log:
            log.write(json.dumps(asked) + "\\n")
        self.reply({{"content": "    x = 1\\nmore"}})
    def reply(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Fake).serve_forever()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the fake server is a script with a first line")
def test_the_server_reads_the_snippets_before_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    since = commit_files(tmp_path / "clone", one=code("name", 30))
    program, log = tmp_path / "llama-server", tmp_path / "log"
    program.write_text(FAKE_SERVER.format(python=sys.executable, log=str(log)))
    program.chmod(0o700)
    server = LlamaServer(program=program, gguf=Path("g"), sha256="", clone=tmp_path / "clone", since=since)
    with server:
        place = a_stroke("if a:\n    ", path="other.py")
        server.prepare(place)
        assert server.complete(place) == "x = 1"
    read, asked = map(json.loads, log.read_text().splitlines())
    assert (read["n_predict"], asked["n_predict"], asked["n_indent"]) == (0, 128, 4)
    assert read["input_extra"] == asked["input_extra"] and len(read["input_extra"]) == 1
    assert asked["samplers"] == ["top_k", "top_p", "infill"]


def test_a_server_that_does_not_start_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="did not start"), LlamaServer(program=Path("false"), gguf=tmp_path, sha256=""):
        pass
