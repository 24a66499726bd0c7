"""Changes to a valid input: of bytes anywhere, of numbers in it, of JSON values, of parts that come twice or not."""

from __future__ import annotations

import copy
import json
import random
from typing import Any, Literal

Shape = Literal["binary", "json", "messages"]

_NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    255,
    256,
    65_535,
    65_536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**53,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 10**30, 1.5, -0.0, 1e308, float("inf"), float("nan")),
    *(
        "",
        "x",
        "x" * 5000,
        "\0",
        "\ud83d",
        "😋",
        "../..",
        "/etc/passwd",
        "file:///a.py",
        "[",
        "(?",
        "{{7*7}}",
        "<|end|>",
    ),
    *([], {}, [[]], [None], {"": {}}, {"a": 1}),
)


def mutate(seed: bytes, rng: random.Random, shape: Shape) -> bytes:
    """One to a few changes; the structure mostly stays, so that what lies behind the first checks is reached."""
    if shape != "binary" and rng.random() < 0.8:
        try:
            document = json.loads(seed)
        except ValueError:
            document = None
        if document is not None:
            for _ in range(rng.choice((1, 1, 1, 2, 4))):
                document = _change_value(document, rng)
            return json.dumps(document).encode("utf-8", "replace")
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        _change_bytes(data, rng)
    return bytes(data)


def _change_bytes(data: bytearray, rng: random.Random) -> None:
    if not data:
        data += rng.randbytes(rng.randrange(1, 20))
        return
    # Headers are where readers believe things: half of all changes hit the first kilobyte.
    at = rng.randrange(min(len(data), 1024) if rng.random() < 0.5 else len(data))
    match rng.randrange(9):
        case 0:
            data[at] ^= 1 << rng.randrange(8)
        case 1:
            data[at] = rng.randrange(256)
        case 2:
            width = rng.choice((1, 2, 4, 8))
            number = rng.choice(_NUMBERS) % (1 << 8 * width)
            data[at : at + width] = number.to_bytes(width, rng.choice(("little", "little", "big")))
        case 3:
            width = rng.choice((1, 2, 4, 8))
            there = int.from_bytes(data[at : at + width], "little") + rng.choice((-8, -1, 1, 8))
            data[at : at + width] = (there % (1 << 8 * width)).to_bytes(width, "little")
        case 4:
            del data[at:]
        case 5:
            del data[at : at + rng.randrange(1, 64)]
        case 6:
            data[at:at] = data[at : at + rng.randrange(1, 64)]
        case 7:
            data[at:at] = rng.randbytes(rng.randrange(1, 16))
        case _:
            other = rng.randrange(len(data))
            length = rng.randrange(1, 32)
            data[at : at + length] = data[other : other + length]


def _change_value(document: Any, rng: random.Random) -> Any:
    """One value, somewhere in it, becomes another, comes twice, changes its key, or goes."""
    places: list[tuple[Any, Any]] = []
    pending = [document]
    while pending:
        one = pending.pop()
        keys = list(one) if isinstance(one, dict) else list(range(min(len(one), 40))) if isinstance(one, list) else []
        places += [(one, key) for key in keys]
        pending += [one[key] for key in keys if isinstance(one[key], (dict, list))]
    if not places or rng.random() < 0.01:
        return copy.deepcopy(rng.choice(_VALUES))
    holder, key = rng.choice(places)
    choice = rng.randrange(6)
    if choice == 0:
        del holder[key]
    elif choice == 1 and isinstance(holder, dict):
        holder[rng.choice(("", "x", "id", "method", "params", "version", f"{key}s"))] = holder.pop(key)
    elif choice == 2 and isinstance(holder, list):
        holder[key:key] = [copy.deepcopy(holder[key]) for _ in range(rng.choice((1, 3, 50)))]
    elif choice == 3 and isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
        holder[key] = rng.choice(
            (-holder[key], holder[key] + 1, holder[key] - 1, rng.choice(_NUMBERS), str(holder[key]))
        )
    elif choice == 4:
        other, place = rng.choice(places)
        is_there = place in other if isinstance(other, dict) else place < len(other)
        value = other[place] if is_there else None
        holder[key] = copy.deepcopy(value)
    else:
        holder[key] = copy.deepcopy(rng.choice(_VALUES))
    return document
