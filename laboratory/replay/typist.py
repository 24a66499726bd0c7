"""An oracle user who types keystroke by keystroke, and accepts a suggestion only if it is what they are about to type.

Their editor indents a new line by itself and closes brackets, as most do. The use of half-right suggestions (accepting
a word, accepting and correcting) is not covered. No real user knows at once whether a suggestion is right. So the
keystrokes saved are neither a lower nor an upper bound of what a real user saves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from laboratory.replay.passages import Passage
from lsp_server.suggestion.brackets import OPENERS


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A suggestion as an editor gets it. It replaces `replaces` characters right of the cursor."""

    text: str
    replaces: int = 0
    id: int = 0  # the rest of a suggestion that is being typed keeps its id


@dataclass(frozen=True, kw_only=True)
class KeystrokeEdit:
    """What a keystroke did to the document: `inserted` replaces `removed` characters at `start`."""

    start: int
    removed: int
    inserted: str


@dataclass(kw_only=True)
class Typist:
    """Types the truth of a passage. `typed` characters of it stand there, with the cursor behind them."""

    passage: Passage
    typed: int = 0
    keys: int = 0
    _closers: list[int] = field(default_factory=list)  # places in the truth of closers that the editor has inserted

    def __post_init__(self) -> None:
        first = self.passage.truth
        self.typed = len(first) - len(first.lstrip())  # the editor has indented the line

    @property
    def is_done(self) -> bool:
        """Whether the whole truth stands there."""
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
        return passage.before + self._wanted[: self.typed] + closers + passage.after

    @property
    def _wanted(self) -> str:
        """What is typed, and what the commit has behind it."""
        return self.passage.truth + self.passage.later

    def is_right(self, offer: Offer) -> bool:
        """Return whether the document would be as wanted if the offer was accepted.

        A right offer may go on behind the passage, into lines that the commit has there.
        """
        end = self.typed + len(offer.text)
        if not offer.text or not self._wanted.startswith(offer.text, self.typed):
            return False
        return offer.replaces == sum(position < end for position in self._closers)

    def accept(self, offer: Offer) -> KeystrokeEdit:
        """Accept a right offer, with one keystroke."""
        change = KeystrokeEdit(start=self.offset, removed=offer.replaces, inserted=offer.text)
        self.keys += 1
        self.typed += len(offer.text)
        del self._closers[: offer.replaces]
        return change

    def press(self) -> KeystrokeEdit | None:
        """Type the next character, or line end with the indentation; return None if only the cursor moves."""
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
        """Return where the bracket is closed on its line, or None.

        None if it is not closed on its line, or behind the next closer that the editor has inserted.
        """
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
    """Return the keystrokes that the passage takes without any suggestion."""
    typist = Typist(passage=passage)
    while not typist.is_done:
        typist.press()
    return typist.keys
