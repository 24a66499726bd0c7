"""Which files an ONNX graph names besides itself, read from its bytes before any runtime opens it.

A tensor can keep its values in another file, whose name ("location") the graph's author chooses. ONNX Runtime opens
what is named, whether a bundle lists it or not, and before 1.24 it followed `..`, absolute paths and links. This reads
the names alone, by the wire format of protocol buffers, since the server has no `onnx` package. It covers tensors
wherever the format has them: initializers, sparse ones, attributes, subgraphs, functions and training information.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from contract.bundle.bundle import Bundle
from contract.bundle.manifest import AGAIN
from contract.errors import BundleError

MAX_FIELDS: Final = 5_000_000  # of one file; a decoder of 48 layers has some 50,000
MAX_STRING: Final = 4096  # bytes of a location or an operator's name
GRAPH_SUFFIX: Final = ".onnx"  # ONNX Runtime reads other formats by other suffixes
# Nodes whose operator reads a file of its own: a graph compiled for an accelerator.
FILE_OPERATORS: Final = frozenset({b"EPContext"})

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types; the others are groups, which ONNX does not use
# Message → number of a field → the message in it (onnx.proto, IR version 13). Only what can lead to a tensor.
_FIELDS: Final[Mapping[str, Mapping[int, str]]] = MappingProxyType(
    {
        "model": {7: "graph", 20: "training", 25: "function"},
        "training": {1: "graph", 2: "graph"},
        "graph": {1: "node", 5: "tensor", 15: "sparse"},
        "function": {7: "node", 11: "attribute"},
        "node": {4: "operator", 5: "attribute"},
        "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
        "sparse": {1: "tensor", 2: "tensor"},
        "tensor": {13: "entry"},
        "entry": {1: "key", 2: "value"},
    }
)
_LEAVES: Final = frozenset({"operator", "key", "value"})


class _Broken(ValueError):
    """Bytes that are no ONNX graph, or none of a sane size; its message is the reason."""


def check_external_data(bundle: Bundle, graph: Path) -> None:
    """Raise BundleError unless each file that `graph` names is one that the bundle's manifest lists.

    `graph` is a path in the bundle. A location counts as it stands: a plain name relative to the graph's folder. The
    time is linear in the file's fields, of which there may be MAX_FIELDS.
    """
    relative = graph.relative_to(bundle.folder).as_posix()
    parent = relative.rpartition("/")[0]
    if not relative.endswith(GRAPH_SUFFIX):
        raise BundleError(f"{graph} is not named as an ONNX graph (*{GRAPH_SUFFIX}), so it is not loaded; {AGAIN}.")
    try:
        for location in external_locations(graph):
            name = f"{parent}/{location}" if parent else location
            if name not in bundle.manifest["files"]:
                raise BundleError(
                    f"{graph} wants to read the file {location[:100]!r}, which the bundle does not list, so it is not "
                    f"loaded; {AGAIN}, or ask its author for a whole one."
                )
    except _Broken as error:
        raise BundleError(f"{graph} is no ONNX graph that can be checked ({error}); {AGAIN}.") from error
    except OSError as error:
        raise BundleError(f"{graph} can't be read ({error.strerror}); check its permissions.") from error


def external_locations(graph: Path) -> Iterator[str]:
    """The names of other files in an ONNX file, as they stand there, each occurrence once.

    Raises OSError if it can't be read, and a ValueError that names the reason if it is no ONNX graph.
    """
    with graph.open("rb") as file:
        if file.seek(0, 2) == 0:
            raise _Broken("it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield from _locations(content)


def _locations(content: mmap.mmap) -> Iterator[str]:
    """Walk the messages with a stack, so that no depth is too deep; each byte of a tag is read once."""
    pending = [("model", 0, len(content))]
    left = MAX_FIELDS
    while pending:
        kind, at, end = pending.pop()
        inner = _FIELDS[kind]
        key: bytes | None = None
        values: list[bytes] = []
        while at < end:
            left -= 1
            if left < 0:
                raise _Broken(f"it has more than {MAX_FIELDS:,} fields")
            tag, at = _varint(content, at, end)
            number, wire = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise _Broken(f"a field has the number {number}")
            if wire == _VARINT:
                _, at = _varint(content, at, end)
                continue
            if wire == _BYTES:
                size, at = _varint(content, at, end)
            elif wire in (_FIXED64, _FIXED32):
                size = 8 if wire == _FIXED64 else 4
            else:
                raise _Broken(f"a field has the wire type {wire}")
            if size > end - at:
                raise _Broken("a field is longer than what holds it")
            child = inner.get(number) if wire == _BYTES else None
            if child is not None and child not in _LEAVES:
                pending.append((child, at, at + size))
            elif child is not None:
                if size > MAX_STRING:
                    raise _Broken(f"a name has {size:,} bytes")
                text = content[at : at + size]
                if child == "operator" and text in FILE_OPERATORS:
                    raise _Broken(f"the operator {text.decode()} reads files of its own")
                if child == "key":
                    key = text
                elif child == "value":
                    values.append(text)
            at += size
        if kind == "entry" and key == b"location":
            for value in values or [b""]:
                yield _text(value)


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Broken("the name of a file is not UTF-8") from error


def _varint(content: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """A number of at most ten bytes, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise _Broken("a number is cut off")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Broken("a number has more than ten bytes")
