"""GGUF files, versions 2 and 3: metadata and tensor positions, read from a memory map.

It covers the container alone; `weights` gives the tensors meaning and `tokenizer` the vocabulary. Written by hand since
gguf-py's reader takes half a minute over a vocabulary of 150,000 tokens, and trusts every count in the file. Here no
count is believed before the bytes that it needs are known to lie in the file.

Source of the format: `docs/gguf.md` of ggml-org/ggml.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from contract.errors import BaseModelError

T = TypeVar("T")

MAGIC: Final = b"GGUF"
SUPPORTED_VERSIONS: Final = (2, 3)  # 1 counts in 32 bits and went out of use in 2023
MAX_ARRAY_DEPTH: Final = 4  # the format allows any; no known writer nests at all
MAX_KEY_BYTES: Final = 65_535  # the format's own limit
MAX_TENSOR_DIMENSIONS: Final = 4  # GGML_MAX_DIMS
LEAST_METADATA_BYTES: Final = 8 + 4 + 1  # key length, type, the smallest value: bounds the entry count by the file size
LEAST_TENSOR_BYTES: Final = 8 + 4 + 8 + 4 + 8  # name length, dimension count, one dimension, type, offset

STRING: Final = 8
ARRAY: Final = 9
BOOL: Final = 7
SCALARS: Final[Mapping[int, np.dtype[Any]]] = {
    0: np.dtype("<u1"),
    1: np.dtype("<i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    BOOL: np.dtype("<u1"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
UINT32: Final = struct.Struct("<I")
UINT64: Final = struct.Struct("<Q")


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """Where one tensor lies. `shape` is in numpy's order: the file's own list of dimensions reversed."""

    name: str
    shape: tuple[int, ...]
    quantization: GGMLQuantizationType
    offset: int  # bytes from the start of the file
    size: int  # bytes


class GgufFile:
    """An open GGUF file. Close it, or use it as a context manager; slices of its data hold it open."""

    def __init__(self, path: Path, data: mmap.mmap, metadata: dict[str, Any], tensors: dict[str, TensorInfo]) -> None:
        self.path = path
        self.metadata: Mapping[str, Any] = metadata
        self.tensors: Mapping[str, TensorInfo] = tensors
        self._data = data

    def __enter__(self) -> GgufFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory map back."""
        try:
            self._data.close()
        except BufferError:  # a traceback still holds a slice; the map goes with it, and the error must not be hidden
            return

    def raw(self, tensor: TensorInfo) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The tensor's bytes as they lie in the file, not copied; drop the array before the file is closed."""
        return np.frombuffer(self._data, dtype=np.uint8, count=tensor.size, offset=tensor.offset)

    def require(self, key: str, kind: type[T]) -> T:
        """The metadata value of `key`; raises BaseModelError where it is absent or of another type."""
        if key not in self.metadata:
            raise BaseModelError(f"The GGUF file {self.path} has no {key!r}; convert the model to GGUF again.")
        return self._checked(key, kind)

    def optional(self, key: str, kind: type[T], default: T) -> T:
        """Like `require`, with a default for an absent key."""
        return self._checked(key, kind) if key in self.metadata else default

    def _checked(self, key: str, kind: type[T]) -> T:
        value = self.metadata[key]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:  # not isinstance: a bool is no count
            found = type(value).__name__
            raise BaseModelError(
                f"In the GGUF file {self.path} {key!r} is a {found}, not a {kind.__name__}; convert it again."
            )
        return value


def open_gguf(path: Path) -> GgufFile:
    """Read the header of a GGUF file and check that every tensor lies inside the file.

    Metadata values are int, float, bool, str, list[str], numpy arrays (of numbers) and lists of lists. Raises
    BaseModelError, one sentence, for whatever is wrong with the file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
            if len(start) < 8 or start[:4] != MAGIC:
                raise BaseModelError(
                    f"{path} is not a GGUF file: it does not start with {MAGIC.decode()!r}; give another file."
                )
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise BaseModelError(f"The GGUF file {path} can't be read: {error.strerror or error}.") from error
    try:
        metadata, tensors = _HeaderParser(path, data).parse()
    except BaseException:
        data.close()
        raise
    return GgufFile(path, data, metadata, tensors)


class _HeaderParser:
    """One pass over the header; `position` never leaves the file."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.size = len(data)
        self.position = len(MAGIC)

    def parse(self) -> tuple[dict[str, Any], dict[str, TensorInfo]]:
        version = self.uint32()
        if version not in SUPPORTED_VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in SUPPORTED_VERSIONS
            what = "is big-endian" if swapped else f"has GGUF version {version}"
            raise BaseModelError(f"{self.path} {what}; only little-endian versions 2 and 3 can be read.")
        tensor_count = self.count("tensors", LEAST_TENSOR_BYTES)
        metadata_count = self.count("metadata entries", LEAST_METADATA_BYTES)
        metadata: dict[str, Any] = {}
        for _ in range(metadata_count):
            key = self.key("a metadata key")
            if key in metadata:
                raise self.broken(f"it holds {key!r} twice")
            metadata[key] = self.value(self.uint32(), key, depth=0)
        split = metadata.get("split.count", 0)
        if type(split) is not int or split not in (0, 1):
            raise BaseModelError(f"{self.path} is one part of a split model; merge it with `llama-gguf-split --merge`.")
        return metadata, self.tensors(tensor_count, self.alignment(metadata))

    def tensors(self, count: int, alignment: int) -> dict[str, TensorInfo]:
        entries = [self.tensor_entry() for _ in range(count)]
        data_start = -(-self.position // alignment) * alignment
        tensors: dict[str, TensorInfo] = {}
        for name, shape, quantization, relative_offset in entries:
            if name in tensors:
                raise self.broken(f"it holds the tensor {name!r} twice")
            if relative_offset % alignment:
                raise self.broken(f"the tensor {name!r} is not aligned to {alignment} bytes")
            block_elements, block_bytes = GGML_QUANT_SIZES[quantization]
            elements = math.prod(shape)
            if elements == 0 or shape[-1] % block_elements:
                raise self.broken(f"the tensor {name!r} can't have the shape {list(shape)} as {quantization.name}")
            size = elements // block_elements * block_bytes
            offset = data_start + relative_offset
            if offset + size > self.size:
                raise self.broken(f"the tensor {name!r} would end at byte {offset + size:,} of {self.size:,}")
            tensors[name] = TensorInfo(name=name, shape=shape, quantization=quantization, offset=offset, size=size)
        # Each lies in the file, but a thousand of them could lie in the same place, and each is read into memory.
        if (total := sum(tensor.size for tensor in tensors.values())) > self.size:
            raise self.broken(f"its tensors would take {total:,} of its {self.size:,} bytes")
        return tensors

    def tensor_entry(self) -> tuple[str, tuple[int, ...], GGMLQuantizationType, int]:
        name = self.key("a tensor's name")
        dimensions = self.uint32()
        if not 1 <= dimensions <= MAX_TENSOR_DIMENSIONS:
            raise self.broken(f"the tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self.uint64() for _ in range(dimensions))[::-1]
        type_number = self.uint32()
        try:
            quantization = GGMLQuantizationType(type_number)
        except ValueError as error:
            raise self.broken(f"the tensor {name!r} has the unknown quantization {type_number}") from error
        return name, shape, quantization, self.uint64()

    def alignment(self, metadata: Mapping[str, Any]) -> int:
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 8 or alignment & (alignment - 1) or alignment > 1 << 20:
            raise self.broken(f"its alignment is {alignment!r}")
        return alignment

    def value(self, kind: int, key: str, depth: int) -> Any:
        if kind == STRING:
            return self.string(f"the value of {key!r}")
        if kind == ARRAY:
            return self.array(key, depth)
        if kind not in SCALARS:
            raise self.broken(f"{key!r} has the unknown type {kind}")
        number = self.numbers(kind, 1, key)[0].item()
        return bool(number) if kind == BOOL else number

    def array(self, key: str, depth: int) -> Any:
        if depth >= MAX_ARRAY_DEPTH:
            raise self.broken(f"{key!r} nests arrays deeper than {MAX_ARRAY_DEPTH}")
        kind = self.uint32()
        if kind in SCALARS:
            return self.numbers(kind, self.count(f"values of {key!r}", SCALARS[kind].itemsize), key)
        if kind == STRING:
            return self.strings(self.count(f"values of {key!r}", UINT64.size), key)
        if kind == ARRAY:
            count = self.count(f"values of {key!r}", UINT32.size + UINT64.size)
            return [self.array(key, depth + 1) for _ in range(count)]
        raise self.broken(f"{key!r} has the unknown type {kind}")

    def strings(self, count: int, key: str) -> list[str]:
        """Many strings at once; a vocabulary has 150,000, so the loop does nothing that it needn't."""
        data, position, size, length_at = self.data, self.position, self.size, UINT64.unpack_from
        texts: list[str] = []
        try:
            for _ in range(count):
                start = position + 8
                position = start + length_at(data, position)[0]
                if position > size:
                    raise self.cut(f"the values of {key!r}")
                texts.append(data[start:position].decode())
        except struct.error as error:
            raise self.cut(f"the values of {key!r}") from error
        except UnicodeDecodeError as error:
            raise self.broken(f"value {len(texts)} of {key!r} is no UTF-8 text") from error
        self.position = position
        return texts

    def numbers(self, kind: int, count: int, key: str) -> np.ndarray[Any, Any]:
        dtype = SCALARS[kind]
        start = self.advance(count * dtype.itemsize, f"the value of {key!r}")
        return np.frombuffer(self.data[start : self.position], dtype=dtype)  # a copy: outlives the map

    def key(self, what: str) -> str:
        text = self.string(what, limit=MAX_KEY_BYTES)
        if not text or not re.fullmatch(r"[\x21-\x7e]+", text):
            raise self.broken(f"{what} is {text[:40]!r}")
        return text

    def string(self, what: str, limit: int | None = None) -> str:
        length = self.uint64()
        if limit is not None and length > limit:
            raise self.broken(f"{what} claims to be {length:,} bytes long")
        start = self.advance(length, what)
        try:
            return self.data[start : self.position].decode()
        except UnicodeDecodeError as error:
            raise self.broken(f"{what} is no UTF-8 text") from error

    def count(self, what: str, least_bytes_each: int) -> int:
        """A count that the rest of the file has room for."""
        count = self.uint64()
        if count * least_bytes_each > self.size - self.position:
            raise self.broken(f"it claims {count:,} {what}, more than its {self.size:,} bytes can hold")
        return count

    def uint32(self) -> int:
        return int(UINT32.unpack_from(self.data, self.advance(UINT32.size, "the header"))[0])

    def uint64(self) -> int:
        return int(UINT64.unpack_from(self.data, self.advance(UINT64.size, "the header"))[0])

    def advance(self, length: int, what: str) -> int:
        start = self.position
        if length > self.size - start:
            raise self.cut(what)
        self.position = start + length
        return start

    def cut(self, what: str) -> BaseModelError:
        return self.broken(f"it ends inside {what}")

    def broken(self, why: str) -> BaseModelError:
        return BaseModelError(f"The GGUF file {self.path} is broken: {why}; fetch it again.")
