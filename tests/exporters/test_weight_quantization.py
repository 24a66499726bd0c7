"""The block-wise int8 product against numpy, through ONNX Runtime."""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx_ir.tape import Tape

from exporters.matrices import Matrix
from exporters.precision import BLOCK, Int8WeightMatrices, block_codes, block_scales

HIDDEN, OUTPUTS = 2 * BLOCK, 24


@pytest.fixture
def weight():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((OUTPUTS, HIDDEN)).astype(np.float32)
    weight[:, 3] *= 50  # an outlier channel, which a scale a row would spread over all others
    weight[5, :BLOCK] = 0
    return weight


def restore(weight):
    scales = block_scales(weight)
    codes = block_codes(weight, scales).astype(np.float32)
    return (codes * scales[:, :, None]).reshape(weight.shape)


def run(weight, build, feeds, dtypes):
    tape = Tape()
    matrices = Int8WeightMatrices(tape)
    matrix = Matrix(name="weight", outputs=OUTPUTS, inputs=HIDDEN, read=lambda: weight)
    inputs = [ir.val(name, dtype=dtypes[name], shape=ir.Shape([None] * array.ndim)) for name, array in feeds.items()]
    output = build(matrices, matrix, *inputs)
    output.name, output.dtype = "output", ir.DataType.FLOAT
    graph = ir.Graph(
        inputs, [output], nodes=tape.nodes, initializers=tape.initializers, opset_imports={"": 21, "com.microsoft": 1}
    )
    model = ir.Model(graph, ir_version=10)
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def test_codes_are_within_half_a_step_of_their_own_block(weight):
    """The outlier channel costs the other blocks of its rows nothing, and a row of large weights the other rows."""
    weight[7] *= 100
    blocks, restored = (one.reshape(OUTPUTS, 2, BLOCK) for one in (weight, restore(weight)))
    half_steps = np.abs(blocks).max(axis=2) / 127 / 2
    assert (np.abs(restored - blocks).max(axis=2) <= 1.001 * half_steps).all()
    assert (restore(weight)[5, :BLOCK] == 0).all()


def test_the_product_is_that_of_the_restored_weight(weight):
    x = np.random.default_rng(1).standard_normal((1, 3, HIDDEN)).astype(np.float32)
    found = run(
        weight, lambda m, matrix, value: m.project(m.prepare(value), matrix), {"x": x}, {"x": ir.DataType.FLOAT}
    )
    expected = x @ restore(weight).T
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_embedding_and_head_share_one_matrix(weight):
    ids = np.array([[5, 0, 23]], np.int64)

    def build(matrices, matrix, value):
        rows = matrices.embed(value, matrix, shares_head=True)
        before = len(matrices.tape.initializers)
        matrices.head(matrices.prepare(rows), matrix)
        assert len(matrices.tape.initializers) == before
        return rows

    found = run(weight, build, {"ids": ids}, {"ids": ir.DataType.INT64})
    np.testing.assert_allclose(found, restore(weight)[ids], rtol=1e-5, atol=1e-6)
