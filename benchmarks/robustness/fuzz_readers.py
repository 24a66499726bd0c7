"""What is fuzzed: each reader of untrusted files or messages, with valid seeds, as a function of bytes.

A reader is entered with a folder of its own. `read` raises a SubmodelError where an input is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.robustness.fuzz_mutation import Shape
from builder.errors import SubmodelError


class Reader:
    """One reader. `seeds` are valid inputs, `shape` says how they are changed."""

    shape: Shape = "binary"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seeds: list[bytes] = []

    def __enter__(self) -> Reader:
        self.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self) -> None:
        """Make the seeds."""

    def read(self, data: bytes) -> None:
        """Read one input as the program would."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop what runs."""


class GgufReader(Reader):
    """Header, tokenizer and weights of a GGUF file of two layers."""

    def prepare(self) -> None:
        """Two architectures, one of them with quantized weights."""
        from gguf import GGMLQuantizationType

        from tests.builder.tiny_gguf import make_parts, write_gguf

        for kind, quantization in (("llama", GGMLQuantizationType.F32), ("qwen2", GGMLQuantizationType.Q8_0)):
            _, _, metadata, tensors = make_parts(kind, quantization=quantization)
            path = write_gguf(self.folder / f"{kind}.gguf", kind, metadata, tensors)
            self.seeds.append(path.read_bytes())

    def read(self, data: bytes) -> None:
        """As `load_base` does."""
        import torch

        from builder.gguf.reader import open_gguf
        from builder.gguf.tokenizer import read_tokenizer
        from builder.gguf.weights import read_model

        path = self.folder / "x.gguf"
        path.write_bytes(data)
        with open_gguf(path) as gguf:
            read_tokenizer(gguf)
            read_model(gguf, dtype=torch.float32, on_progress=lambda done, total: None)


class SafetensorsReader(Reader):
    """The weights of a checkpoint folder, whose config.json is good."""

    def prepare(self) -> None:
        """A model of two layers."""
        from tests.builder.tiny_bases import save_folder

        save_folder(self.folder / "model")
        self.seeds = [(self.folder / "model" / "model.safetensors").read_bytes()]

    def read(self, data: bytes) -> None:
        """Every tensor, as the exporter does; and the same bytes as the state of a recovery and as masks."""
        from builder.errors import BuildError
        from builder.recovery.state import StateFile
        from builder.sparsity.mask_file import MaskFile
        from exporters.checkpoint import Checkpoint

        path = self.folder / "model" / "model.safetensors"
        path.write_bytes(data)
        StateFile(path=path, key="a key").load()
        with contextlib.suppress(BuildError):
            MaskFile(path)
        checkpoint = Checkpoint(self.folder / "model")
        for name in ("model.embed_tokens.weight", "model.norm.weight", "model.layers.1.mlp.down_proj.weight"):
            checkpoint.read(name)


class TokenizerReader(Reader):
    """tokenizer.json, read and put to work."""

    shape: Shape = "json"

    def prepare(self) -> None:
        """Two of small vocabularies."""
        from tests.builder.tiny import make_plain_tokenizer, make_tokenizer

        self.seeds = [make_tokenizer(300).to_str().encode(), make_plain_tokenizer(280).to_str().encode()]

    def read(self, data: bytes) -> None:
        """As the server does."""
        from lsp_server.detokenizer import load_tokenizer

        path = self.folder / "tokenizer.json"
        path.write_bytes(data)
        load_tokenizer(path)


class BundleReader(Reader):
    """bundle.json of a bundle whose other files are there; what is a JSON object gets a checksum that fits."""

    shape: Shape = "json"

    def prepare(self) -> None:
        """Files of a few bytes: what is in them is read elsewhere."""
        from exporters.bundle import MANIFEST_FILE, write_bundle_manifest
        from exporters.drafts import FOLDER, build_index, write_index

        (self.folder / "onnx").mkdir()
        for name in ("onnx/model.onnx", "tokenizer.json"):
            (self.folder / name).write_bytes(b"content")
        write_index(build_index([[5, 6, 7, 8, 9, 5, 6, 7, 8]]), self.folder / FOLDER)
        shape = {"layers": 2, "kv_heads": 2, "head_dim": 16, "hidden_size": 64, "vocab_size": 99, "max_positions": 128}
        prompt = {"prefix_token": "<p>", "suffix_token": "<s>", "middle_token": "<m>", "stop_tokens": ["<e>"]}
        gate = {"positions": 9, "curve": [{"threshold": 0.5, "coverage": 0.5, "precision": 0.9}]}
        write_bundle_manifest(self.folder, {"prompt": prompt, "architecture": shape, "gate": gate, "licence": "MIT"})
        self.seeds = [(self.folder / MANIFEST_FILE).read_bytes()]

    def read(self, data: bytes) -> None:
        """The manifest, every file, the display gate, the drafts, and a window in the prompt's format."""
        from builder.prompt import cut_window
        from builder.untrusted_json import parse_json
        from exporters.bundle import MANIFEST_FILE, read_bundle, seal_manifest
        from exporters.drafts import FOLDER, open_index
        from exporters.gate import read_gate

        try:
            document = parse_json(data)
        except ValueError:
            document = None
        if isinstance(document, dict):
            try:
                seal_manifest(self.folder, document)
            except UnicodeEncodeError:  # half a character
                (self.folder / MANIFEST_FILE).write_bytes(data)
        else:
            (self.folder / MANIFEST_FILE).write_bytes(data)
        bundle = read_bundle(self.folder)
        gate = read_gate(bundle.manifest)
        if gate is not None:
            gate.at(0.9)
        index = open_index(self.folder / FOLDER)
        if index is not None:
            index.propose([5, 6, 7, 8], 4)
        cut_window("a = 1\n" * 2000, 6000, bundle.prompt)


class ArchiveReader(Reader):
    """Source distributions: tar in four forms and zip."""

    def prepare(self) -> None:
        """Some files, names that take an extended header, and a link."""
        files = {"tool-1/a.py": b"x = 1\n" * 40, "tool-1/" + "long" * 35 + "/b.py": b"y = 2\n", "tool-1/ü.py": b""}
        for mode, form in (("w", tarfile.PAX_FORMAT), ("w", tarfile.GNU_FORMAT), ("w:gz", tarfile.PAX_FORMAT)):
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode=mode, format=form) as tarred:  # type: ignore[call-overload]
                for name, content in files.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tarred.addfile(info, io.BytesIO(content))
                link = tarfile.TarInfo("tool-1/link")
                link.type, link.linkname = tarfile.SYMTYPE, "../../../etc"
                tarred.addfile(link)
            self.seeds.append(stream.getvalue())
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, content in files.items():
                zipped.writestr(name, content)
        self.seeds.append(stream.getvalue())

    def read(self, data: bytes) -> None:
        """Unpack it, and look whether anything came to lie outside."""
        from builder.sources.distribution import Distribution
        from builder.sources.fetch import _unpack

        shutil.rmtree(self.folder / "room", ignore_errors=True)
        target = self.folder / "room" / "deep" / "out"
        target.mkdir(parents=True)
        archive = self.folder / "archive"
        archive.write_bytes(data)
        try:
            _unpack(archive, target, Distribution(index="npm", name="tool", version="1"))
        finally:
            outside = [path for path in (self.folder / "room").rglob("*") if not path.is_relative_to(target)]
            links = [path for path in target.rglob("*") if path.is_symlink()]
            assert outside == [self.folder / "room" / "deep"], outside
            assert not links, links


class ReportReader(Reader):
    """report.json of a build, rendered again by `submodel eval`."""

    shape: Shape = "json"

    def prepare(self) -> None:
        """The document that the report's own tests render."""
        from tests.submodel.test_report import document

        self.seeds = [json.dumps(document()).encode()]

    def read(self, data: bytes) -> None:
        """Read and render it."""
        from submodel.report.saved import read_saved, render_saved

        path = self.folder / "report.json"
        path.write_bytes(data)
        render_saved(read_saved(path), path, title="a repository")


class Refused(SubmodelError):
    """A message that the protocol refused, as it should."""


class ProtocolReader(Reader):
    """Messages of a client to the server's own handlers, with an engine that is played.

    They go the way that they take from a stream: from JSON to pygls' objects to the handlers. A handler that raises is
    a failure, whatever the client sent. `exit` and `shutdown` are left out: they do what they say.
    """

    shape: Shape = "messages"

    def prepare(self) -> None:
        """A message of each kind; a server that has been initialized and has a document open."""
        logging.disable(logging.CRITICAL)
        self.loop = asyncio.new_event_loop()
        self.written: list[dict[str, Any]] = []
        self.errors: list[Exception] = []
        self.count = 0
        self._start()
        uri = {"uri": "file:///w/a.py"}
        here = {"line": 1, "character": 4}
        span = {"start": {"line": 0, "character": 2}, "end": here}
        place = {"textDocument": uri, "position": here}
        item = {"item": {"command": {"arguments": [1]}}, "acceptedLength": 3}
        kinds: list[tuple[str, Any]] = [
            ("textDocument/didOpen", {"textDocument": {**uri, "languageId": "python", "version": 1, "text": TEXT}}),
            ("textDocument/didChange", {"textDocument": {**uri, "version": 2}, "contentChanges": [
                {"range": span, "text": "y😋\n"}, {"text": TEXT}]}),
            ("textDocument/didClose", {"textDocument": uri}),
            ("workspace/didChangeConfiguration", {"settings": {"submodel": {
                "trigger": {"debounceMinMs": 0, "multiLine": True}, "context": {"recent": True}, "threads": 1}}}),
            ("workspace/didChangeWorkspaceFolders", {"event": {"added": [], "removed": []}}),
            ("$/cancelRequest", {"id": 5}),
            ("$/setTrace", {"value": "off"}),
            ("notebookDocument/didClose", {"notebookDocument": uri, "cellTextDocuments": []}),
            ("textDocument/didShowCompletion", item),
            ("textDocument/didPartiallyAcceptCompletion", item),
        ]  # fmt: skip
        requests: list[tuple[str, Any]] = [
            ("textDocument/inlineCompletion", {**place, "context": {"triggerKind": 1}}),
            ("textDocument/inlineCompletion", {**place, "context": {"triggerKind": 2, "selectedCompletionInfo": {
                "range": span, "text": "value"}}}),
            ("textDocument/completion", {**place, "context": {"triggerKind": 1}}),
            ("submodel/status", {}),
            ("submodel/explain", {"textDocument": uri, "count": 3}),
            *(("workspace/executeCommand", {"command": f"submodel.{name}", "arguments": arguments})
              for name, arguments in COMMANDS),
        ]  # fmt: skip
        messages = [{"jsonrpc": "2.0", "method": method, "params": params} for method, params in kinds]
        messages += [{"jsonrpc": "2.0", "id": 5, "method": method, "params": params} for method, params in requests]
        messages.append({"jsonrpc": "2.0", "id": 3, "result": None})
        self.seeds = [json.dumps(message).encode() for message in messages]

    def write(self, data: bytes) -> None:
        """What the server sends."""
        self.written.append(json.loads(data.partition(b"\r\n\r\n")[2]))

    def read(self, data: bytes) -> None:
        """One message, until nothing is to be done any more."""
        self.count += 1
        if self.count % 5000 == 0:
            self._start()
        self.written.clear()
        self.errors.clear()
        refusal = self.loop.run_until_complete(self._handle(data))
        broken = [error for error in self.errors if not self._is_refusal(error)]
        if broken:
            raise broken[0]
        if self.count % 500 == 0:
            self._probe()
        if refusal is not None or any("error" in answer for answer in self.written):
            raise Refused("The message was refused.")

    def close(self) -> None:
        """Let the server go."""
        self.server.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        logging.disable(logging.NOTSET)

    async def _handle(self, data: bytes) -> Exception | None:
        protocol = self.server.protocol
        refusal: Exception | None = None
        try:
            message = json.loads(data, object_hook=protocol.structure_message)
            if getattr(message, "method", None) not in ("exit", "shutdown", "initialize", "initialized"):
                protocol.handle_message(message)
        except Exception as error:  # as `pygls.io_.run_async`, which goes on
            refusal = error
        for _ in range(3):
            await asyncio.sleep(0)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        return refusal

    def _is_refusal(self, error: Exception) -> bool:
        """Whether it is pygls' word for a message that says nothing to it, not a handler that failed."""
        from pygls.exceptions import JsonRpcInternalError, JsonRpcInvalidParams, JsonRpcMethodNotFound

        if isinstance(error, JsonRpcInternalError):
            return False
        return isinstance(error, (JsonRpcInvalidParams, JsonRpcMethodNotFound, SubmodelError))

    def _probe(self) -> None:
        self.written.clear()
        probe = {"jsonrpc": "2.0", "id": "probe", "method": "submodel/status", "params": {}}
        self.loop.run_until_complete(self._handle(json.dumps(probe).encode()))
        assert any(answer.get("id") == "probe" and "result" in answer for answer in self.written), "it answers no more"

    def _start(self) -> None:
        from lsp_server.options import ServerOptions, TriggerOptions
        from lsp_server.server import create_server

        if hasattr(self, "server"):
            self.server.close()
        options = ServerOptions(bundle=Path("/w/bundle"), trigger=TriggerOptions(debounce_min_ms=0, debounce_max_ms=0))
        self.server = create_server(options, "1")
        self.server.protocol.set_writer(self)  # type: ignore[arg-type]
        self.server.service.close()
        self.server.service = self.server.assistant.service = PlayedService()  # type: ignore[assignment]
        self.server.report_server_error = lambda error, source: self.errors.append(error)  # type: ignore[method-assign]
        capabilities = {"workspace": {"configuration": False}}
        first = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "processId": None, "rootUri": None, "capabilities": capabilities}}  # fmt: skip

        async def begin() -> None:
            protocol = self.server.protocol
            protocol.handle_message(json.loads(json.dumps(first), object_hook=protocol.structure_message))

        self.loop.run_until_complete(begin())


COMMANDS: tuple[tuple[str, list[Any]], ...] = (
    *(("accepted", [1]), ("statistics", [{"reset": True}])),
    *(("pause", []), ("resume", []), ("snooze", [0.001])),
)
TEXT = "def f(value):\n    return value\n\n\nclass A:\n    x = 1\n"


class PlayedService:
    """Answers at once, and loads nothing."""

    def __init__(self) -> None:
        import threading

        self.bundles: dict[Path, Any] = {}
        self.is_busy = False
        self._event = threading.Event

    def supersede(self) -> Any:
        """As the real one."""
        return self._event()

    async def complete(self, question: Any, unwanted: Any) -> Any:
        """A text that hangs on nothing."""
        from lsp_server.completion import Completion
        from lsp_server.service import Answer

        assert 0 <= question.offset <= len(question.text)
        return Answer(completion=Completion(text="foo(bar)", raw="foo(bar)"), queue_ms=0.0)

    def load(self, folder: Path, threads: int | None) -> Any:
        """Loaded."""
        return self._done()

    def unload(self, folder: Path | None = None, *, forget: bool = False) -> Any:
        """Freed."""
        return self._done()

    def close(self) -> None:
        """Nothing runs."""

    def _done(self) -> Any:
        from concurrent.futures import Future

        future: Future[None] = Future()
        future.set_result(None)
        return future


READERS: dict[str, Callable[[Path], Reader]] = {
    "gguf": GgufReader,
    "safetensors": SafetensorsReader,
    "tokenizer": TokenizerReader,
    "bundle": BundleReader,
    "archive": ArchiveReader,
    "protocol": ProtocolReader,
    "report-json": ReportReader,
}
