"""Several prompts in one forward pass, what they begin with in common read once.

Held-out lines of one file stand close together, so that their windows start at the same place: a fifth to two fifths of
all prompt tokens are such repetitions. A pack is a tree of tokens written as a sequence; its mask keeps the branches
apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from contract.prompt import shared_prefix


@dataclass
class Pack:
    """Prompts in one sequence, a common beginning once. `places`: where in it each prompt's tokens stand."""

    ids: list[int]
    positions: list[int]
    places: list[list[int]]

    def mask(self) -> torch.Tensor:
        """(tokens, tokens) bool: a token sees those of its own prompt up to itself."""
        mask = torch.zeros(len(self.ids), len(self.ids), dtype=torch.bool)
        for places in self.places:
            index = torch.tensor(places)
            mask[index[:, None], index] = torch.ones(len(places), len(places), dtype=torch.bool).tril()
        return mask


def pack_prompts(prompts: Sequence[Sequence[int]], tokens: int) -> Iterator[Pack]:
    """Sorted prompts in packs; the last prompt of a pack is the one that reaches `tokens`."""
    pack = Pack([], [], [])
    last: Sequence[int] = ()
    for prompt in prompts:
        if len(pack.ids) >= tokens:
            yield pack
            pack, last = Pack([], [], []), ()
        shared = shared_prefix(last, prompt)
        start = len(pack.ids)
        places = pack.places[-1][:shared] if shared else []
        pack.ids += prompt[shared:]
        pack.positions += range(shared, len(prompt))
        pack.places.append([*places, *range(start, len(pack.ids))])
        last = prompt
    if pack.ids:
        yield pack
