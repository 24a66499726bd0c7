"""The readers of untrusted files, for the fuzzer: model files, tokenizers, bundles, archives and saved reports."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.errors import BuildError
from contract.files.seals import KEY_BYTES, open_sealed, sealed_json
from contract.files.untrusted_json import read_bytes
from submodel.build.stages import PURPOSE
from testbed.fuzzing.mutation import Shape
from testbed.fuzzing.reader import Reader

if TYPE_CHECKING:
    from contract.bundle.bundle import Bundle


class GgufReader(Reader):
    """Header, tokenizer and weights of a GGUF file of two layers."""

    def prepare(self) -> None:
        """Two architectures, one of them with quantized weights."""
        from gguf import GGMLQuantizationType

        from testbed.gguf_files import make_parts, write_gguf

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
        from testbed.models import save_base

        save_base(self.folder / "model")
        self.seeds = [(self.folder / "model" / "model.safetensors").read_bytes()]

    def read(self, data: bytes) -> None:
        """Every tensor, as the exporter does; and the same bytes as the state of a fine-tuning and as masks."""
        from builder.finetuning.training_state import StateFile
        from exporters.checkpoint_reader import Checkpoint
        from laboratory.sparsity.mask_file import MaskFile

        path = self.folder / "model" / "model.safetensors"
        path.write_bytes(data)
        state = StateFile(path=path, stage_hash="a key")
        state.vouch_for(path)  # or nothing behind the seal would be tried
        state.load()
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
        from testbed.tokenizer import make_plain_tokenizer, make_tokenizer

        self.seeds = [make_tokenizer(300).to_str().encode(), make_plain_tokenizer(280).to_str().encode()]

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
        from contract.bundle.drafts import FOLDER, build_index, write_index
        from contract.bundle.manifest import MANIFEST_FILE, write_manifest_of

        (self.folder / "onnx").mkdir()
        for name in ("onnx/model.onnx", "tokenizer.json"):
            (self.folder / name).write_bytes(b"content")
        write_index(build_index([[5, 6, 7, 8, 9, 5, 6, 7, 8]]), self.folder / FOLDER)
        shape = {"layers": 2, "kv_heads": 2, "head_dim": 16, "hidden_size": 64, "vocab_size": 99, "max_positions": 128}
        prompt = {"prefix_token": "<p>", "suffix_token": "<s>", "middle_token": "<m>", "stop_tokens": ["<e>"]}
        write_manifest_of(self.folder, {"prompt": prompt, "architecture": shape, "licence": "MIT"})
        self.seeds = [(self.folder / MANIFEST_FILE).read_bytes()]

    def read(self, data: bytes) -> None:
        """The manifest, every file, the drafts, and a window in the prompt's format."""
        from contract.bundle.bundle import read_bundle
        from contract.bundle.drafts import FOLDER, open_index
        from contract.bundle.manifest import MANIFEST_FILE, write_manifest
        from contract.files.untrusted_json import parse_json
        from contract.prompt import cut_window

        try:
            document = parse_json(data)
        except ValueError:
            document = None
        if isinstance(document, dict):
            try:
                write_manifest(self.folder, document)
            except UnicodeEncodeError:  # half a character
                (self.folder / MANIFEST_FILE).write_bytes(data)
        else:
            (self.folder / MANIFEST_FILE).write_bytes(data)
        bundle = read_bundle(self.folder)
        index = open_index(self.folder / FOLDER)
        if index is not None:
            index.propose([5, 6, 7, 8], 4)
        cut_window("a = 1\n" * 2000, 6000, bundle.prompt, len)


class ArchiveReader(Reader):
    """Source distributions: tar in four forms and zip."""

    def prepare(self) -> None:
        """Some files, names that take an extended header, and a link."""
        files = {"tool-1/a.py": b"x = 1\n" * 40, "tool-1/" + "long" * 35 + "/b.py": b"y = 2\n", "tool-1/ü.py": b""}
        for mode, prompt_format in (("w", tarfile.PAX_FORMAT), ("w", tarfile.GNU_FORMAT), ("w:gz", tarfile.PAX_FORMAT)):
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode=mode, format=prompt_format) as tarred:  # type: ignore[call-overload]
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


class RecordReader(Reader):
    """The record of a finished stage, with its MAC: believed are the very bytes that this user wrote."""

    shape: Shape = "json"

    def prepare(self) -> None:
        """Two records, as `Stages` writes them, under a key that the readers of this run share."""
        self._key = secrets.token_bytes(KEY_BYTES)
        outputs = [{"model.safetensors": "0" * 64, "plan.json": "1" * 64}]
        for result in ({"plan": {"size": 0.5, "layers": [1, 2]}, "why": "ü\u2028"}, None):
            record = {"stage_hash": "ab" * 32, "seconds": 1.25, "result": result, "outputs": outputs}
            self.seeds.append(sealed_json(self._key, PURPOSE, "prune", record).encode())

    def read(self, data: bytes) -> None:
        """As `Stages` does, by a file; also under another stage's name and another user's key."""
        path = self.folder / "prune.json"
        path.write_bytes(data)
        content = read_bytes(path)
        found = open_sealed(self._key, PURPOSE, "prune", content)
        assert (found is not None) == (data in self.seeds), "a record is believed that was changed, or not its own"
        assert open_sealed(self._key, PURPOSE, "finetune", content) is None, "a record of another stage is believed"
        assert open_sealed(bytes(KEY_BYTES), PURPOSE, "prune", content) is None, "another user's record is believed"
        if found is None:
            raise BuildError("The record is not this user's.")


class ExternalDataReader(Reader):
    """An ONNX graph that keeps tensors in another file: what the check lets pass names listed files alone."""

    listed = "onnx/weights.bin"

    def prepare(self) -> None:
        """A tensor in every kind of place, and a graph of one of them."""
        from onnx import (
            AttributeProto,
            FunctionProto,
            GraphProto,
            ModelProto,
            NodeProto,
            SparseTensorProto,
            TensorProto,
            TrainingInfoProto,
        )

        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", "16")):
            tensor.external_data.add(key=key, value=value)
        sparse = SparseTensorProto(values=tensor, indices=tensor)
        inner = GraphProto(name="inner", initializer=[tensor], sparse_initializer=[sparse])
        attribute = AttributeProto(name="a", t=tensor, tensors=[tensor], sparse_tensor=sparse, g=inner, graphs=[inner])
        node = NodeProto(op_type="If", input=["c"], output=["y"], attribute=[attribute])
        function = FunctionProto(name="f", domain="d", node=[node], attribute_proto=[attribute])
        graph = GraphProto(name="g", initializer=[tensor], sparse_initializer=[sparse], node=[node])
        training = TrainingInfoProto(initialization=inner, algorithm=inner)
        whole = ModelProto(ir_version=9, graph=graph, functions=[function], training_info=[training])
        self.seeds = [model.SerializeToString() for model in (whole, ModelProto(ir_version=9, graph=inner))]
        (self.folder / "onnx").mkdir()

    def read(self, data: bytes) -> None:
        """Check it, and compare with the names that the protocol buffers' own reader finds."""
        from google.protobuf.message import DecodeError
        from onnx import ModelProto

        from lsp_server.decoding.external_data import check_external_data

        graph = self.folder / "onnx" / "model.onnx"
        graph.write_bytes(data)
        check_external_data(_listing(self.folder, graph, self.listed), graph)
        try:
            model = ModelProto.FromString(data)
        except DecodeError:
            return
        named = {f"onnx/{one}" for one in _locations_in(model)}
        assert named <= {self.listed}, f"unlisted files pass: {named}"


def _listing(folder: Path, graph: Path, listed: str) -> Bundle:
    """A bundle that lists one file."""
    from contract.bundle.bundle import Architecture, Bundle
    from contract.prompt import PromptFormat

    prompt_format = PromptFormat(prefix_token="<p>", suffix_token="<s>", middle_token="<m>", stop_tokens=("<e>",))
    shape = Architecture(layers=1, kv_heads=1, head_dim=1, hidden_size=1, vocab_size=1, max_positions=1)
    return Bundle(
        folder=folder,
        model_path=graph,
        tokenizer_path=folder / "tokenizer.json",
        prompt=prompt_format,
        architecture=shape,
        manifest={"files": {listed: {}}},  # type: ignore[typeddict-item]
        build="",
    )


def _locations_in(message: Any) -> Iterator[str]:
    """The values of all entries `location` below a message, wherever they stand."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for one in value if field.is_repeated else [value]:
            if field.name == "external_data" and one.key == "location":
                yield one.value
            yield from _locations_in(one)


class ReportReader(Reader):
    """report.json of a build, rendered again by `submodel eval`."""

    shape: Shape = "json"

    def prepare(self) -> None:
        """The document that the report's own tests render."""
        from testbed.reports import document

        self.seeds = [json.dumps(document()).encode()]

    def read(self, data: bytes) -> None:
        """Read and render it."""
        from submodel.report.render import read_saved, render_saved

        path = self.folder / "report.json"
        path.write_bytes(data)
        render_saved(read_saved(path), path, title="a repository")
