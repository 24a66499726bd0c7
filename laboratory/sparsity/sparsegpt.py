"""SparseGPT: chooses zeros column by column, and updates the columns after each to make up for it.

Frantar and Alistarh, SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot, 2023, algorithm 1. With
H the Hessian of the layer's squared output error and F the columns from j on, zeroing w_j costs w_j² / [H_FF⁻¹]_jj and
is best made up for by w_F ← w_F − w_j / [H_FF⁻¹]_jj · [H_FF⁻¹]_j (equation 3). The rows of the upper Cholesky factor U
of H⁻¹ hold what is needed of every H_FF⁻¹: U_jj² = [H_FF⁻¹]_jj and U_j / U_jj = [H_FF⁻¹]_j / [H_FF⁻¹]_jj.

One thing differs from the authors' code: there the rows of a matrix compete for a block's zeros; here each row has its
own share of them, so that sparsity is exact in every row.
"""

from __future__ import annotations

import torch

from builder.pruning.channels import regularized
from contract.errors import BuildError
from laboratory.sparsity.masks import Target, keep_highest

Tensor = torch.Tensor

DAMPING = 0.01  # share of the mean diagonal that is added to H, as the paper has it (section 4)
BLOCK_COLUMNS = 128  # columns whose zeros are chosen at once (section 3.2)


def prune_sparsegpt(
    weight: Tensor, gram: Tensor, target: Target, *, block: int = BLOCK_COLUMNS
) -> tuple[Tensor, Tensor]:
    """Choose the zeros of `weight` and update the rest; return the mask and the new weight.

    weight: (outputs, inputs); gram: (inputs, inputs) float32, Σ_t x_t x_tᵀ. Returns bool and float32, both
    (outputs, inputs). Raises BuildError if the Gram matrix can't be inverted.
    """
    factor = _inverse_factor(regularized(gram.float(), DAMPING))
    weight = weight.float().clone()
    kept = torch.ones_like(weight, dtype=torch.bool)
    inputs = weight.shape[1]
    for start in range(0, inputs, block):
        end = min(start + block, inputs)
        errors = _prune_block(weight[:, start:end], kept[:, start:end], factor[start:end, start:end], start, target)
        weight[:, end:] -= errors @ factor[start:end, end:]  # what the block's columns leave to those after it
    return kept, weight


def _inverse_factor(hessian: Tensor) -> Tensor:
    """Return the upper triangular U with UᵀU = H⁻¹.

    H = R Rᵀ with R upper triangular gives U = R⁻¹. R comes from the Cholesky factor of H with rows and columns in
    reverse order. Inverting H first and factoring that, as the authors' code does, loses twice the digits.
    """
    try:
        lower = torch.linalg.cholesky(hessian.flip(0, 1))
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise BuildError(
            "A layer's statistics can't be inverted; calibrate on more tokens, or choose another method."
        ) from error
    identity = torch.eye(len(lower), dtype=lower.dtype)
    factor: Tensor = torch.linalg.solve_triangular(lower, identity, upper=False).flip(0, 1)
    return factor


def _prune_block(weight: Tensor, kept: Tensor, factor: Tensor, start: int, target: Target) -> Tensor:
    """Prune one block's columns in place (views of the whole); return their errors over U_jj, (outputs, columns)."""
    columns = weight.shape[1]
    diagonal = factor.diagonal()
    errors = torch.zeros_like(weight)
    zeros = target.zeros_before(start + columns) - target.zeros_before(start)
    kept[:] = keep_highest(weight.square() / diagonal.square(), zeros)
    for column in range(columns):
        lost = torch.where(kept[:, column], 0.0, weight[:, column]) / diagonal[column]
        weight[:, column:] -= lost[:, None] * factor[column, column:]
        weight[:, column] *= kept[:, column]  # exactly zero, whatever was rounded
        errors[:, column] = lost
    return errors
