"""Where a word ends, in any script: a suggestion that breaks off shows no half of one."""

from __future__ import annotations

import re
import unicodedata

# Thai, Lao, Myanmar, Khmer, kanji and hiragana: no space stands between two words, so each character ends one. Katakana
# writes one loan word between others, and is cut as letters are.
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


def without_begun_word(text: str, rest: str = "") -> str:
    """Return a text without the word at its end that `rest` continues. An unknown rest, "", counts as a letter."""
    end, following = len(text), rest[:1] or "x"
    while end > 0 and _is_within_word(text[end - 1], following):
        end, following = end - 1, text[end - 1]
    return text[:end]


def _is_within_word(character: str, following: str) -> bool:
    """Return whether no word ends between two characters. A combining mark belongs to the character before it."""
    if _is_mark(following):
        return _is_of_word(character)
    return all(_is_of_word(one) and not _SPACELESS.match(one) for one in (character, following))


def _is_of_word(character: str) -> bool:
    return character == "_" or character.isalnum() or _is_mark(character)


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")
