"""A model's answers, kept by what it was asked: the next build asks its base only what is new.

One sealed file (`contract.files.seals`) beside the stages' records. It holds answers of the model and hashes of what it
was asked, no text of the repository.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from builder.evaluation.scoring import Scorable
from contract.files.seals import open_sealed, seal_key, sealed_json
from contract.files.untrusted_json import read_bytes
from contract.files.whole_files import PRIVATE, write_text

PURPOSE: Final = "kept answers"
MOST_KEPT: Final = 2_000  # answers, and as many likelihoods; the oldest go first


class KeptAnswers:
    """Implements `builder.evaluation.scoring.Scorable`: asks another one, but not what the file at `path` knows of it.

    model_hash: of the model and of how it is asked. Answers of another one are forgotten by `save`, and all that were
    kept if `is_fresh`.
    """

    def __init__(self, predictor: Scorable, path: Path, model_hash: str, *, is_fresh: bool = False) -> None:
        self.name, self.parameters, self.bytes = predictor.name, predictor.parameters, predictor.bytes
        self.encoder = predictor.encoder
        self._predictor, self._path, self._model_hash = predictor, path, model_hash
        known = {} if is_fresh else self._read()
        self._answers: dict[str, str] = dict(known.get("answers", {}))
        self._nats: dict[str, float] = dict(known.get("nats", {}))

    def nats(self, ids: Sequence[int]) -> float:
        """Negative log-likelihood of ids[1:] given what precedes each, summed, in nats."""
        key = _key(ids)
        self._nats[key] = self._nats.pop(key) if key in self._nats else self._predictor.nats(ids)
        return self._nats[key]

    def complete(
        self, prompts: Sequence[Sequence[int]], on_done: Callable[[int], None], *, lines: int, starts: Sequence[str]
    ) -> list[str]:
        """Greedy continuation of each prompt, at most `lines` lines; those that are known are done last."""
        keys = [_key(prompt, lines, start) for prompt, start in zip(prompts, starts, strict=True)]
        known = {key: self._answers.pop(key) for key in keys if key in self._answers}
        asked = [index for index, key in enumerate(keys) if key not in known]
        fresh = self._predictor.complete(
            [prompts[index] for index in asked], on_done, lines=lines, starts=[starts[index] for index in asked]
        )
        on_done(len(prompts) - len(asked))
        found = known | dict(zip((keys[index] for index in asked), fresh, strict=True))
        self._answers |= found
        return [found[key] for key in keys]

    def save(self) -> None:
        """Replace the file by what is known now. Raises OSError, and StateFolderError if the key can't be read."""
        document = {
            "model_hash": self._model_hash,
            "answers": dict(list(self._answers.items())[-MOST_KEPT:]),
            "nats": dict(list(self._nats.items())[-MOST_KEPT:]),
        }
        write_text(self._path, sealed_json(seal_key(), PURPOSE, self._path.name, document), mode=PRIVATE)

    def _read(self) -> Mapping[str, Any]:
        try:
            content = read_bytes(self._path)
        except (OSError, ValueError):
            return {}
        document = open_sealed(seal_key(), PURPOSE, self._path.name, content)
        return document if document is not None and document.get("model_hash") == self._model_hash else {}


def _key(ids: Sequence[int], *rest: int | str) -> str:
    return hashlib.sha256(json.dumps([list(ids), *rest]).encode()).hexdigest()
