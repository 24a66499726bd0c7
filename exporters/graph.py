"""The decode graph: a Llama- or Qwen2-shaped checkpoint as one ONNX model, emitted node by node.

Inputs:   input_ids (batch, sequence) int64; attention_mask (batch, total) int64;
          past_key_values.{i}.key/.value (batch, kv_heads, past, head_dim) float32, in fp16 graphs float16
Outputs:  logits (batch, kept, vocabulary) float32; present.{i}.key/.value (batch, kv_heads, total, head_dim)
Optional: num_logits_to_keep (1,) int64, an initializer that a caller may override: k gives the logits of the last k
          positions only, and the last layer's projections run for those alone. Without it, all positions.

Past and present may share one buffer that is longer than needed (`total` then gives the length), or past has the exact
length. Several tokens after a past need batch 1 (GroupQueryAttention). The prompts of a batch need the same length:
GroupQueryAttention counts positions from the first column, so that prompts padded on the left get wrong answers and no
error. `exporters.precision` stores the matrices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from exporters.checkpoint_reader import EMBEDDING, FINAL_GAIN, HEAD, Checkpoint, DecoderShape, FloatArray
from exporters.matrices import MICROSOFT, Matrices, Matrix, Rows
from exporters.precision import MATRICES, Precision

OPSET = 21
MICROSOFT_OPSET = 1
IR_VERSION = 10  # opset 21's; runtimes refuse a higher one than they know
KEEP_ALL = 2**31 - 1  # more than any position
INLINE_LIMIT_BYTES = 2_000_000_000  # protobuf ends at 2 GiB; below, one file is easier to copy and to load in a browser
EXTERNAL_THRESHOLD_BYTES = 1024  # small constants stay inline: runtimes read some of them while building the session


def build_graph(checkpoint: Checkpoint, precision: Precision) -> ir.Model:
    """Return the decode graph of `checkpoint`. Each tensor is read once.

    Floating-point weights are read when the model is saved, one at a time; codes are made here, and stay in memory.
    """
    return _Emitter(checkpoint, precision).emit()


def save_graph(model: ir.Model, path: Path, *, inline_limit: int | None = None) -> None:
    """Write `model` to `path`, with its weights inside; from `inline_limit` bytes on beside it, in `<name>_data`.

    The default limit is INLINE_LIMIT_BYTES. Weights inside are in memory twice while they are written. Replaces a graph
    of that path, with its weights.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = path.with_name(f"{path.name}_data")
    for earlier in (path, weights):
        earlier.unlink(missing_ok=True)
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None)
    if size < (INLINE_LIMIT_BYTES if inline_limit is None else inline_limit):
        ir.save(model, path)
    else:
        ir.save(model, path, external_data=weights.name, size_threshold_bytes=EXTERNAL_THRESHOLD_BYTES)


def rotary_tables(shape: DecoderShape) -> tuple[FloatArray, FloatArray]:
    """Return cosines and sines (positions, head_dim / 2), in float32 throughout as transformers computes them."""
    exponents = np.arange(0, shape.head_dim, 2, dtype=np.float32) / np.float32(shape.head_dim)
    frequencies = np.float32(1) / np.power(np.float32(shape.rope_theta), exponents)
    angles = np.outer(np.arange(shape.max_positions, dtype=np.float32), frequencies)
    return np.cos(angles), np.sin(angles)


@dataclass(frozen=True, kw_only=True)
class _Attention:
    """What all layers' attention nodes share."""

    lengths: ir.Value  # (batch,) int32: positions of each sequence, less one
    total: ir.Value  # int32: positions of the longest
    cosines: ir.Value
    sines: ir.Value


class _Emitter:
    """State of one emission: the tape, the checkpoint and the precision."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision) -> None:
        self.checkpoint = checkpoint
        self.shape = checkpoint.shape
        self.tape = Tape()
        self.matrices: Matrices = MATRICES[precision](self.tape)
        self.inputs: list[ir.Value] = []
        self.outputs: list[ir.Value] = []

    def emit(self) -> ir.Model:
        ids = self._input("input_ids", ir.DataType.INT64, ["batch_size", "sequence_length"])
        mask = self._input("attention_mask", ir.DataType.INT64, ["batch_size", "total_sequence_length"])
        attention = self._shared_attention(mask)
        embedding = self._matrix(EMBEDDING, self.shape.vocab_size)

        residual = self.matrices.embed(ids, embedding, shares_head=self.shape.is_tied)
        normed = self.tape.op(
            "SimplifiedLayerNormalization",
            [residual, self._gain("model.layers.0.input_layernorm.weight")],
            {"axis": -1, "epsilon": self.shape.norm_epsilon, "stash_type": 1},
        )
        for layer in range(self.shape.layers):
            normed, residual = self._layer(layer, normed, residual, attention)

        name = EMBEDDING if self.shape.is_tied else HEAD
        head = self._matrix(name, self.shape.vocab_size)
        logits = self.matrices.head(self._prepare_normed(normed), head)
        if self.matrices.number is not ir.DataType.FLOAT:
            logits = self.tape.op("Cast", [logits], {"to": ir.DataType.FLOAT})  # every reader knows float32
        # The dimension keeps this name: runtimes that don't know num_logits_to_keep size their buffers by it.
        self._output(logits, "logits", ["batch_size", "sequence_length", self.shape.vocab_size])
        return self._model([self.outputs[-1], *self.outputs[:-1]])

    def _layer(
        self, layer: int, normed: ir.Value, residual: ir.Value, attention: _Attention
    ) -> tuple[ir.Value, ir.Value]:
        """Emit attention and feed-forward of one layer; return the next layer's normed input and the residuals."""
        shape, prefix = self.shape, f"model.layers.{layer}"
        is_last = layer == shape.layers - 1
        context = self._attend(layer, normed, attention)
        if is_last:
            context, residual = self._keep_last(context, residual)
        mixed = self._project(context, f"{prefix}.self_attn.o_proj.weight", shape.heads * shape.head_dim)
        normed, residual = self._add_and_norm(mixed, residual, f"{prefix}.post_attention_layernorm.weight")

        # Two products on one quantized input: a single wide one and a Split read prompts 3 % slower.
        rows = self._prepare_normed(normed)
        gate, up = (
            self.matrices.project(rows, self._matrix(f"{prefix}.mlp.{part}_proj.weight", shape.ffn_width))
            for part in ("gate", "up")
        )
        # QuickGelu is x·sigmoid(αx). With α = 1 it is SiLU in one node.
        silu = self.tape.op("QuickGelu", [gate], {"alpha": 1.0}, domain=MICROSOFT)
        hidden = self.tape.op("Mul", [silu, up])
        mixed = self._project(hidden, f"{prefix}.mlp.down_proj.weight", shape.ffn_width)
        gain = FINAL_GAIN if is_last else f"model.layers.{layer + 1}.input_layernorm.weight"
        return self._add_and_norm(mixed, residual, gain)

    def _attend(self, layer: int, normed: ir.Value, attention: _Attention) -> ir.Value:
        shape, prefix = self.shape, f"model.layers.{layer}.self_attn"
        rows, matrix = self._prepare_normed(normed), self._packed_qkv(prefix)
        if self.checkpoint.has(f"{prefix}.q_proj.bias"):
            names = [f"{prefix}.{part}_proj.bias" for part in "qkv"]
            bias = self.matrices.numbers(f"{prefix}.qkv_proj.bias", self.checkpoint.read(*names))
            qkv = self.matrices.project_with_bias(rows, matrix, bias)
        else:
            qkv = self.matrices.project(rows, matrix)
        past = [self._cache_input(layer, kind) for kind in ("key", "value")]
        context, *present = self.tape.op_multi_out(
            "GroupQueryAttention",
            [qkv, None, None, *past, attention.lengths, attention.total, attention.cosines, attention.sines],
            {
                "num_heads": shape.heads,
                "kv_num_heads": shape.kv_heads,
                "scale": 1 / math.sqrt(shape.head_dim),
                "do_rotary": 1,
                "rotary_interleaved": 0,
            },
            domain=MICROSOFT,
            num_outputs=3,
        )
        for kind, value in zip(("key", "value"), present, strict=True):
            dims: list[int | str] = ["batch_size", shape.kv_heads, "total_sequence_length", shape.head_dim]
            self._output(value, f"present.{layer}.{kind}", dims, self.matrices.number)
        return context

    def _shared_attention(self, mask: ir.Value) -> _Attention:
        constant, op = self.matrices.constant, self.tape.op
        one = constant("one", np.array([1], np.int64))
        lengths = op("Sub", [op("ReduceSum", [mask, one], {"keepdims": 0}), one])
        total = op("Squeeze", [op("Shape", [mask], {"start": 1, "end": 2})])
        cosines, sines = rotary_tables(self.shape)
        return _Attention(
            lengths=op("Cast", [lengths], {"to": ir.DataType.INT32}),
            total=op("Cast", [total], {"to": ir.DataType.INT32}),
            cosines=self.matrices.numbers("cos_cache", cosines),
            sines=self.matrices.numbers("sin_cache", sines),
        )

    def _keep_last(self, *values: ir.Value) -> list[ir.Value]:
        """Cut (batch, sequence, …) to the positions whose logits are wanted; no later node mixes positions."""
        keep = self.matrices.constant("num_logits_to_keep", np.array([KEEP_ALL], np.int64))
        self.inputs.append(keep)  # both input and initializer: ONNX's way to say optional
        start = self.tape.op("Neg", [keep])
        end = self.matrices.constant("sequence_end", np.array([KEEP_ALL], np.int64))
        axis = self.matrices.constant("sequence_axis", np.array([1], np.int64))
        return [self.tape.op("Slice", [value, start, end, axis]) for value in values]

    def _add_and_norm(self, mixed: ir.Value, residual: ir.Value, gain: str) -> tuple[ir.Value, ir.Value]:
        normed, mean, deviation, total = self.tape.op_multi_out(
            "SkipSimplifiedLayerNormalization",
            [mixed, residual, self._gain(gain)],
            {"epsilon": self.shape.norm_epsilon},
            domain=MICROSOFT,
            num_outputs=4,
        )
        mean.name = deviation.name = ""  # optional outputs that nobody reads
        return normed, total

    def _prepare_normed(self, normed: ir.Value) -> Rows:
        return self.matrices.prepare_even(normed) if self.checkpoint.is_rotated else self.matrices.prepare(normed)

    def _project(self, x: ir.Value, name: str, inputs: int) -> ir.Value:
        """Emit a projection back to the residual stream, of an input that nothing else reads."""
        matrix = self._matrix(name, self.shape.hidden_size, inputs)
        return self.matrices.project(self.matrices.prepare(x), matrix)

    def _matrix(self, name: str, outputs: int, inputs: int | None = None) -> Matrix:
        return Matrix(
            name=name,
            outputs=outputs,
            inputs=inputs or self.shape.hidden_size,
            read=lambda: self.checkpoint.read(name),
        )

    def _packed_qkv(self, prefix: str) -> Matrix:
        names = [f"{prefix}.{part}_proj.weight" for part in "qkv"]
        return Matrix(
            name=f"{prefix}.qkv_proj.weight",
            outputs=self.shape.qkv_width,
            inputs=self.shape.hidden_size,
            read=lambda: self.checkpoint.read(*names),
        )

    def _gain(self, name: str) -> ir.Value:
        return self.matrices.numbers(name, self.checkpoint.read(name))

    def _input(self, name: str, dtype: ir.DataType, dims: list[int | str]) -> ir.Value:
        value = ir.val(name, dtype, dims)
        self.inputs.append(value)
        return value

    def _cache_input(self, layer: int, kind: str) -> ir.Value:
        # Concrete except batch and length: runtimes read the number of heads from here.
        dims: list[int | str] = ["batch_size", self.shape.kv_heads, "past_sequence_length", self.shape.head_dim]
        return self._input(f"past_key_values.{layer}.{kind}", self.matrices.number, dims)

    def _output(
        self, value: ir.Value, name: str, dims: list[int | str], dtype: ir.DataType = ir.DataType.FLOAT
    ) -> None:
        value.name = name
        value.dtype = dtype
        value.shape = ir.Shape(dims)
        self.outputs.append(value)

    def _model(self, outputs: list[ir.Value]) -> ir.Model:
        graph = ir.Graph(
            self.inputs,
            outputs,
            nodes=self.tape.nodes,
            initializers=self.tape.initializers,
            opset_imports={"": OPSET, MICROSOFT: MICROSOFT_OPSET},
            name="decoder",
        )
        return ir.Model(graph, ir_version=IR_VERSION, producer_name="submodel")
