"""`.gitignore` files, as git reads them: the deepest one that knows a path decides, by its last line that fits.

pathspec turns the globs into regular expressions. Git asks whether a line fits the path itself, folder by folder on the
way down, so that a later `!name` un-ignores what bears that name and not what lies below it; pathspec's own matching
lets a line fit through a parent as well, which differs from git. Hence the match here. Lines that would take pathspec's
regular expressions very long on a hostile name are passed over.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

MAX_BYTES = 128 << 10  # of a file
_MAX_LINES = 2000  # each is tried on each path below it
_MAX_RULES = 2000  # from the root down to one folder
_COST_OF_STARS = 20  # of a rule with several, among _MAX_RULES: it may take milliseconds on a path
# Matching backtracks: over a path of n characters in a time that grows with a power of n. So both are bounded.
_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")  # what UTF-16 leaves, and bytes that are no UTF-8
_NO_PATH: Final = re.compile(r"[\r\t]|\[:|(?:^|/)\.\.?(?:/|$)|//")  # matches nothing, or other names than git
_MAX_WILDCARDS = 4  # of a line: each star, and each "**" between slashes
_MAX_PATH_CHARS = 500  # a longer path counts as ignored, below any rule


@dataclass(frozen=True, kw_only=True)
class _Rule:
    pattern: GitIgnoreSpecPattern
    is_for_folders: bool  # "name/" leaves files of that name alone
    cost: int  # of _MAX_RULES

    def fits(self, path: str) -> bool:
        result = self.pattern.match_file(path)
        # The one group in pathspec's expressions is the slash after a parent that fitted.
        return result is not None and result.match.lastindex is None


class UnusableRuleError(Exception):
    """A line that git would pass over, or one rule too many; its message is a sentence."""


class IgnoreRules:
    """The `.gitignore` files from the root down to one folder; of their rules at most _MAX_RULES, the first ones."""

    def __init__(self) -> None:
        self._levels: tuple[
            tuple[str, tuple[_Rule, ...]], ...
        ] = ()  # (folder with a slash, its rules), outermost first

    def with_file(self, folder: str, content: str, *, is_strict: bool = False) -> IgnoreRules:
        """These rules and those of the `.gitignore` in `folder`, "" or a relative posix path that ends in a slash.

        What is unusable is passed over. is_strict: it raises UnusableRuleError.
        """
        extended = IgnoreRules()
        room = _MAX_RULES - sum(rule.cost for _, rules in self._levels for rule in rules)
        kept: list[_Rule] = []
        for rule in _parse_rules(content, is_strict=is_strict):
            room -= rule.cost
            if room < 0 and is_strict:
                raise UnusableRuleError(
                    f"This file and those above it have more than {_MAX_RULES:,} rules, where one of several stars "
                    f"counts as {_COST_OF_STARS}."
                )
            if room < 0:
                break
            kept.append(rule)
        extended._levels = (*self._levels, (folder, tuple(kept)))
        return extended

    def is_ignored(self, path: str, *, is_folder: bool) -> bool:
        """Whether git leaves this relative posix path out. That no parent is ignored is the caller's matter."""
        if self._levels and len(path) > _MAX_PATH_CHARS:
            return True
        for folder, rules in reversed(self._levels):
            inner = path.removeprefix(folder)
            for rule in reversed(rules):
                if (is_folder or not rule.is_for_folders) and rule.fits(inner):
                    return bool(rule.pattern.include)
        return False


def decode_rules(content: bytes, *, is_strict: bool = False) -> str:
    """Return the text of such a file; like git, pass over a byte order mark.

    is_strict: raise UnusableRuleError if it is not UTF-8, as PowerShell's `echo` writes it.
    """
    text = content.removeprefix(BOM_UTF8).decode("utf-8", errors="surrogateescape")
    if is_strict and _NO_TEXT.search(text):
        raise UnusableRuleError("It is no UTF-8 text; save it as UTF-8.")
    return text


def _parse_rules(content: str, *, is_strict: bool) -> Iterator[_Rule]:
    """The usable lines of a `.gitignore`; like git, pass over what is no pattern. is_strict: raise instead."""
    lines = content.split("\n")
    if is_strict and len(lines) > _MAX_LINES:
        raise UnusableRuleError(f"It has more than {_MAX_LINES:,} lines.")
    for number, line in enumerate(lines[:_MAX_LINES], 1):
        text = line.removesuffix("\r")
        if not text.endswith("\\ "):
            text = text.rstrip(" ")
        wildcards = sum(1 if segment == "**" else segment.count("*") for segment in text.split("/"))
        problem = f"has more than {_MAX_WILDCARDS} stars" if wildcards > _MAX_WILDCARDS else None
        if is_strict and problem is None and _NO_PATH.search(text):
            problem = "names no path below its folder"
        if problem is None:
            try:
                pattern = GitIgnoreSpecPattern(text.removesuffix("/"))
            except GitIgnorePatternError:
                problem = "is no pattern of git"
        if problem is None:
            if pattern.include is not None:  # not a comment, not blank
                cost = _COST_OF_STARS if wildcards > 1 else 1
                yield _Rule(pattern=pattern, is_for_folders=text.endswith("/"), cost=cost)
        elif is_strict and not text.startswith("#"):
            raise UnusableRuleError(f"Line {number} {problem}.")
