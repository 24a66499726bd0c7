"""The sub-model folder, seen from its readers: a plain transformers folder with a manifest beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from contract.bundle.bundle import CHECKPOINT_MANIFEST
from contract.bundle.manifest import are_hashes
from contract.errors import BuildError
from contract.files.untrusted_json import read_json
from contract.prompt import PromptFormat
from contract.tokenizer_file import TokenizerError, read_tokenizer_file

SCHEMA_VERSION = 1
MANIFEST = CHECKPOINT_MANIFEST
PARITY_PROMPTS = "parity_prompts.json"


@dataclass(frozen=True, kw_only=True)
class SubModel:
    """A checkpoint folder. `manifest` is None for one that we did not make."""

    folder: Path
    manifest: Mapping[str, Any] | None

    @property
    def prompt(self) -> PromptFormat:
        """How the model wants to be asked; raises BuildError for a checkpoint that does not say."""
        if self.manifest is None:
            raise BuildError(f"{self.folder} has no {MANIFEST} that says how it is asked; run `submodel build` on it.")
        return PromptFormat.from_json(self.manifest["prompt"])

    def tokenizer(self) -> Tokenizer:
        """Read the folder's tokenizer as it is. Raises BuildError if it can't be read."""
        path = self.folder / "tokenizer.json"
        try:
            return read_tokenizer_file(path)
        except TokenizerError as error:
            raise BuildError(f"The tokenizer {path} can't be read: {error}; run `submodel build` again.") from error

    def token_ids(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """The token ids of each text; what looks like a special token is text there.

        Raises BuildError if the tokenizer can't be read.
        """
        tokenizer = self.tokenizer()
        tokenizer.encode_special_tokens = True
        for text in texts:
            yield tokenizer.encode(text, add_special_tokens=False).ids

    def parity_prompts(self) -> list[dict[str, list[int]]]:
        """Prompts with their true middles, as token ids, of validation files; empty if there are none."""
        path = self.folder / PARITY_PROMPTS
        try:
            prompts = read_json(path) if path.exists() else []
        except (OSError, ValueError) as error:
            raise BuildError(f"{path} can't be read ({error}); run `submodel build` again.") from error
        if not isinstance(prompts, list) or not all(map(_is_prompt, prompts)):
            raise BuildError(f"{path} holds no prompts; run `submodel build` again.")
        return prompts


def read_artifact(folder: Path) -> SubModel:
    """Read a checkpoint folder; raises BuildError if it is none."""
    if not folder.is_dir():
        raise BuildError(f"{folder} is no folder; give the folder of a model, such as .submodel/model.")
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
    if not list(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise BuildError(f"{folder} is no model: {', '.join(missing)} missing; run `submodel build` to make one.")
    path = folder / MANIFEST
    if not path.exists():
        return SubModel(folder=folder, manifest=None)
    try:
        manifest = read_json(path)
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} can't be read ({error}); run `submodel build` again.") from error
    if not isinstance(manifest, dict) or "prompt" not in manifest:
        return SubModel(folder=folder, manifest=None)  # another program's manifest
    if manifest.get("schema") != SCHEMA_VERSION:
        raise BuildError(f"{path} is of another version of submodel; run `submodel build` again.")
    parameters = manifest.get("parameters", 0)
    lists = (manifest.get(key, []) for key in ("learned_sha256", "held_out_sha256"))
    if type(parameters) is not int or parameters < 0 or not all(map(are_hashes, lists)):  # readers rely on these
        raise BuildError(f"{path} has bad values; run `submodel build` again.")
    return SubModel(folder=folder, manifest=manifest)


def _is_prompt(value: Any) -> bool:
    """Whether it is {"prompt_ids": [int], "truth_ids": [int]}."""
    if not isinstance(value, dict):
        return False
    lists = [value.get("prompt_ids"), value.get("truth_ids")]
    return all(isinstance(ids, list) and all(type(one) is int and one >= 0 for one in ids) for ids in lists)
