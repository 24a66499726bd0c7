"""The model-free baseline with the same user: it suggests the end of the most similar earlier line.

As in the server, a suggestion takes the place of the closing brackets right of the cursor that it writes again.
"""

from __future__ import annotations

from collections.abc import Sequence

from builder.evaluation.baselines import complete_by_similar_line
from builder.fim_examples import FimExample
from laboratory.replay.figures import Replayed
from laboratory.replay.passages import Passage
from laboratory.replay.typist import Offer, Typist, keys_alone
from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion.right_side import doubled_closers
from lsp_server.suggestion.steps import Rejection


def replay_baseline(passages: Sequence[Passage]) -> list[Replayed]:
    """Type each passage with the similar line as the only suggestion."""
    return [_type(passage) for passage in passages]


def _type(passage: Passage) -> Replayed:
    typist = Typist(passage=passage)
    asked = accepted = 0
    shown: list[tuple[int, str, bool]] = []  # of each suggestion: where it would end, its text, if it was ever right
    while not typist.is_done:
        before, behind = typist.text[: typist.offset], typist.text[typist.offset :]
        example = FimExample.of_parts(before, "", behind, path=passage.path, language=passage.language)
        offer = _offer(complete_by_similar_line(example), typist, passage.path)
        text = offer.text
        asked += 1
        if text:
            end, is_right = typist.typed + len(text), typist.is_right(offer)
            if shown and shown[-1][0] == end and shown[-1][1].endswith(text):  # the last one, while it is typed
                _, text, was_right = shown.pop()
                is_right = is_right or was_right
            shown.append((end, text, is_right))
        if len(offer.text) > 1 and typist.is_right(offer):
            typist.accept(offer)
            accepted += 1
        else:
            typist.press()
    return Replayed(
        keys_alone=keys_alone(passage),
        keys=typist.keys,
        asked=asked,
        shown=len(shown),
        accepted=accepted,
        wrong=sum(not is_right for _, _, is_right in shown),
    )


def _offer(text: str, typist: Typist, path: str) -> Offer:
    request = CompletionRequest(text=typist.text, offset=typist.offset, path=path)
    change = doubled_closers(Completion(text=text), request) if text else None
    if isinstance(change, Rejection):
        return Offer(text="")
    return Offer(text=text) if change is None else Offer(text=change.text, replaces=change.replaces)
