"""How messages are read where clients differ from the protocol."""

from __future__ import annotations

from typing import Any, TypeVar

from cattrs import Converter
from lsprotocol import converters, types
from pygls.protocol import JsonRPCNotification, JsonRPCRequestMessage, JsonRPCResponseMessage

T = TypeVar("T")


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
    """The converter of pygls, but for triggerKind and for methods of our own; it stops at a message's first fault.

    pygls' own collects all faults: a hundred thousand letters where a list should be keep it for three seconds. It
    makes a class for each object within a message that the protocol doesn't know: a megabyte of `{},` keeps it for 25
    seconds and takes 2 GB. Here such objects stay dictionaries.
    """
    converter: Converter = converters.get_converter(Converter(detailed_validation=False))
    for message in (JsonRPCRequestMessage, JsonRPCResponseMessage, JsonRPCNotification):
        converter.register_structure_hook(message, _as_it_is)
    converter.register_structure_hook(types.InlineCompletionTriggerKind, _TriggerKinds().read)
    return converter


def _as_it_is(message: dict[str, Any], kind: type[T]) -> T:
    return kind(**message)
