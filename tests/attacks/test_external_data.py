"""A bundle whose graph reads files that the bundle does not list.

`test_a_graph_that_reads_an_unlisted_neighbour_is_not_loaded` succeeds on 9201313: ONNX Runtime opened the file. So do
all others here: nothing looked at the names before the runtime did.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import AttributeProto, ModelProto, SparseTensorProto, TensorProto, TrainingInfoProto, helper

from contract.bundle.bundle import Bundle
from contract.bundle.manifest import MODEL_FILE, read_manifest, write_manifest_of
from contract.errors import SubmodelError
from lsp_server.completion import open_completer


def external(location: str, name: str = "w") -> TensorProto:
    """A tensor of four numbers in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def node_with(attribute: AttributeProto) -> onnx.NodeProto:
    return onnx.NodeProto(op_type="If", input=["c"], output=["y"], attribute=[attribute])


def initializer(model: ModelProto, tensor: TensorProto) -> None:
    model.graph.initializer.append(tensor)


def sparse_values(model: ModelProto, tensor: TensorProto) -> None:
    model.graph.sparse_initializer.append(SparseTensorProto(values=tensor))


def sparse_indices(model: ModelProto, tensor: TensorProto) -> None:
    model.graph.sparse_initializer.append(SparseTensorProto(indices=tensor))


def attribute(model: ModelProto, tensor: TensorProto) -> None:
    model.graph.node.append(node_with(AttributeProto(name="value", t=tensor, type=AttributeProto.TENSOR)))


def attribute_list(model: ModelProto, tensor: TensorProto) -> None:
    model.graph.node.append(node_with(AttributeProto(name="value", tensors=[tensor], type=AttributeProto.TENSORS)))


def sparse_attribute(model: ModelProto, tensor: TensorProto) -> None:
    sparse = SparseTensorProto(values=tensor)
    model.graph.node.append(node_with(AttributeProto(name="value", sparse_tensor=sparse)))
    model.graph.node.append(node_with(AttributeProto(name="value", sparse_tensors=[sparse])))


def subgraph(model: ModelProto, tensor: TensorProto) -> None:
    graph = onnx.GraphProto(name="then", initializer=[tensor])
    for _ in range(20):
        inner = node_with(AttributeProto(name="then_branch", g=graph, type=AttributeProto.GRAPH))
        graph = onnx.GraphProto(name="deeper", node=[inner])
    model.graph.node.append(node_with(AttributeProto(name="then_branch", graphs=[graph], type=AttributeProto.GRAPHS)))


def function(model: ModelProto, tensor: TensorProto) -> None:
    constant = node_with(AttributeProto(name="value", t=tensor, type=AttributeProto.TENSOR))
    model.functions.append(onnx.FunctionProto(name="f", domain="d", node=[constant]))


def function_default(model: ModelProto, tensor: TensorProto) -> None:
    default = AttributeProto(name="value", t=tensor, type=AttributeProto.TENSOR)
    model.functions.append(onnx.FunctionProto(name="f", domain="d", attribute_proto=[default]))


def training(model: ModelProto, tensor: TensorProto) -> None:
    model.training_info.append(TrainingInfoProto(algorithm=onnx.GraphProto(initializer=[tensor])))


PLACES = [initializer, sparse_values, sparse_indices, attribute, attribute_list, sparse_attribute, subgraph]
PLACES += [function, function_default, training]


@pytest.fixture
def hostile(tiny_bundle: Bundle, tmp_path: Path) -> Callable[..., Path]:
    """A bundle with hashes that fit, to whose graph something was added."""

    def make(change: Callable[[ModelProto], None]) -> Path:
        folder = tmp_path / "bundle"
        shutil.copytree(tiny_bundle.folder, folder)
        model = onnx.load(str(folder / MODEL_FILE), load_external_data=False)
        change(model)
        (folder / MODEL_FILE).write_bytes(model.SerializeToString())
        manifest = {name: value for name, value in read_manifest(folder).items() if name not in ("schema", "files")}
        write_manifest_of(folder, manifest)
        return folder

    return make


def added(tensor: TensorProto) -> Callable[[ModelProto], None]:
    """An addition that ONNX Runtime loads and runs."""

    def change(model: ModelProto) -> None:
        model.graph.initializer.append(tensor)
        model.graph.node.append(helper.make_node("Identity", [tensor.name], [f"{tensor.name}.used"]))

    return change


def test_a_graph_that_reads_an_unlisted_neighbour_is_not_loaded(hostile: Callable[..., Path]) -> None:
    folder = hostile(added(external("notes.bin")))
    (folder / "onnx" / "notes.bin").write_bytes(b"\0\0\x80?" * 4)
    with pytest.raises(SubmodelError, match=r"'notes\.bin', which the bundle does not list"):
        open_completer(folder, threads=1)


@pytest.mark.parametrize(
    "location",
    [
        *("../../secret", "../tokenizer.json", "./model.onnx", "x/../model.onnx", "", ".", "/etc/passwd"),
        *("C:\\secret", "..\\secret", "//host/share", "*/_ORT_MEM_ADDR_/*", "model.onnx\0", "nul"),
    ],
)
def test_no_name_but_a_plain_listed_one_is_taken(hostile: Callable[..., Path], location: str) -> None:
    with pytest.raises(SubmodelError, match="does not list"):
        open_completer(hostile(added(external(location))), threads=1)


@pytest.mark.parametrize("place", PLACES)
def test_a_name_is_found_wherever_a_tensor_can_be(
    hostile: Callable[..., Path], place: Callable[[ModelProto, TensorProto], None]
) -> None:
    folder = hostile(lambda model: place(model, external("notes.bin")))
    with pytest.raises(SubmodelError, match=r"'notes\.bin', which the bundle does not list"):
        open_completer(folder, threads=1)


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
def test_a_listed_file_that_is_a_link_is_not_opened(hostile: Callable[..., Path], tmp_path: Path) -> None:
    folder = hostile(lambda model: None)
    outside = tmp_path / "outside"
    shutil.move(folder / "onnx", outside)
    (folder / "onnx").symlink_to(outside)
    with pytest.raises(SubmodelError, match="link"):
        open_completer(folder, threads=1)


def test_a_graph_that_a_runtime_would_read_in_another_format_is_not_loaded(tiny_bundle: Bundle) -> None:
    from lsp_server.decoding.external_data import check_external_data

    with pytest.raises(SubmodelError, match="not named as an ONNX graph"):
        check_external_data(tiny_bundle, tiny_bundle.folder / "onnx" / "model.ort")


def test_a_compiled_graph_that_reads_its_own_files_is_not_loaded(hostile: Callable[..., Path]) -> None:
    context = helper.make_node("EPContext", [], ["z"], domain="com.microsoft", ep_cache_context="../../secret")
    with pytest.raises(SubmodelError, match="EPContext reads files of its own"):
        open_completer(hostile(lambda model: model.graph.node.append(context)), threads=1)
