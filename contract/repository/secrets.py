"""Lines that look like secrets: keys, tokens, passwords. The corpus leaves them out, so that no model learns one.

It covers one line at a time (`kind_of_secret`) and whole texts (`remove_secrets`, which also sees private key blocks
and a value on the line below its name). Characters that no reader sees are passed over. Standard library only, since
the server asks it about completions. It errs towards keeping a line: placeholders, look-ups in the environment and
words are no secrets, though a literal that a look-up falls back on may be one. A password of plain words without a
digit is not found; nor is a password's hash one, as in a file of htpasswd. Token forms are those that their issuers
document. `benchmarks/secrets_table.py` counts what is found of each kind.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from contract.repository.secret_forms import PLACES, TOKEN_FORMS, SecretPlace, TokenForm, is_basic_credential
from contract.repository.secret_names import (
    BLOCK_ENDS,
    MIN_TOKEN_CHARS,
    NAME_LEADS,
    OPEN_ENDS,
    find_assigned,
    names_in,
    names_of_open_values,
)
from contract.repository.secret_values import PLAIN_PASSWORDS, entropy_bits, is_doubtful, is_placeholder, is_random

# What no reader sees within a name or a token: what Unicode lets editors leave out (default-ignorable), line ends that
# are none in a file, and letters that look like a blank.
UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_DISGUISE = re.compile(f"{UNSEEN.pattern}|[\uff01-\uff5e]")  # with the wide forms of ASCII
_WIDE_OFFSET = 0xFEE0
_ESCAPED_QUOTE = re.compile(r"\\{1,7}+([\"'])")

_AWS_SECRET = re.compile(r"(?i)aws.{0,30}?(?:secret|key).{0,30}?[\"'=:\s]([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])")

_PRIVATE_KEY = "private key"
# PEM, PGP and SSH; or PuTTY's, which ends with a signature.
_KEY_BLOCK_START = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d")
_KEY_BLOCK_END = re.compile(r"-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|Private-MAC:")
KEY_BLOCK_LINES = 250  # an RSA key of 16,384 bits has about 200
# The first bytes of a private key in base64, without a header above: DER says SEQUENCE, its length, and a version below
# 4, which stands in no certificate and no public key; an encrypted one says how; OpenSSH's says its name.
_KEY_BODY_LEADS = ("MI", "CAQ", "b3BlbnNzaC1rZXktdjE")
_KEY_BODY_START = re.compile(
    r"(?<![A-Za-z0-9+/])(?:MI[I-L][A-Za-z0-9+/]{2}[AQgw]IBA[A-Za-z0-9]|MI[E-H][A-Za-z0-9+/]AgE[A-D]"
    r"|M[A-H][AEIMQUYcgkosw048]CAQ[A-P]|MI[I-L][A-Za-z0-9+/]{5}BgkqhkiG9w0BBQ"
    r"|MI[E-H][A-Za-z0-9+/]M[A-H][A-Za-z0-9+/]GCSqGSIb3DQEF|b3BlbnNzaC1rZXktdjE)[A-Za-z0-9+/=]{30}"
)
# A line of the body, quoted, commented or joined as programming languages do: base64, or a header of PEM.
_KEY_WRAP = " \t#*/>|\"'`+(,;)b"
_KEY_REST = re.compile(r"[A-Za-z0-9+/]{2,}+={0,2}")
# Or put together by calls: `pem.append("…\n");`, `key += "…"`, `echo … >> key.pem`
_KEY_LINE = re.compile(r"(.{0,60}?(?<![A-Za-z0-9+/]))([A-Za-z0-9+/=]{40,}+)(.{0,40})")
_KEY_HEADER = re.compile(r"(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset):.*|")
# Between two literals that are one: "a" + "b", 'a' 'b', `a` . `b`.
_JOINT = re.compile(r"([\"'`])\s{0,40}+[+.&\\]{0,2}+\s{0,40}+\1")
_LITERAL_ENDS = tuple(f"{quote}{joint}" for quote in "\"'`" for joint in ("", "+", " +", "\\", " \\", ".", " .", " &"))
_LAST_OF_LITERAL = frozenset(end[-1] for end in _LITERAL_ENDS)
_MAX_SPLIT_LINES = 4
# Of a value below its name, and of the line above: a value is judged by its first 1,000 characters anyway.
_MAX_BELOW_CHARS = 1100
_MAX_OPEN_CHARS = 2000
_MAX_OPEN_NAMES = 4  # the last ones
_KEY_MARKS = ("PRIVATE KEY", "PuTTY-User-Key-File", "Private-MAC:")  # where a key's first and last lines are
_ELSE_LINE = re.compile(r"\n[ \t]{0,80}+(?:\|\||\?\?|\?:|or\b)")  # it goes on with an alternative
_ELSE_STARTS = ("||", "??", "?:", "or ")
# The second field of a pair: `value: …` below `name: KEY`, or above it; and how many lines from the name it may stand.
_VALUE_FIELD = re.compile(
    r"(?im)^[ \t,{<\"'-]{0,80}+\w{0,20}?(?:value|default|string)[\"']?[ \t]{0,8}(?:=>|[:=>])(.*)$"
)
_NAME_FIELD = re.compile(r"(?i)^[ \t,{<\"'-]{0,80}+\w{0,20}?(?:name|key|id)[\"']?[ \t]{0,8}(?:=>|[:=>])")
_MAX_PAIR_LINES = 4

_URL_PASSWORD = re.compile(
    r"[a-z][a-z0-9+.-]{1,20}://([^\s:/?#@\"'<>]{0,100}):([^\s/?#@\"'<>]{1,200})@([\w.-]+|\[[\da-f:]+\])"
)
# With characters that should be written otherwise: `/`, `#`, `?`, `@`. What begins with digits is a port.
_ODD_URL_PASSWORD = re.compile(
    r"[a-z][a-z0-9+.-]{1,20}://([^\s:/?#@\"'<>]{0,100}):(?!\d{1,5}(?:[/?#]|$))([^\s\"'<>]{6,200})@([\w.-]+|\[[\da-f:]+\])"
)
_NAME_PART = re.compile(r"[-_.=]([A-Za-z0-9]{12,200}+)(?![A-Za-z0-9_-])")
_RUN = re.compile(r"[A-Za-z0-9+/]{8,1000}+")
_AUTH_HEADER = re.compile(r"(?i)\b(basic|bearer|token)\s+([A-Za-z0-9+/=_.~-]{8,2000})")


@dataclass(frozen=True, kw_only=True)
class CleanText:
    """A text without the lines that look like secrets, and how many went, by kind."""

    text: str
    removed_lines: Mapping[str, int]


def kind_of_secret(line: str) -> str | None:
    """The kind of secret that a line seems to hold, or None. The time is linear in the line's length."""
    line = _undisguise(line)
    return _find_in_line(line, _leads_in(line))


def is_secret_path(path: str) -> bool:
    """Whether a folder's or a file's name holds a secret: `ghp_….txt`, `api_key-….json`."""
    names = path.replace("/", " ")
    return any(map(kind_of_secret, (names, _NAME_PART.sub(r" = \1 ", names))))


def blank_secrets(text: str) -> str:
    """The text with empty lines in the place of what `remove_secrets` removes, so that lines keep their numbers."""
    lines = text.split("\n")
    for _, numbers in _find_all(text):
        for number in numbers:
            lines[number] = ""
    return "\n".join(lines)


def first_related_line(lines: Sequence[str], number: int) -> int:
    """Return the first line, 0 to `number`, that decides what is a secret from line `number` on.

    `blank_secrets` gives the same of these lines without those before it. 0 if a key may begin anywhere, or if some
    text shows only once characters are taken away: those that nobody sees, backslashes, the ends of joined literals.
    """
    text = "\n".join(lines)
    if not text.isascii() or any(mark in text for mark in _KEY_MARKS):
        return 0
    first = number
    while first > 0 and not _ends_secrets(lines[first - 1 : first + _MAX_PAIR_LINES]):
        first -= 1
    rest = "\n".join(lines[first:])
    return 0 if "\\" in rest or _JOINT.search(rest) else first


def _ends_secrets(lines: Sequence[str]) -> bool:
    """Return whether no secret that begins at or above the first line goes on below it; no block of a key begins there.

    A value may follow an open end, or be a field below, a token follow a joint, an alternative a look-up, and the body
    of a key goes on as such.
    """
    line, below = lines[:2]
    if any(map(_VALUE_FIELD.match, lines)):
        return False
    end = line.rstrip()
    is_open = end.endswith(OPEN_ENDS) or end[-1:] in _LAST_OF_LITERAL or below.lstrip().startswith(_ELSE_STARTS)
    return not is_open and not any(map(_is_key_line, (line, below)))


def remove_secrets(text: str) -> CleanText:
    """Remove every line that looks like a secret, and private key blocks whole. Lines end in LF."""
    removed: Counter[str] = Counter()
    gone: set[int] = set()
    for kind, numbers in _find_all(text):
        removed[kind] += len(numbers)
        gone.update(numbers)
    if gone:
        text = "\n".join(line for number, line in enumerate(text.split("\n")) if number not in gone)
    return CleanText(text=text, removed_lines=dict(removed))


def remove_doubtful(text: str) -> CleanText:
    """As `remove_secrets`, and every line with a value that may be drawn at or close below a secret's name."""
    clean = remove_secrets(text)
    removed, kept, since_name = Counter(clean.removed_lines), [], _MAX_PAIR_LINES
    for line in clean.text.split("\n"):
        since_name = 0 if any(names_in(line)) else since_name + 1
        if since_name < _MAX_PAIR_LINES and any(map(is_doubtful, _RUN.findall(line))):
            removed["doubtful value"] += 1
        else:
            kept.append(line)
    return CleanText(text="\n".join(kept), removed_lines=dict(removed))


def _find_all(text: str) -> Iterator[tuple[str, range]]:
    """The kind and the lines (from 0) of each secret in a text."""
    text = _undisguise(text)
    leads = _leads_in(text)
    if not leads:
        return
    lines = text.split("\n")
    position = 0
    while position < len(lines):
        kind, count = _find_at(lines, position, leads)
        if kind is not None:
            yield kind, range(position, min(position + count, len(lines)))
        position += count


def _undisguise(text: str) -> str:
    """The text as a reader takes it, in as many lines."""
    return text if text.isascii() else _DISGUISE.sub(_seen_character, text)


def _seen_character(match: re.Match[str]) -> str:
    code = ord(match.group())
    return chr(code - _WIDE_OFFSET) if 0xFF01 <= code <= 0xFF5E else ""


@dataclass(frozen=True, kw_only=True)
class _Leads:
    """The searches worth running on a text: those whose lead string occurs in it. Most texts need few."""

    forms: tuple[tuple[str, TokenForm], ...]
    places: tuple[tuple[str, SecretPlace], ...]  # lower case
    names: tuple[str, ...]  # lower case
    has_key_block: bool
    has_key_body: bool
    has_url: bool
    has_else_line: bool
    has_value_field: bool

    def __bool__(self) -> bool:
        return bool(self.forms or self.places or self.names or self.has_key_block or self.has_key_body or self.has_url)


def _leads_in(text: str) -> _Leads:
    lowered = text.lower()
    return _Leads(
        forms=tuple((lead, form) for form in TOKEN_FORMS for lead in form.leads if lead in text),
        places=tuple((lead, place) for place in PLACES for lead in place.leads if lead in lowered),
        names=tuple(name for name in NAME_LEADS if name in lowered),
        has_key_body=any(lead in text for lead in _KEY_BODY_LEADS),
        has_key_block="PRIVATE KEY" in text or "PuTTY-User-Key-File" in text,
        has_url="://" in text,
        has_else_line=_ELSE_LINE.search(text) is not None,
        has_value_field=_VALUE_FIELD.search(text) is not None,
    )


def _find_in_line(line: str, leads: _Leads) -> str | None:
    joined = _JOINT.sub("", line)
    kind = _find_form(line, leads) or (_find_form(joined, leads) if joined != line else None)
    if kind is not None:
        return kind
    if leads.has_key_block and (_KEY_BLOCK_START.search(line) or _KEY_BLOCK_START.search(joined)):
        return _PRIVATE_KEY
    if leads.has_key_body and _KEY_BODY_START.search(line):
        return _PRIVATE_KEY
    if leads.has_url and "://" in line:
        odd = (match for match in _ODD_URL_PASSWORD.finditer(line) if not match[2].islower())
        if any(map(_is_url_password, chain(_URL_PASSWORD.finditer(line), odd))):
            return "password in a URL"
    kind = _find_by_surroundings(line, leads) or (_find_by_surroundings(joined, leads) if joined != line else None)
    if kind is None and "\\" in line:
        unescaped = _ESCAPED_QUOTE.sub(r"\1", line)
        kind = _find_by_surroundings(unescaped, leads) if unescaped != line else None
    return kind


def _find_by_surroundings(line: str, leads: _Leads) -> str | None:
    lowered = line.lower()
    for lead, place in leads.places:
        if lead in lowered and any(map(place.is_secret, place.pattern.findall(line))):
            return place.kind
    return _find_named(line) if any(name in lowered for name in leads.names) else None


def _find_form(line: str, leads: _Leads) -> str | None:
    for lead, form in leads.forms:
        if lead in line and form.pattern.search(line):
            return form.kind
    return None


def _find_named(line: str) -> str | None:
    """What a line holds that says in words what it is."""
    if _AWS_SECRET.search(line):
        return "AWS key"
    if _holds_auth_header(line):
        return "authorization header"
    return find_assigned(line)


def _find_at(lines: list[str], position: int, leads: _Leads) -> tuple[str | None, int]:
    """The kind of secret that starts at a line, and how many lines it takes; (None, 1) where none does."""
    line = lines[position]
    kind = _find_in_line(line, leads)
    if kind == _PRIVATE_KEY:
        return kind, _key_block_length(lines, position)
    if kind is None and leads.names and position + 1 < len(lines) and line.rstrip().endswith(OPEN_ENDS):
        kind = _find_below(line, lines[position + 1])
        if kind is not None:
            is_block = line.rstrip().endswith(BLOCK_ENDS)
            return kind, 1 + (_key_body_length(lines, position + 1) if is_block else 1)
    if kind is None and leads.names and leads.has_else_line and position + 1 < len(lines):
        below = lines[position + 1].strip()
        kind = find_assigned(f"{line.rstrip()} {below}") if below.startswith(_ELSE_STARTS) else None
        if kind is not None:
            return kind, 2
    if kind is None and leads.names and leads.has_value_field and (found := _find_pair(lines, position))[0]:
        return found
    return _find_split(lines, position, leads) if kind is None else (kind, 1)


def _find_below(line: str, below: str) -> str | None:
    """What a line names and the next one holds; a private key begins with the next one, whatever it is called."""
    if line.rstrip().endswith(":") and below.lstrip().startswith(('"""', "'''")):
        return None  # a function's documentation
    value = below.strip()[:_MAX_BELOW_CHARS]
    for name in deque(names_of_open_values(line[-_MAX_OPEN_CHARS:]), maxlen=_MAX_OPEN_NAMES):
        kind = kind_of_secret(f"{name} = {value}")
        if kind is None and line.rstrip().endswith(BLOCK_ENDS) and value.count(" ") < 2:  # else a sentence
            kind = kind_of_secret(f'{name} = """' + value.rstrip("\"'`;,)"))
        if kind is not None:
            return None if kind == _PRIVATE_KEY else kind
    return None


def _find_pair(lines: list[str], position: int) -> tuple[str | None, int]:
    """A name and its value in two fields on lines of their own, as `_find_at` tells it."""
    line = lines[position][-_MAX_OPEN_CHARS:]
    value = _VALUE_FIELD.match(line)
    if value is not None and position + 1 < len(lines) and _NAME_FIELD.match(lines[position + 1]):
        kind = _kind_of_pair(lines[position + 1][:_MAX_OPEN_CHARS], value)
        if kind is not None:
            return kind, 2
    for count, below in enumerate(lines[position + 1 : position + _MAX_PAIR_LINES], start=2):
        if not below.strip():
            break
        if value := _VALUE_FIELD.match(below):
            return _kind_of_pair(line, value), count
    return None, 1


def _kind_of_pair(line: str, value: re.Match[str]) -> str | None:
    names = deque(names_in(line), maxlen=_MAX_OPEN_NAMES)
    return next(
        filter(None, (kind_of_secret(f"{name} = {value[1].strip()[:_MAX_BELOW_CHARS]}") for name in names)), None
    )


def _find_split(lines: list[str], position: int, leads: _Leads) -> tuple[str | None, int]:
    """A token in literals that are joined over several lines, as `_find_at` tells it."""
    joined = lines[position].rstrip()
    if joined[-1:] not in _LAST_OF_LITERAL:
        return None, 1
    for count in range(2, _MAX_SPLIT_LINES + 1):
        if position + count > len(lines) or not joined.endswith(_LITERAL_ENDS):
            break
        joined = _JOINT.sub("", f"{joined} {lines[position + count - 1].strip()}")
        kind = _find_form(joined, leads)
        if kind is not None:
            return (None, 1) if kind == _PRIVATE_KEY else (kind, count)  # a key begins below, and takes more lines
    return None, 1


def _key_block_length(lines: list[str], start: int) -> int:
    """How many lines a private key takes. Without an end it must not take the code below with it."""
    if not _KEY_BLOCK_START.search(lines[start]):
        return _key_body_length(lines, start)
    for end in range(start, min(start + KEY_BLOCK_LINES, len(lines))):
        if _KEY_BLOCK_END.search(lines[end]):
            return end - start + 1
        if end > start and _KEY_BLOCK_START.search(lines[end]):
            break
    return _key_body_length(lines, start)


def _key_body_length(lines: list[str], start: int) -> int:
    """How many lines follow one another as those of a key do: of one length, then a shorter one."""
    end = start + 1
    while end < len(lines) and _is_key_line(lines[end]):
        end += 1
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    body = _KEY_LINE.fullmatch(lines[end - 1])
    if body and end < len(lines) and len(lines[end]) < len(lines[end - 1]) and lines[end].startswith(body[1]):
        rest = _KEY_REST.match(lines[end], len(body[1]))
        if rest is not None and (rest[0].endswith("=") or any(map(str.isdigit, rest[0]))):
            end += lines[end][rest.end() :].strip(_KEY_WRAP) == body[3].strip(_KEY_WRAP)
    if end < len(lines) and _KEY_BLOCK_END.search(lines[end]):
        end += 1
    return end - start


def _is_key_line(line: str) -> bool:
    return bool(_KEY_LINE.fullmatch(line) or _KEY_HEADER.fullmatch(line.strip(_KEY_WRAP)))


def _is_url_password(match: re.Match[str]) -> bool:
    user, password, host = match.groups()
    if is_placeholder(password) or password.lower() in PLAIN_PASSWORDS or password == user:
        return False
    if host.lower() in ("localhost", "127.0.0.1", "host", "hostname") or "example" in host.lower():
        return entropy_bits(password) * len(password) > 28 and is_random(password)
    return not (set(password) & set("{}[]()|\\")) and len(password) >= 4


def _holds_auth_header(line: str) -> bool:
    for match in _AUTH_HEADER.finditer(line):
        scheme, value = match.groups()
        if scheme.lower() == "basic":
            if is_basic_credential(value):
                return True
        elif len(value) >= MIN_TOKEN_CHARS and is_random(value):
            return True
    return False
