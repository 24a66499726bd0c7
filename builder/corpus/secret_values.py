"""Whether a value was drawn at random or chosen as a password, or was written to stand in for one.

A stand-in ("example-password-1", "${DB_PASSWORD}", "xxxx") is taken out of a value first, and the rest is judged: a
random value may hold "test" or "1111" by chance, and is still one.
"""

from __future__ import annotations

import math
import re
from collections import Counter

MAX_VALUE_CHARS = 400  # of a value, what is looked at; the rest of a longer one adds nothing
MIN_PASSWORD_CHARS = 6

# Words and runs that stand for a value, and references to a value elsewhere.
_STAND_INS = re.compile(
    r"""\$\{[^{}]{0,80}+\} | \$\(\s{0,4}+[a-z][^()]{2,80}+\) | \{\{[^{}]{0,80}+\}\} | \{[^{}]{0,80}+\} | %\(\w{1,80}+\)s
      | ^\$[A-Za-z_]\w{0,80}+$ | ^%\w{1,80}+%$ | ^<[^<>]{0,80}+>$ | %s | \*{3,} | \.{3,} | (?P<run>[xX*.#_0-9a-fA-F])(?P=run){3,}
      | (?:0?123456789?0? | 12345 | 0123 | abcdefg?h?i?j? | abc123 | 4567 | 6789 | 9876 | 1234)
      | (?<![a-z])(?:my|some|your|the)[_-] | examples? | samples? | dummy | fake | placeholder | change(?:d|_?me|-?me)?
      | replace(?:_?me|d)? | redacted | insert | default | foobar | lorem | yours? | x{3,} | todo | tests?(?:ing)? | mock(?:ed)?
      | passwords? | passwd | passw0rd | secrets? | hunter2 | letmein | qwerty | tokens? | username | undefined""",
    re.VERBOSE | re.IGNORECASE,
)
_REFERENCES = ("environ", "getenv", "process.env", "os.env")

_PLAIN_PASSWORDS = frozenset(
    {"pass", "pw", "pwd", "password", "passwd", "passw0rd", "secret", "user", "username", "token", "key", "abc", "xyz"}
)

# The pairs of letters that make up nine tenths of English identifiers and prose; of random letters, they make up a
# quarter.
_COMMON_PAIRS = frozenset(
    """
    ab ac ad ag ai al am an ap ar as at au ay ba be bl bo bu ca ce ch ci ck cl co cr ct cu da de di do ds ea ec ed ee
    ef eg el em en ep eq er es et ev ex fa fe fi fo fu ge gi gs ha he hi ho ht ia ib ic id ie if ig il im in io ir is
    it iv iz ke la ld le li ll lo ls lt lu ly ma me mi mo mp na nc nd ne ng ni no ns nt nu ob oc od ol om on oo op or
    os ot ou ov ow pa pe pi pl po pp pr pt qu ra rd re rg ri rm rn ro rr rs rt ru ry sa sc se sh si so sp ss st su ta
    te th ti to tr ts tt tu ty ue ui ul um un up ur us ut va ve vi wa wh wi xc xt yp ze
    """.split()
)
_WORDED = 0.55  # the share of common pairs from which a value is written rather than drawn
_LETTERS = re.compile(r"[A-Za-z][a-z]++|[A-Z]{2,}+")
_HEX = re.compile(r"[0-9a-fA-F]+")
_TOKEN_CHARACTERS = re.compile(r"[!#-\[\]-~]+")  # what can be printed, but for quotes, white space and the backslash
_CODE_MARKS = frozenset("()[]{},;<>")
# An expression of code in the place of a value: a name or a path of names, a call, a subscript.
_EXPRESSION = re.compile(r"[A-Za-z_$@&*!][\w$]*+(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*+)*+(?:[(\[].*|[,;)\]}]*)", re.DOTALL)
_NAME_ONLY = re.compile(r"[A-Za-z_][A-Za-z_]*+\d{0,2}")

_MIN_HEX_BITS = 3.0  # entropy a character, at most 4
_MIN_ENTROPY_SHARE = 0.78  # of the entropy that as many different characters would have


def without_stand_ins(value: str) -> str:
    """What is left of a value when the words and references that stand for another are taken out."""
    if any(one in value for one in _REFERENCES):
        return ""
    return _STAND_INS.sub("", value)


def is_random(value: str, *, min_chars: int = 8) -> bool:
    """Whether a value looks drawn at random rather than written: varied characters, few pairs of letters of words.

    `min_chars` have to be left of it without its stand-ins, and half of it.
    """
    if not _TOKEN_CHARACTERS.fullmatch(value):
        return False
    core = without_stand_ins(value)
    if len(core) < min_chars or 2 * len(core) < len(value):
        return False
    has_digit, has_letter = any(map(str.isdigit, core)), any(map(str.isalpha, core))
    if not has_letter or not (has_digit or _is_mixed_case(core)):
        return False
    if _HEX.fullmatch(core):
        return entropy_bits(core) >= min(_MIN_HEX_BITS, _MIN_ENTROPY_SHARE * math.log2(len(core)))
    return entropy_bits(core) >= _MIN_ENTROPY_SHARE * math.log2(min(len(core), 24)) and worded_share(core) < _WORDED


def is_strong_password(value: str) -> bool:
    """Whether a literal looks like a password in use rather than a stand-in, a word or a sentence."""
    core = without_stand_ins(value)
    if len(core) < MIN_PASSWORD_CHARS or 2 * len(core) < len(value):
        return False
    has_digit = any(map(str.isdigit, core))
    is_drawn = has_digit or _is_mixed_case(core)
    # Prose, paths, addresses and code have these as well.
    if any(one.isspace() for one in value) or set(value) & _CODE_MARKS or "/" in value:
        parts = value.split()
        is_one = len(parts) <= 2 or all(len(part) <= 3 or is_random(part, min_chars=4) for part in parts)
        return len(core) >= 8 and is_one and has_digit and _kinds(core) >= 3 and worded_share(core) < 0.5
    if len(core) >= 8 and _kinds(core) >= 3 and has_digit:
        return True
    return is_drawn and len(core) >= 8 and is_random(value) or (_kinds(core) >= 3 and has_digit and worded_share(core) < 0.5)


def is_bare_password(value: str) -> bool:
    """As `is_strong_password`, of a value without quotes, which may be an expression of code."""
    if len(value) < MIN_PASSWORD_CHARS or value.lower() in _PLAIN_PASSWORDS or not value.isprintable():
        return False
    core = without_stand_ins(value)
    if len(core) < MIN_PASSWORD_CHARS or 2 * len(core) < len(value):
        return False
    if is_expression(value) and (worded_share(core) >= 0.4 or not is_random(value, min_chars=6)):
        return False
    return is_strong_password(value)


def is_used_password(value: str) -> bool:
    """Whether a value that can only be a password is one in use: of two kinds of characters, and no stand-in."""
    core = without_stand_ins(value)
    is_whole = 2 * len(core) >= len(value) and len(core) >= 4
    return is_whole and value.lower() not in _PLAIN_PASSWORDS and _kinds(core) >= 2 and not value.startswith("$")


def is_any_password(value: str) -> bool:
    """Whether a value that can only be a password is no stand-in, whatever its characters."""
    core = without_stand_ins(value)
    return len(core) >= 4 and 2 * len(core) >= len(value) and value.lower() not in _PLAIN_PASSWORDS


def is_expression(value: str) -> bool:
    """Whether a value could be a name, a path of names, a call or a subscript of a programming language."""
    match = _EXPRESSION.fullmatch(value)
    if match is None:
        return False
    is_plain = value.isidentifier()
    return not is_plain or worded_share(value) >= 0.4 or _NAME_ONLY.fullmatch(value) is not None and not _is_mixed_case(value)


def worded_share(value: str) -> float:
    """The share of neighbouring letters that words are made of, 0 to 1; 0 where there are no two letters together."""
    common = total = 0
    for run in _LETTERS.findall(value):
        lowered = run.lower()
        pairs = [lowered[at : at + 2] for at in range(len(lowered) - 1)]
        total += len(pairs)
        common += sum(pair in _COMMON_PAIRS for pair in pairs)
    # Few pairs say little: a value is taken for written only as far as its letters bear it out.
    return common / total * min(1.0, 2.5 * total / len(value)) if total else 0.0


def entropy_bits(value: str) -> float:
    """Shannon entropy of the characters, bits a character."""
    counts = Counter(value)
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())


def _is_mixed_case(value: str) -> bool:
    """Whether capitals and small letters alternate as no name has them: each is a quarter of the letters at least."""
    upper, lower = sum(map(str.isupper, value)), sum(map(str.islower, value))
    return upper + lower >= 6 and 4 * min(upper, lower) >= upper + lower


def _kinds(value: str) -> int:
    """Of small letters, capitals, digits and other characters, how many there are."""
    kinds = (str.islower, str.isupper, str.isdigit, lambda character: not character.isalnum())
    return sum(any(map(kind, value)) for kind in kinds)
