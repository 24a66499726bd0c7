"""The readers that `fuzz` knows by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from testbed.fuzzing.files import (
    ArchiveReader,
    BundleReader,
    ExternalDataReader,
    GgufReader,
    RecordReader,
    ReportReader,
    SafetensorsReader,
    TokenizerReader,
)
from testbed.fuzzing.protocol import ProtocolReader
from testbed.fuzzing.reader import Reader

READERS: dict[str, Callable[[Path], Reader]] = {
    "gguf": GgufReader,
    "safetensors": SafetensorsReader,
    "tokenizer": TokenizerReader,
    "bundle": BundleReader,
    "archive": ArchiveReader,
    "protocol": ProtocolReader,
    "report-json": ReportReader,
    "stage-record": RecordReader,
    "external-data": ExternalDataReader,
}
