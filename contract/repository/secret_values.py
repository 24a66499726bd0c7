"""Whether a value is a secret in use, or a name, a word, a placeholder, a reference to one.

It judges a value alone; where it stands is the matter of `secrets`.
"""

from __future__ import annotations

import math
import re
from collections import Counter

PLAIN_PASSWORDS = frozenset(
    {"pass", "pw", "pwd", "password", "passwd", "passw0rd", "secret", "user", "username", "token", "key", "abc", "xyz"}
)

_PLACEHOLDER = re.compile(
    r"""example | sample | dummy | fake | placeholder | change | replace | redacted | insert | default | foobar | lorem
      | your | xxx | \*\*\* | \.\.\. | todo | test | mock | password | passwd | secret | hunter2 | letmein | qwerty
      | ^pass | abc123 | 12345 | 0123 | abcd | 0000 | 1111 | aaaa | ^my[_-] | ^some | undefined | %s(?!\w)""",
    re.VERBOSE | re.IGNORECASE,
)
# A reference to a value elsewhere, whatever else is there.
_REFERENCE = re.compile(
    r"""\$\{ | \$\(\w{1,80}+\) | ^\$\w*+$ | \{\{ | ^\{ | ^%\w{1,80}+%$ | %\(\w{1,80}+\)s | ^<.*>$
      | ^none$ | ^null$ | environ | getenv | process\.env""",
    re.VERBOSE | re.IGNORECASE,
)
_CASE_CHANGE = re.compile(r"[a-z][A-Z]")  # of which a value drawn without a digit has several
_DIGIT_WITHIN = re.compile(r"\d[A-Za-z]")
_KIND_CHANGE = re.compile(r"[a-z](?=[A-Z0-9])|[A-Z](?=[a-z0-9])|[0-9](?=[A-Za-z])")
_HEX = re.compile(r"[0-9a-fA-F]+")
_TOKEN_CHARACTERS = re.compile(r"[A-Za-z0-9+/=_.~:!@#$%^&*()-]+")
_WORD = re.compile(r"[A-Z]?[a-z]{3,}|(?<![a-z])[A-Z]{4,}+(?![a-z])")
_FIVE_CONSONANTS = re.compile(r"(?i)[bcdfghjklmnpqrstvwxz]{5}")
# A field of a format, a tag, a call, an index: no literal password.
_MARKUP = re.compile(r"\{[\w.:!$ -]{0,60}\}|<[\w/. -]{1,60}>|\w\([\w, .]{0,60}\)|\[[\w .:-]{0,60}\]|\$\(")
_SENTENCE = frozenset("{}<>()[] /")  # of sentences, code and paths as well as of passwords
# A name, an attribute, a call, a reference of YAML or C.
_CODE = re.compile(r"^[a-z]+(?:_[a-z0-9]+)+$|^[a-z_]+(?:\.[a-z_]+\d?)+$|::|->|=>|^[&*]\w+$|\w[(\[]", re.IGNORECASE)
_WORDED_PASSWORD = re.compile(
    r"[A-Za-z0-9]{2,20}\d{2,4}[!@#$%&*?.+=_-]{0,3}|[!@#$%&*?.+=-]{1,2}[A-Za-z]{3,20}\d{1,4}[!@#$%&*?.]{0,2}"
)
# Words of code that a number belongs to: what is left of an identifier has hardly a digit.
_NUMBERED_WORD = re.compile(
    r"(?i)(?:sha|md|utf|base|u?int|float|rsa|aes|hmac|ed|oauth|ipv|http|arg|str|var|tmp)_?\d{1,4}+"
)
_MIN_ENTROPY_BITS = 3.3  # a character; random base64 of 20 characters has about 4.1, English names about 3
_SEED_PHRASE_WORDS = (12, 15, 18, 21, 24)
_MIN_HEX_ENTROPY_BITS = 3.0  # at most 4


def is_used_password(value: str) -> bool:
    """Whether a value that can only be a password looks like one in use: letters and digits at least."""
    is_mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    is_else = is_placeholder(value) or _is_path(value) or _CODE.search(value) or value.lower() in PLAIN_PASSWORDS
    return is_mixed and not is_else


def is_seed_phrase(value: str) -> bool:
    """Whether words are as many as BIP-39 takes and, as drawn ones are, hardly ever the same."""
    words = value.split()
    return len(words) in _SEED_PHRASE_WORDS and 3 * len(set(words)) >= 2 * len(words)


def is_placeholder(value: str) -> bool:
    """Whether a value stands for another. Most of a random one is left when the words are taken out of it."""
    if _REFERENCE.search(value):
        return True
    core, count = _PLACEHOLDER.subn("", value)
    return count > 0 and (len(core) < 12 or 3 * len(core) < 2 * len(value) or not _looks_drawn(core))


def is_random(value: str) -> bool:
    """Whether a value looks drawn at random rather than written: no words, no placeholder, varied characters."""
    if is_placeholder(value) or not _TOKEN_CHARACTERS.fullmatch(value):
        return False
    return _looks_drawn(value)


def _looks_drawn(value: str) -> bool:
    has_digit = any(map(str.isdigit, value))
    if not any(map(str.isalpha, value)) or not (has_digit or len(_CASE_CHANGE.findall(value)) >= 2):
        return False
    if _HEX.fullmatch(value):
        return entropy_bits(value) >= min(_MIN_HEX_ENTROPY_BITS, 0.7 * math.log2(len(value)))
    # Chance makes words too, but between many changes of kind: every other character, and in names every sixth.
    is_mixed = 2 * len(_KIND_CHANGE.findall(value)) >= len(value)
    words_allowed = 0.7 if is_mixed else 0.5 if has_digit else 0.3
    varied = min(_MIN_ENTROPY_BITS, 0.85 * math.log2(len(value)))
    return _worded_share(value) <= words_allowed and entropy_bits(value) >= varied


def _worded_share(value: str) -> float:
    return sum(len(word) for word in _WORD.findall(value) if _is_pronounceable(word)) / len(value)


def is_strong_password(value: str) -> bool:
    """Whether a literal of at least eight characters looks like a password in use rather than a stand-in."""
    if len(value) < 8 or is_placeholder(value) or _is_path(value) or _MARKUP.search(value):
        return False
    if set(value) & _SENTENCE:
        return _count_kinds(value) >= 3 and _looks_drawn(value)
    return (
        _count_kinds(value) >= 3 or (any(map(str.isdigit, value)) and is_random(value)) or _is_of_drawn_letters(value)
    )


def _is_of_drawn_letters(value: str) -> bool:
    """Whether it is of letters of one case that make no words, as an app password of Gmail."""
    is_of_letters = len(value) >= 12 and value.isascii() and value.isalpha() and (value.islower() or value.isupper())
    return is_of_letters and len(set(value)) >= 7 and _FIVE_CONSONANTS.search(value) is not None


def is_chosen_password(value: str) -> bool:
    """Whether it is a word and a number, as people choose: "winter1998", but no name of code, as "field_2"."""
    if len(value) < 8 or set(value) & _SENTENCE or not is_used_password(value):
        return False
    return _WORDED_PASSWORD.fullmatch(value) is not None or (_count_kinds(value) >= 3 and _worded_share(value) <= 0.75)


def is_bare_password(value: str) -> bool:
    """As `is_strong_password`, of a value without quotes, which may be code or a path."""
    if len(value) < 8 or is_placeholder(value) or _is_path(value) or _CODE.search(value):
        return False
    return _looks_drawn(value)


def is_used_literal(value: str) -> bool:
    """As `is_strong_password`, of a literal that may as well be words to show: with a digit, and few words."""
    is_mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return is_mixed and is_strong_password(value) and _worded_share(value) <= 0.7


def is_doubtful(value: str) -> bool:
    """Whether a run of letters and digits may be drawn; it asks less than `is_random`."""
    is_mixed = value != value.lower() and _DIGIT_WITHIN.search(value) is not None
    has_changes = len(_CASE_CHANGE.findall(value)) >= 3 and _worded_share(value) <= 0.9
    return entropy_bits(value) >= 2.7 and (is_mixed or has_changes)


def is_drawn_word(value: str) -> bool:
    """Whether a value without quotes is drawn, and no identifier such as `sha256Hex` or `newPasswordHash2`."""
    if len(value) >= 20 and 3 * len(_KIND_CHANGE.findall(value)) >= len(value):
        return True
    rest = _NUMBERED_WORD.sub("", value)
    has_digit = any(map(str.isdigit, rest))
    return has_digit and len(_KIND_CHANGE.findall(rest)) >= 3 and _worded_share(value) <= 0.4


def _is_path(value: str) -> bool:
    is_plain = value.startswith(("./", "../", "~/", "file:")) or "://" in value
    return is_plain or ("/" in value and not _looks_drawn(value))


def _count_kinds(value: str) -> int:
    kinds = (str.islower, str.isupper, str.isdigit, lambda character: not character.isalnum())
    return sum(any(map(kind, value)) for kind in kinds)


def _is_pronounceable(word: str) -> bool:
    vowels = sum(character in "aeiouyAEIOUY" for character in word)
    return vowels * 6 >= len(word) and not _FIVE_CONSONANTS.search(word)


def entropy_bits(value: str) -> float:
    """Shannon entropy of the characters, bits a character."""
    counts = Counter(value)
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
