"""A repository with secrets planted into it, and every reading of a file in which one might be seen."""

from __future__ import annotations

import html
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from contract.bundle.drafts import SEPARATOR
from testbed.secret_kinds import KINDS, plant

_MOST_TEXT = 20_000_000  # bytes; larger files are weights: their printable runs are searched


def plant_repository(root: Path, count: int, seed: int = 0) -> dict[str, tuple[str, ...]]:
    """Write code with one value each of `count` kinds, and two files named by one; the parts of each, by its name.

    All forms of names come first, then others at random.
    """
    rng = random.Random(seed)
    forms = [kind for kind in KINDS if kind.group in ("named", "rest")]
    others = rng.sample([kind for kind in KINDS if kind not in forms], max(0, count - len(forms)))
    planted = {}
    for number, kind in enumerate((forms + others)[:count]):
        secret = list(plant(kind, 1 + number % len(kind.places), seed))[-1]
        planted[f"{number}: {kind.name}"] = secret.parts
        code = [f"def f{number}_{i}(x):\n    return {rng.randrange(9999)} * x + {i}\n\n\n" for i in range(40)]
        for path, lines in (
            (f"src/m{number}.py", [*code[:20], secret.text, *code[20:]]),
            (f"c/d{number}.yml", [secret.text]),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text("".join(lines))
    for name in ("GitHub classic", "Flask, token_hex"):
        value = next(kind for kind in KINDS if kind.name == name).draw(rng)
        planted[f"file name: {name}"] = (value,)
        (root / f"src/api_key-{value}.py").write_text("".join(f"def g{i}():\n    return {i}\n" for i in range(40)))
    return planted


def find_planted(folder: Path, planted: dict[str, tuple[str, ...]], tokenizer: Path) -> list[str]:
    """The file and the kind of every planted value that is left in a file or in a file's name."""
    read = Tokenizer.from_file(str(tokenizer))
    found = []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        texts = [*texts_of(path, read), str(path)]
        found += [f"{path}: {kind}" for kind, parts in planted.items() if any(p in t for p in parts for t in texts)]
    return found


def texts_of(path: Path, tokenizer: Tokenizer) -> list[str]:
    """Every reading of a file in which a secret might be seen."""
    content = path.read_bytes()
    if len(content) > _MOST_TEXT:
        return ["\n".join(run.decode() for run in re.findall(rb"[ -~]{8,}", content))]
    texts = [content.decode("latin-1"), content.decode("utf-16-le", "replace"), content.decode("utf-8", "replace")]
    texts.append(html.unescape(texts[0]))
    if path.name == "tokens.npy":
        ids = np.load(path)
        texts.append(tokenizer.decode([int(one) for one in ids if one != SEPARATOR], skip_special_tokens=False))
    if path.suffix == ".json":
        texts += _decoded(json.loads(content), tokenizer)
    return texts


def _decoded(value: object, tokenizer: Tokenizer) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in (*value, *value.values()):
            yield from _decoded(one, tokenizer)
    elif isinstance(value, list):
        size = tokenizer.get_vocab_size()
        if value and all(type(one) is int and 0 <= one < size for one in value):
            yield tokenizer.decode(value, skip_special_tokens=False)
        else:
            for one in value:
                yield from _decoded(one, tokenizer)
