"""The order of an update's examples: those come first whose windows show the most new lines.

Two minutes read thirty to sixty windows. A greedy cover (Nemhauser, Wolsey and Fisher, An analysis of approximations
for maximizing submodular set functions, 1978) shows more of what is new in them than windows at random new lines do.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence

from builder.fim_examples import FimExample
from contract.prompt import PromptFormat

CHARS_A_TOKEN = 3.0  # code has some four, and a window has most of its tokens: it mostly holds what is counted

Drawn = tuple[FimExample, PromptFormat]


def by_coverage(drawn: Sequence[Drawn], seed: int) -> Iterator[Drawn]:
    """Yield examples, each with the format of its window, until their windows have shown the lines of all of them.

    Next is always one whose window shows the most lines of these examples that no window before it has shown, divided
    by one more than its file had windows: else a large new file would be all that an update sees. Equal ones come in
    random order.
    """
    starts: dict[str, set[int]] = {}
    for example, _ in drawn:
        starts.setdefault(example.file.path, set()).add(example.line_start)
    hidden = {path: sorted(some) for path, some in starts.items()}  # of lines that no window has shown
    windows: Counter[str] = Counter()  # that were taken, by file
    rng = random.Random(f"ties {seed}")  # the seed alone has drawn the lengths of the windows

    def shown(index: int) -> tuple[int, int]:
        example, prompt_format = drawn[index]
        lines = hidden[example.file.path]
        first = min(example.line_start, example.offset - CHARS_A_TOKEN * prompt_format.max_prefix_tokens)
        behind = prompt_format.max_suffix_tokens if prompt_format.is_fim else 0
        last = example.offset + CHARS_A_TOKEN * behind
        return bisect_left(lines, first), bisect_right(lines, last)

    def cost(index: int) -> float:
        begin, end = shown(index)
        return (begin - end) / (1 + windows[drawn[index][0].file.path])

    # A window gains less as others are taken, never more: who is best when looked at again is the best.
    heap = [(cost(index), rng.random(), index) for index in range(len(drawn))]
    heapq.heapify(heap)
    while heap:
        promised, tie, index = heapq.heappop(heap)
        if (now := cost(index)) == 0:
            continue
        if now > promised:
            heapq.heappush(heap, (now, tie, index))
            continue
        path, (begin, end) = drawn[index][0].file.path, shown(index)
        del hidden[path][begin:end]
        windows[path] += 1
        yield drawn[index]
