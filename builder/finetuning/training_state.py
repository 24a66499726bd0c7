"""The state of an unfinished fine-tuning on disk, so that a killed build resumes.

One safetensors file, replaced as a whole: weights, the optimizer's moments, the best weights once a validation has
chosen some, and in its metadata a JSON document. Nothing in it can run. A seal lies beside it
(`contract.files.seals`). A state without a valid seal is ignored: a repository may have brought it along.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from contract.documents import LossPoint
from contract.files.disk_errors import is_out_of_memory
from contract.files.seals import mac, seal_key
from contract.files.untrusted_json import read_bytes
from contract.files.whole_files import replace_file, write_text

Tensors = Mapping[str, torch.Tensor]
_MAX_SEALS_BYTES = 1 << 10
_OLDER_SEALS = 3


@dataclass
class TrainingProgress:
    """Where a fine-tuning stands."""

    step: int = 0
    total: int | None = None  # None until the rate is known
    seconds: float = 0.0
    tokens: int = 0
    best_loss: float | None = None
    best_step: int = 0
    # step, seconds, tokens, training loss since the last entry, validation loss; losses in nats a token
    curve: list[LossPoint] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # training losses since its last entry, one a step
    # The number of steps was planned by the time of a step, which depends on these.
    device: str = "cpu"  # the kind of device that it trains on
    dtype: str = ""  # of the weights that stay as they are
    is_int8: bool = False  # whether a CPU multiplies by them in 8 bits


@dataclass(frozen=True, kw_only=True)
class StateFile:
    """Where a fine-tuning keeps its state, and the stage hash that it belongs to; one of another hash is not used."""

    path: Path
    stage_hash: str

    def save(self, progress: TrainingProgress, weights: Tensors, moments: Tensors, best: Tensors) -> None:
        """Replace the file; a kill leaves the old one or the new one. Raises OSError if the disk is full.

        best: the weights that did best in validation; empty if those are the ones that training began with.
        """
        tensors = {
            **{f"weights/{name}": tensor for name, tensor in weights.items()},
            **{f"moments/{name}": tensor for name, tensor in moments.items()},
            **{f"best/{name}": tensor for name, tensor in best.items()},
        }
        with replace_file(self.path) as fresh:
            save_file(
                {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()},
                fresh,
                metadata={"stage_hash": self.stage_hash, "progress": json.dumps(asdict(progress))},
            )
            self.vouch_for(fresh)

    def vouch_for(self, file: Path) -> None:
        """Seal a file that is about to become the state."""
        # Older seals are kept: after a kill, the older state may still be the one on disk.
        seals = [self._seal_of(file), *self._read_seals()[:_OLDER_SEALS]]
        write_text(self._seals, "".join(f"{one}\n" for one in seals))

    def remove(self) -> None:
        """Remove the state, with its seal, if it is of this stage hash."""
        if self._has_this_stage_hash():
            self._seals.unlink(missing_ok=True)  # without which the state is ignored
            with suppress(PermissionError):  # Windows removes no file that a virus scanner has open
                self.path.unlink()

    def _has_this_stage_hash(self) -> bool:
        try:
            if not stat.S_ISREG(self.path.lstat().st_mode):
                return False
            with safe_open(self.path, framework="pt") as file:
                return (file.metadata() or {}).get("stage_hash") == self.stage_hash
        except (OSError, SafetensorError):  # never begun, or cut off
            return False

    @property
    def _seals(self) -> Path:
        return self.path.with_name(f"{self.path.name}.seals")

    def _seal_of(self, path: Path) -> str:
        with path.open("rb") as file:
            return mac(seal_key(), "fine-tuning state", self.stage_hash, hashlib.file_digest(file, "sha256").digest())

    def _read_seals(self) -> list[str]:
        try:
            return read_bytes(self._seals, _MAX_SEALS_BYTES).decode("ascii").splitlines()
        except (OSError, ValueError):
            return []

    def _is_own(self) -> bool:
        seals = self._read_seals()
        if not seals or not stat.S_ISREG(self.path.lstat().st_mode):  # a pipe that a stranger left would wait for ever
            return False
        seal = self._seal_of(self.path)
        return any(hmac.compare_digest(seal, one) for one in seals)

    def load(self) -> tuple[TrainingProgress, dict[str, dict[str, torch.Tensor]]] | None:
        """What `save` wrote for this stage hash: progress and {"weights" | "moments" | "best": tensors}; or None.

        The error of a lack of memory stays as it is: the state is whole, and the next run resumes with it.
        """
        try:
            if not self._is_own():
                return None
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("stage_hash") != self.stage_hash:
                    return None
                groups: dict[str, dict[str, torch.Tensor]] = {"weights": {}, "moments": {}, "best": {}}
                for name in file.keys():  # noqa: SIM118
                    group, _, rest = name.partition("/")
                    # A copy: a tensor of an open file keeps it mapped, and Windows replaces no file that is.
                    groups[group][rest] = file.get_tensor(name).clone()
                return TrainingProgress(**json.loads(metadata["progress"])), groups
        except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
            if is_out_of_memory(error):
                raise
            return None  # never begun, cut off, or of another version: begin anew
