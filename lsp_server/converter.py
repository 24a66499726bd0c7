"""How messages are read where clients differ from the protocol."""

from __future__ import annotations

from cattrs import Converter
from lsprotocol import types
from pygls.protocol import default_converter


class _TriggerKinds:
    """Reads triggerKind from clients that count it from 1, as the protocol does, and from 0, as VS Code's API does.

    A client that has once sent 0 counts from there: its 1 is what the protocol calls 2.
    """

    def __init__(self) -> None:
        self._counts_from_0 = False

    def read(self, value: object, _: type) -> types.InlineCompletionTriggerKind:
        self._counts_from_0 |= value == 0
        if value == 2 or (value == 1 and self._counts_from_0):
            return types.InlineCompletionTriggerKind.Automatic
        return types.InlineCompletionTriggerKind.Invoked


def lenient_converter() -> Converter:
    """The converter of pygls, but for triggerKind."""
    converter: Converter = default_converter()  # type: ignore[no-untyped-call]
    converter.register_structure_hook(types.InlineCompletionTriggerKind, _TriggerKinds().read)
    return converter
