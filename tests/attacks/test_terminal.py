"""Names and texts of a stranger's that a terminal obeys: cursor movements, titles, links, a line written over.

Attacked: `submodel.app`, `submodel.console`. Each succeeds on 63ec2ff; that on the server's log on de82a37.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from contract.errors import BundleError
from lsp_server.decoding.providers import Provider
from lsp_server.options import ServerOptions
from lsp_server.request import Completion, CompletionRequest
from lsp_server.transports import create_server
from submodel import app
from submodel.commands.complete import complete
from submodel.console import StageDisplay, console

HOSTILE = "a\x1b]0;owned\x07\x1b[2K\rsafe\x9b1m\u202eb"


def is_plain(text: str) -> bool:
    """Whether nothing but printable characters and line ends is in a text, and the hostile name is."""
    return "safe" in text and all(one.isprintable() or one == "\n" for one in text)


def test_an_error_s_sentence_moves_no_cursor(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (BundleError(f"The bundle {HOSTILE} is none."), OSError(28, "No space left on device", HOSTILE)):

        def fail(error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(app, "app", fail)
        with pytest.raises(SystemExit):
            app.main()
        reported = capsys.readouterr().err
        assert is_plain(reported)
        assert reported.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_a_command_tells_of_a_file_without_what_its_name_does(tmp_path: Path) -> None:
    (tmp_path / HOSTILE).write_bytes(b"no archive")
    done = subprocess.run(
        [sys.executable, "-m", "submodel", "unpack", HOSTILE], cwd=tmp_path, capture_output=True, timeout=300
    )
    assert done.returncode == 1
    assert is_plain(done.stderr.decode())


def test_events_and_tables_move_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_file", io.StringIO())  # not `file`: what that gives is set for good afterwards
    with StageDisplay() as display:
        display.say(f"{HOSTILE} was changed")
    table = Table("name")
    table.add_row(HOSTILE)
    console.print(table, HOSTILE, f"two\nlines of {HOSTILE}")
    assert isinstance(console.file, io.StringIO)
    assert is_plain(console.file.getvalue())
    assert "two\nlines" in console.file.getvalue()


def test_the_server_s_log_moves_no_cursor() -> None:
    program = f"""
import logging
from lsp_server.http.http_transport import tell
from lsp_server.server_log import log_to_stderr
log_to_stderr()
name = {HOSTILE!r}
tell(f"{{name}} is no bundle.")
logging.getLogger("lsp_server").warning("%s was passed over", name)
try:
    raise ValueError(name)
except ValueError:
    logging.getLogger("lsp_server").exception("No completion")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=300, check=True)
    reported = done.stderr.decode().replace("\r\n", "\n")
    assert is_plain(reported)
    assert reported.count("safe") == 3
    assert "Traceback" in reported


def test_an_editor_s_message_and_log_move_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Succeeds on cc3f76c, with the name of a clone's folder."""
    server = create_server(ServerOptions(), "1")
    sent: list[str] = []
    monkeypatch.setattr(server, "window_show_message", lambda params: sent.append(params.message))
    monkeypatch.setattr(server, "window_log_message", lambda params: sent.append(params.message))
    try:
        server.notices.warn(f"{HOSTILE} is no bundle.")
        server.notices.note_once(f"{HOSTILE} has no bundle.")
    finally:
        server.close()
    assert len(sent) == 2
    assert all(map(is_plain, sent))


def test_a_completion_as_json_moves_no_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Succeeds on cc3f76c. A bundle that was found must be trusted when it is loaded, too."""
    named: list[bool] = []

    class Completer:
        def complete(self, request: CompletionRequest) -> Completion:
            return Completion(text=HOSTILE, raw=HOSTILE)

    def load(bundle: Path, *, provider: Provider, is_named: bool) -> Completer:
        named.append(is_named)
        return Completer()

    monkeypatch.setattr("lsp_server.completion.open_completer", load)
    monkeypatch.setattr("contract.bundle.bundle.find_trusted_bundle", lambda start: tmp_path)
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    for bundle in (tmp_path, None):
        complete(tmp_path / "a.py", line=0, character=0, bundle=bundle, as_json=True)
        printed = capsys.readouterr().out
        assert is_plain(printed)
        assert (json.loads(printed)["text"], json.loads(printed)["raw"]) == (HOSTILE, "")
    assert named == [True, False]
