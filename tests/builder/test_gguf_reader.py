"""The reader against files that gguf-py writes, and against broken ones."""

import struct

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter

from builder.gguf.reader import open_gguf
from contract.errors import BaseModelError

SCALARS: dict[str, object] = {
    "uint8": 200,
    "int8": -3,
    "uint16": 60_000,
    "int16": -300,
    "uint32": 4_000_000_000,
    "int32": -70_000,
}
SCALARS |= {"uint64": 1 << 60, "int64": -(1 << 60), "float32": 0.25, "float64": 1e-300, "bool": True, "string": "größe"}


def write(path, arrays=(), tensors=()):
    writer = GGUFWriter(path, "llama")
    for kind, value in SCALARS.items():
        getattr(writer, f"add_{kind}")(f"key.{kind}", value)
    for key, value in arrays:
        writer.add_array(key, value)
    for name, data in tensors:
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def small(tmp_path):
    data = np.arange(12, dtype=np.float32).reshape(3, 4)
    arrays = [("words", ["a", "", "日本"]), ("numbers", [1, -2, 3]), ("nested", [[1, 2], [3]])]
    return write(tmp_path / "small.gguf", arrays, [("first", data), ("second", data[0] + 1)])


def header(*parts, version=3, tensors=0, entries=0):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries) + b"".join(parts)


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def test_reads_what_gguf_py_writes(small):
    with open_gguf(small) as gguf:
        assert {kind: gguf.metadata[f"key.{kind}"] for kind in SCALARS} == SCALARS
        assert type(gguf.metadata["key.bool"]) is bool
        assert gguf.metadata["words"] == ["a", "", "日本"]
        assert gguf.metadata["numbers"].tolist() == [1, -2, 3]
        assert [part.tolist() for part in gguf.metadata["nested"]] == [[1, 2], [3]]
        first, second = gguf.tensors["first"], gguf.tensors["second"]
        assert (first.shape, second.shape) == ((3, 4), (4,))
        assert first.quantization == GGMLQuantizationType.F32
        assert gguf.raw(first).view(np.float32).tolist() == list(range(12))
        assert gguf.raw(second).view(np.float32).tolist() == [1, 2, 3, 4]


def test_a_file_cut_anywhere_is_an_error(small, tmp_path):
    data = small.read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in [*range(0, len(data) - 32, 7), len(data) - 17]:  # the last bytes are padding
        cut.write_bytes(data[:length])
        with pytest.raises(BaseModelError, match=r"cut\.gguf"):
            open_gguf(cut)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a GGUF file"),
        (b"PK\x03\x04" + bytes(100), "not a GGUF file"),
        (header(version=1), "version 1"),
        (header(version=0x03000000), "big-endian"),
        (header(tensors=1 << 62), "claims 4,611,686,018,427,387,904 tensors"),
        (header(entries=1 << 40), "claims 1,099,511,627,776 metadata entries"),
        (header(struct.pack("<Q", 1 << 50), bytes(50), entries=1), "claims to be 1,125,899,906,842,624 bytes long"),
        (header(text("a"), struct.pack("<IQ", 8, 1 << 50), bytes(50), entries=1), "ends inside the value of 'a'"),
        (header(text("a"), struct.pack("<IIQ", 9, 8, 1 << 50), bytes(50), entries=1), "values of 'a', more than"),
        (header(text("a"), struct.pack("<IIQ", 9, 4, 1 << 62), bytes(50), entries=1), "values of 'a', more than"),
        (header(text("a"), struct.pack("<IIQ", 9, 8, 2), text("x"), b"\xff" * 8, entries=1), "ends inside the values"),
        (header(text("a"), struct.pack("<I", 9), struct.pack("<IQ", 9, 1) * 9, bytes(50), entries=1), "nests arrays"),
        (header(text("a"), struct.pack("<I", 13), bytes(50), entries=1), "unknown type 13"),
        (header(text("a"), struct.pack("<IB", 0, 1), text("a"), struct.pack("<IB", 0, 1), entries=2), "'a' twice"),
        (header(text("a\n"), struct.pack("<IB", 0, 1), entries=1), "metadata key"),
        (header(text("a"), struct.pack("<IQ", 8, 2), b"\xff\xfe", entries=1), "no UTF-8"),
        (header(text("general.alignment"), struct.pack("<II", 4, 0), entries=1), "alignment is 0"),
        (header(text("split.count"), struct.pack("<IH", 2, 3), entries=1), "one part of a split model"),
        (header(text("t"), struct.pack("<I", 9), bytes(60), tensors=1), "9 dimensions"),
        (header(text("t"), struct.pack("<IQIQ", 1, 4, 99, 0), bytes(60), tensors=1), "unknown quantization 99"),
        (header(text("t"), struct.pack("<IQIQ", 1, 4, 0, 7), bytes(60), tensors=1), "not aligned"),
        (header(text("t"), struct.pack("<IQIQ", 1, 4, 0, 1 << 40), bytes(60), tensors=1), "would end at byte"),
        (
            header(text("t"), struct.pack("<IQQIQ", 2, 1 << 62, 1 << 62, 0, 0), bytes(60), tensors=1),
            "would end at byte",
        ),
        (header(text("t"), struct.pack("<IQIQ", 1, 0, 0, 0), bytes(60), tensors=1), "can't have the shape"),
        (header(text("t"), struct.pack("<IQIQ", 1, 31, 8, 0), bytes(60), tensors=1), "can't have the shape"),
        (  # two of 256 bytes in the same place of 390
            header(*(text(name) + struct.pack("<IQIQ", 1, 64, 0, 0) for name in "tu"), bytes(300), tensors=2),
            "its tensors would take 512 of its 390 bytes",
        ),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path, data, reason):
    path = tmp_path / "broken.gguf"
    path.write_bytes(data)
    with pytest.raises(BaseModelError) as caught:
        open_gguf(path)
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_absent_file_is_an_error(tmp_path):
    with pytest.raises(BaseModelError, match="No such file"):
        open_gguf(tmp_path / "absent.gguf")


def test_required_values_are_of_their_type(small):
    with open_gguf(small) as gguf:
        assert gguf.require("key.uint8", float) == 200.0
        assert gguf.optional("absent", int, 5) == 5
        for key, kind in (("absent", int), ("key.bool", int), ("key.string", int), ("words", str)):
            with pytest.raises(BaseModelError, match=key):
                gguf.require(key, kind)
