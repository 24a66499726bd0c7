from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from exporters.bundle import Bundle
from exporters.errors import BundleError
from lsp_server.options import ServerOptions
from lsp_server.server import choose_bundle, create_server


def inline_completion(trigger_kind: int) -> dict[str, Any]:
    params = {
        "textDocument": {"uri": "file:///a.py"},
        "position": {"line": 0, "character": 0},
        "context": {"triggerKind": trigger_kind},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": "textDocument/inlineCompletion", "params": params}


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (0, types.InlineCompletionTriggerKind.Invoked),  # vscode-languageclient before version 10
        (1, types.InlineCompletionTriggerKind.Invoked),
        (2, types.InlineCompletionTriggerKind.Automatic),
    ],
)
def test_every_trigger_kind_that_clients_send_is_read(number: int, kind: types.InlineCompletionTriggerKind) -> None:
    message = create_server(ServerOptions(), "1").protocol.structure_message(inline_completion(number))
    assert message.params.context.trigger_kind == kind


def test_first_folder_that_has_a_bundle_is_chosen(tiny_bundle: Bundle, tmp_path: Path) -> None:
    workspace = tiny_bundle.folder.parent.parent
    assert choose_bundle([tmp_path, workspace / "src" / "deep"]) == tiny_bundle.folder
    with pytest.raises(BundleError, match=str(tmp_path / "one")):
        choose_bundle([tmp_path / "one", tmp_path / "two"])
