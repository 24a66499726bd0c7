"""What was done to an answer on its way to the screen, kept so that a user can ask why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["trigger", "stop", "filter", "threshold"]
Action = Literal["cut", "changed", "rejected"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One rule that did something, with a sentence about it."""

    name: str
    kind: Kind
    action: Action
    detail: str
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Why nothing is to be shown."""

    detail: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """A changed text, how many characters right of the cursor it replaces, and the reason for the change.

    `added`: so many characters at its end close what the model's text opens.
    """

    text: str
    replaces: int = 0
    added: int = 0
    detail: str
