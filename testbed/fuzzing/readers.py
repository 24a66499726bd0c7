"""The readers that the fuzzer knows by name: of the protocol, of tokenizers, and of a bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from testbed.fuzzing.protocol import ProtocolReader
from testbed.fuzzing.reader import Reader, Shape


class TokenizerReader(Reader):
    """tokenizer.json, read and put to work."""

    shape: Shape = "json"

    def prepare(self) -> None:
        """One of a small vocabulary."""
        from testbed.tokenizer import make_tokenizer

        self.seeds = [make_tokenizer(300).to_str().encode()]

    def read(self, data: bytes) -> None:
        """As the server does."""
        from lsp_server.decoding.detokenizer import load_tokenizer

        path = self.folder / "tokenizer.json"
        path.write_bytes(data)
        load_tokenizer(path)


class BundleReader(Reader):
    """bundle.json of a bundle whose other files are there; what is a JSON object gets a checksum that fits."""

    shape: Shape = "json"

    def prepare(self) -> None:
        """Files of a few bytes: what is in them is read elsewhere."""
        from contract.bundle.manifest import MANIFEST_FILE, write_manifest_of

        (self.folder / "onnx").mkdir()
        for name in ("onnx/model.onnx", "tokenizer.json"):
            (self.folder / name).write_bytes(b"content")
        shape = {"layers": 2, "kv_heads": 2, "head_dim": 16, "hidden_size": 64, "vocab_size": 99, "max_positions": 128}
        prompt = {"prefix_token": "<p>", "suffix_token": "<s>", "middle_token": "<m>", "stop_tokens": ["<e>"]}
        write_manifest_of(self.folder, {"prompt": prompt, "architecture": shape, "licence": "MIT"})
        self.seeds = [(self.folder / MANIFEST_FILE).read_bytes()]

    def read(self, data: bytes) -> None:
        """The manifest, every file, and a window in the prompt's format."""
        from contract.bundle.bundle import read_bundle
        from contract.bundle.manifest import MANIFEST_FILE, write_manifest
        from contract.files.untrusted_json import parse_json
        from contract.prompt import cut_window

        (self.folder / MANIFEST_FILE).write_bytes(data)
        try:
            document = parse_json(data)
            if isinstance(document, dict):
                write_manifest(self.folder, document)
        except ValueError:  # no JSON, or half a character
            (self.folder / MANIFEST_FILE).write_bytes(data)
        cut_window("a = 1\n" * 2000, 6000, read_bundle(self.folder).prompt, len)


READERS: dict[str, Callable[[Path], Reader]] = {
    "tokenizer": TokenizerReader,
    "bundle": BundleReader,
    "protocol": ProtocolReader,
}
