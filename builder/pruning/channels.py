"""Which channels of a feed-forward layer stay, and how the rest is made up for: pure functions on matrices.

A gated feed-forward layer computes `W a`, `a` being the inputs of `down_proj` (n channels), `W` its weight (h × n).
Dropping channels asks for the set P and the new weight W' (h × |P|) that keep `W' a_P` near `W a` over calibration
tokens. With the Gram matrix G = Σ_t a_t a_tᵀ and H = G + λ·mean(diag G)·I that is least squares:

    W' = argmin tr((W' S_P − W) H (W' S_P − W)ᵀ) = W H[:,P] H_PP⁻¹

A larger λ keeps W' closer to the old weight W[:,P] (not to zero). Without it the refit overfits the calibration text.
Nothing here knows of models, files or devices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from builder.int8 import scales_along
from contract.errors import BuildError

Tensor = torch.Tensor
ROUNDED_TOKENS = 2048  # at once: rounding copies them
MOST_SUMMED = 1 << 16  # tokens whose products of 8 bits fit into a sum of 32
BLOCKS = 8  # of a Gram matrix's channels


def gram_matrix(activations: Tensor, *, chunk_tokens: int = 4096, blocks: int = BLOCKS) -> Tensor:
    """Sum of a aᵀ over tokens, (channels, channels) in float32; activations: (tokens, channels).

    Only the upper blocks are multiplied, then mirrored: little more than half the work of a full product. Each chunk is
    multiplied in the activations' own type. Where that is bfloat16, rounding leaves the matrix positive definite with
    a ridge only if no few tokens dominate it: weigh them first (`builder.pruning.layers`, dev/LOG.md).
    """
    channels = activations.shape[1]
    gram = torch.zeros(channels, channels, dtype=torch.float32)
    edges = [channels * i // blocks for i in range(blocks + 1)]
    for start in range(0, len(activations), chunk_tokens):
        rows = activations[start : start + chunk_tokens]
        for left, right in itertools.pairwise(edges):
            gram[left:right, left:] += rows[:, left:right].T @ rows[:, left:]
    _mirror(gram, edges)
    return gram


def gram_matrix_in_8_bits(activations: Tensor) -> Tensor:
    """Return the Gram matrix of activations that are rounded to 8 bits, with a scale for each channel.

    It stays positive semidefinite, being a product of a matrix with itself. What rounding changes is small beside a
    ridge of a tenth of its diagonal (dev/LOG.md).
    """
    tokens, channels = activations.shape
    scales = scales_along(activations, 0)
    factors = scales.reciprocal()
    rounded = torch.empty(channels, tokens, dtype=torch.int8)
    for start in range(0, tokens, ROUNDED_TOKENS):
        rows = activations[start : start + ROUNDED_TOKENS]
        rounded[:, start : start + ROUNDED_TOKENS] = torch.mul(rows, factors).round_().to(torch.int8).t()
    gram = torch.zeros(channels, channels, dtype=torch.float32)
    edges = [channels * i // BLOCKS for i in range(BLOCKS + 1)]
    for start in range(0, tokens, MOST_SUMMED):
        part = rounded[:, start : start + MOST_SUMMED]
        for left, right in itertools.pairwise(edges):
            gram[left:right, left:] += torch._int_mm(part[left:right], part[left:].t())
    gram.mul_(scales.t()).mul_(scales)
    _mirror(gram, edges)
    return gram


def _mirror(gram: Tensor, edges: Sequence[int]) -> None:
    """Copy the upper blocks of a symmetric matrix to the lower ones, in place: of 4,864 channels it has 95 MB."""
    for left, right in itertools.pairwise(edges):
        block = gram[left:right, left:right]
        block.copy_(torch.triu(block) + torch.triu(block, 1).T)
        gram[right:, left:right] = gram[left:right, right:].T


def regularized(gram: Tensor, ridge: float) -> Tensor:
    """H = G + ridge·mean(diag G)·I; a layer that never fired gets the identity, so that H can always be inverted."""
    level = float(gram.diagonal().mean())
    if level <= 0.0:
        return torch.eye(gram.shape[0], dtype=gram.dtype)
    hessian = gram.clone()
    hessian.diagonal().add_(ridge * level)
    return hessian


def eliminate(weight: Tensor, hessian: Tensor, keep: int, *, block: int = 1536) -> tuple[Tensor, Tensor]:
    """Drop the cheapest channels block by block, each time refitting the rest; the kept channels and their weight.

    The cost of dropping channel j, the others being refitted, is ‖W[:,j]‖² / [H⁻¹]_jj (optimal brain surgeon on whole
    columns: Kurtić et al., ZipLM, 2023, section 3). After each block W and H⁻¹ are updated, so that a later block keeps
    a channel whose twin has gone; two of one block may both go. weight: (outputs, channels); hessian: (channels,
    channels), positive definite. Returns (keep,) int64, ascending, and (outputs, keep) float32, which is the refit of
    them. Smaller blocks cost time and gain nothing (dev/LOG.md).
    """
    _check_keep(weight, keep)
    weight = weight.float()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    alive = torch.arange(weight.shape[1])
    while len(alive) > keep:
        cost = weight.square().sum(dim=0) / inverse.diagonal()
        drop = cost.topk(min(block, len(alive) - keep), largest=False).indices
        stays = torch.ones(len(alive), dtype=torch.bool)
        stays[drop] = False
        # Eliminating a set B from H⁻¹: X ← X − X[:,B] X_BB⁻¹ X[B,:], for the weight and for the inverse alike.
        rows = inverse[drop]
        factor = torch.linalg.solve(rows[:, drop], rows[:, stays])  # (|B|, rest)
        weight = weight[:, stays] - weight[:, drop] @ factor
        alive = alive[stays]
        if len(alive) > keep:
            inverse = inverse[stays][:, stays] - rows[:, stays].T @ factor
    return alive, weight


def output_error(weight: Tensor, channels: Tensor, new_weight: Tensor, activations: Tensor) -> float:
    """‖W a − W' a_P‖² / ‖W a‖², summed over tokens: the share of the layer's output energy that is lost.

    activations: (tokens, channels), of text that neither the Gram matrix nor the refit has seen. What is lost is a
    product with the difference of the weights, so that both products may be in the activations' own type.
    """
    difference = weight.to(torch.float32, copy=True)
    difference[:, channels] -= new_weight
    lost, energy = (
        float((activations @ one.to(activations.dtype).T).float().square().sum()) for one in (difference, weight)
    )
    return lost / energy if energy > 0.0 else 0.0


@dataclass(frozen=True, kw_only=True)
class ChannelChoice:
    """What one layer keeps. `channels`: (kept,) int64 ascending; `weight`: (outputs, kept) float32."""

    channels: Tensor
    weight: Tensor
    ridge: float
    output_error: float  # on validation activations


def choose_channels(
    weight: Tensor,
    activations: Tensor,
    validation: Tensor,
    keep: int,
    *,
    ridges: tuple[float, ...],
    larger: tuple[float, ...] = (),
    is_int8: bool = False,
) -> ChannelChoice:
    """Keep the `keep` best channels of one layer and refit its weight, with the ridge that loses least on validation.

    weight: (outputs, channels); activations, validation: (tokens, channels) of different files. larger: ridges that are
    tried in their order until H can be inverted with one, if it can't be with any of `ridges`. is_int8: the Gram matrix
    is of activations in 8 bits.
    Channels leave by elimination, which loses a third less of the layer's output than ranking by energy (dev/LOG.md).
    """
    gram = gram_matrix_in_8_bits(activations) if is_int8 else gram_matrix(activations)
    if not (torch.isfinite(gram.diagonal()).all() and torch.isfinite(validation).all()):
        raise BuildError("A layer of the base computes numbers that are not finite; take another base.")
    best: ChannelChoice | None = None
    for number, ridge in enumerate((*ridges, *larger)):
        if best is not None and number >= len(ridges):
            break
        hessian = regularized(gram, ridge)
        try:
            channels, new_weight = eliminate(weight, hessian, keep)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            continue  # too small a ridge to invert H in float32, so no candidate
        error = output_error(weight, channels, new_weight, validation)
        if not math.isfinite(error):
            continue  # its refit overflows
        if best is None or error < best.output_error:
            best = ChannelChoice(channels=channels, weight=new_weight, ridge=ridge, output_error=error)
    if best is None:
        tried = ", ".join(f"{ridge:g}" for ridge in (*ridges, *larger))
        raise BuildError(
            f"A layer's statistics can't be inverted with a ridge of {tried}; give the repository more code."
        )
    return best


def _check_keep(weight: Tensor, keep: int) -> None:
    if not 0 < keep <= weight.shape[1]:
        raise BuildError(f"Can't keep {keep} of {weight.shape[1]} channels; choose a width between 1 and the base's.")
