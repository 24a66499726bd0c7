"""An oracle user, key by key: accepts a suggestion exactly when it is what they are about to type.

Their editor indents a new line by itself and closes brackets, as most do. What a user does with half-right suggestions
(accept a word, accept and mend) is not covered, so that the keystrokes saved are a lower bound of what an attentive
user saves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from laboratory.replay.passages import Passage
from lsp_server.suggestion.brackets import OPENERS


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A suggestion as an editor gets it; `replaces` characters right of the cursor."""

    text: str
    replaces: int = 0
    id: int = 0  # the same for what is left of one that is typed along


@dataclass(frozen=True, kw_only=True)
class KeystrokeEdit:
    """What a key did to the document: `removed` characters at `start` gave way to `inserted`."""

    start: int
    removed: int
    inserted: str


@dataclass(kw_only=True)
class Typist:
    """Types the truth of a passage. `typed` characters of it stand there, the cursor behind them."""

    passage: Passage
    typed: int = 0
    keys: int = 0
    _closers: list[int] = field(default_factory=list)  # where in the truth, of closers that the editor has put in

    def __post_init__(self) -> None:
        first = self.passage.truth
        self.typed = len(first) - len(first.lstrip())  # the editor has indented the line

    @property
    def is_done(self) -> bool:
        """Whether all of it stands there."""
        return self.typed >= len(self.passage.truth)

    @property
    def offset(self) -> int:
        """Where the cursor is in `text`."""
        return len(self.passage.before) + self.typed

    @property
    def text(self) -> str:
        """The document as it is now."""
        passage = self.passage
        closers = "".join(passage.truth[position] for position in self._closers)
        return passage.before + passage.truth[: self.typed] + closers + passage.after

    def is_right(self, offer: Offer) -> bool:
        """Whether the document would be what is wanted once the offer is taken."""
        truth, end = self.passage.truth, self.typed + len(offer.text)
        if not offer.text or not truth.startswith(offer.text, self.typed):
            return False
        return offer.replaces == sum(position < end for position in self._closers)

    def accept(self, offer: Offer) -> KeystrokeEdit:
        """Take a right offer: one key."""
        change = KeystrokeEdit(start=self.offset, removed=offer.replaces, inserted=offer.text)
        self.keys += 1
        self.typed += len(offer.text)
        del self._closers[: offer.replaces]
        return change

    def press(self) -> KeystrokeEdit | None:
        """Type the next character, or line end with the indentation; None where only the cursor moves."""
        truth, start = self.passage.truth, self.offset
        self.keys += 1
        character = truth[self.typed]
        if self._closers and self._closers[0] == self.typed:
            del self._closers[0]
            self.typed += 1
            return None
        if character == "\n":
            line = truth[self.typed + 1 :]
            indent = line[: len(line) - len(line.lstrip(" \t"))]
            self.typed += 1 + len(indent)
            return KeystrokeEdit(start=start, removed=0, inserted="\n" + indent)
        partner = self._partner(self.typed) if character in OPENERS else None
        self.typed += 1
        if partner is None:
            return KeystrokeEdit(start=start, removed=0, inserted=character)
        self._closers.insert(0, partner)
        return KeystrokeEdit(start=start, removed=0, inserted=character + truth[partner])

    def _partner(self, position: int) -> int | None:
        """Where the bracket is closed on its line; None where it is not, or text stands right of the cursor."""
        truth = self.passage.truth
        depth = 0
        for index in range(position, len(truth)):
            character = truth[index]
            if character == "\n":
                return None
            if character in OPENERS:
                depth += 1
            elif character in OPENERS.values():
                depth -= 1
                if depth == 0:
                    is_own = character == OPENERS[truth[position]]
                    return index if is_own and (not self._closers or index < self._closers[0]) else None
        return None


def keys_alone(passage: Passage) -> int:
    """Keys that the passage takes without any suggestion."""
    typist = Typist(passage=passage)
    while not typist.is_done:
        typist.press()
    return typist.keys
