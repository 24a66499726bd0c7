"""Values that a name beside them gives away: `api_key = "…"`, `password: …`, and names whose value stands below.

So does the literal that a look-up falls back on: `env.API_KEY || "…"`, `${DB_PASSWORD:-…}`. The last net takes any
drawn value behind a secret's name on its line. The names are words of several languages. Every pattern takes linear
time (`tests/attacks/test_slow_patterns.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from contract.repository.secret_values import (
    is_bare_password,
    is_chosen_password,
    is_drawn_word,
    is_random,
    is_strong_password,
    is_used_literal,
)

_PASSWORD_WORDS = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "passwort", "kennwort", "motdepasse", "mot_de_passe"),
    *("contraseña", "contrasena", "senha", "wachtwoord", "hasło", "haslo", "parola", "пароль", "密码", "密碼", "口令"),
    *("パスワード", "비밀번호"),
)
_SECRET_WORDS_ELSEWHERE = ("токен", "секрет", "密钥", "密鑰", "令牌")
_SECRET_WORDS = (
    *("secret", "token", "credential", "api_key", "apikey", "api-key", "private_key", "privatekey", "access_key"),
    *("accesskey", "access-key", "auth_key", "authkey", "encryption_key", "signing_key", "account_key"),
    *("authorization", "salt"),
    *_SECRET_WORDS_ELSEWHERE,
)
_SHORT_PASSWORD_WORDS = ("pass", "pw", "psk")  # parts of many words: alone, or as in "smtpPass"
_NAME = re.compile(
    rf"(?i)(?:{'|'.join((*_PASSWORD_WORDS, *_SECRET_WORDS))}|(?<![a-z])(?:key|pass|pw|psk)(?![a-z])"
    r"|(?-i:(?<=[a-z])(?:Key|Pass|Psk)\b))"
)
_OTHER_LEADS = ("secret", "token", "credential", "key", "basic", "bearer", "auth", "salt", *_SECRET_WORDS_ELSEWHERE)
NAME_LEADS = (*_PASSWORD_WORDS, *_SHORT_PASSWORD_WORDS, *_OTHER_LEADS)

# What may stand between a name and its value: the rest of the name, a closing quote or bracket, a type, an operator; a
# blank alone before a quote, as in `#define KEY "…"` and `PASSWORD '…'`.
_JOIN = (
    r"[\w-]{0,40}+[\"'\]`)\\]{0,3}+(?:\[\w{0,8}+\])?+(?:(?<![\"'])(?=[\s:?]):?[\w\[\]|.&<>?*: ']{1,60}+(?==))?+"
    r"\s{0,20}+(?:::?=|=>|\|\|=|[?]{1,2}=|=|:|,|\(|>|\{|<-|(?<=\s)(?=@?L?[\"']))\s{0,20}+"
)
_CALL = r"(?:[\w.:]{1,40}+\(\s{0,4}+)?+[bBrRuUL@]{0,2}+"  # around a literal, and its prefix
# Its second field, or an argument behind it: `name: KEY, value: …`, `"--key", default=…`
_FIELD = r"(?:value|default)\w{0,5}[\"']?\s{0,4}(?:=>|[=:(>])\s{0,4}"
# A value of more than 1,000 characters is judged by those: its end is not asked for.
_LITERAL = (
    _CALL + r"(?:(?:\"{3}|'{3})([^\"'\\]{8,1000}+)(?:[\"']|$|(?P<cut>(?=[^\\])))"
    r"|([\"'`])((?:(?!\3)[^\\]|\\[^\s]){8,1000}+)(?:\3|(?P<cut2>(?=[^\\]|\\[^\s]))))"
)
_QUOTED_VALUE = re.compile(_JOIN + _LITERAL)
_FIELD_VALUE = re.compile(rf"[^\n;]{{0,120}}?(?i:{_FIELD}){_LITERAL}")
_HAS_FIELD = re.compile(f"(?i){_FIELD}")
_BARE = r"([^\s\"'`()\[\]{},;<>]{8,1000}+)"
_BARE_VALUE = re.compile(
    rf"[\w.-]{{0,40}}+\s{{0,8}}+[=:>]\s{{0,8}}+{_BARE}"
    r"(?:(?P<cut>(?=[^\s\"'`()\[\]{},;<>]))|\s{0,8}+(?:</[\w.-]{1,80}+>\s*+)?+(?:[#;].*)?$)"
)
# Among others on its line: `db: {user: ada, password: …}`, `<string name="password">…</string>`
_BARE_MEMBER = re.compile(
    rf"[\w-]{{0,40}}+[\"']?+(?:\s{{0,8}}+:\s{{1,8}}+{_BARE}\s{{0,8}}+[,}}]|>\s{{0,8}}+{_BARE}\s{{0,8}}+</)"
)
# Whatever stands between: a run of characters of tokens, drawn at random
_NET_VALUE = re.compile(r"[A-Za-z0-9+/=_.~!@#%^&*:-]{12,1000}+")
_NET_CHARS = 200  # from the name's end to the value
_NO_VALUE = re.compile(
    r"(?i)[\w-]{0,20}?(?:name|path|file|url|uri|type|class|ref|image|endpoint|(?<![a-z])id)(?![a-z])"
)
# Behind these stands what is encrypted, a checksum, or what other rules judge.
_NO_NET = re.compile(r"(?i)(?:secure:|basic|sha\d{1,4}|md5|href)\W{0,4}$")
# `${DB_PASSWORD:-…}`, `${db.password:…}`, behind the name within or the one before; `${NAME:?…}` holds a message
_REFERENCE_START = re.compile(r"\$\{[\w.-]{0,80}$")
_DEFAULT_VALUE = re.compile(
    r"(?:[\w-]{0,40}+[\"'\])]{0,3}+\s{0,8}+[=:(,]\s{0,8}+(?:[\w.]{1,40}+\()?+[\"'`]?+\$\{[\w.]{1,80}+|[\w.]{0,40}+)"
    r"(?::[-=]?+|[-=])(?!\$\w|~?/|\.\.?/|\w{2,12}://)([^\s\"'`{}?+][^\s\"'`{}]{7,1000}+)\}"
)
# The literal behind an alternative: `env.KEY || "…"`, `env("KEY") ?: "…"`, `get("KEY", "") or "…"`, `a ? b : "…"`
_ASIDE = r"\((?:[^()]|\([^()]{0,60}+\)){0,80}+\)"
_UP_TO_ELSE = rf"(?:[\"']\s{{0,4}}+,[^(),;{{}}]{{0,40}}+\)|[^(),;{{}}]|{_ASIDE}|\)){{0,120}}?"
_ELSE = r"\|\||\?\?|\?:|\bor\b"
_ELSE_VALUE = re.compile(
    rf"{_UP_TO_ELSE}({_ELSE}|\?(?![.?])|\s:|\belse\b|\.(?:unwrap_or|orElse|or_else)\()\s{{0,8}}+"
    rf"{_CALL}([\"'`])((?:(?!\2)[^\\]|\\[^\s]){{8,1000}}+)\2"
)
_HAS_ELSE = re.compile(rf"(?:[|?]|[\s?]:|\bor|\belse|\.(?:unwrap_or|orElse|or_else)\()\s{{0,8}}+{_CALL}[\"'`]")
_OF_BRANCHES = ("?", ":", "else")  # the name before them may be that of a condition
_IS_SET = re.compile(r"[\w-]{0,40}+[\"'\])]{0,3}+\s{0,8}+:?[:=](?![:=>])")
_MAX_BRANCHES = 4
_BARE_NAME_START = re.compile(r"^\s*+(?:[#;/*-]++\s*+|export\s++|set\s++|ENV\s++|ARG\s++|<)?+[\w.-]*+$")
_MAX_NAME_START_CHARS = 200
# The value begins on the next line: behind an operator; or in a block, where it has no quotes of its own.
BLOCK_ENDS = ("|", "|-", "|+", ">", ">-", ">+", '"""', "'''", "`", '"""\\', "'''\\")
OPEN_ENDS = ('",', "',", "=", "(", "[", "\\", ":", "||", "??", " or", *BLOCK_ENDS)
_OPEN_VALUE = re.compile(
    _JOIN + r"(?:[\w.]{1,40}+\()?+\s*+(?:[(\[\\]|[|>][+-]?+|[bBrRuU]?+(?:\"{3}|'{3}|`)\\?+)?+\s*+$"
)
_OPEN_ELSE = re.compile(rf"{_UP_TO_ELSE}(?:{_ELSE})\s*+$")

_ENDS_NAME = re.compile(r"[\d_]{0,4}(?![\w-])")
# What is no secret: a token's kind or place, a public key, a checksum. A password and a "secret" always are.
_NO_TOKEN = re.compile(r"(?i)izer|ize|_?type|_?url|_?uri|_?name")  # behind "token"
_PUBLIC = re.compile(r"(?:(?<![A-Za-z])(?i:public)|Public)[_.-]?$")
_CHECKSUM = re.compile(r"(?i)(?<!hmac)(?<!hmac[_.-])(?:sha\d{1,4}+|md5|checksum|digest)[_.-]?$")
_NO_SECRET_END = re.compile(
    r"[\w-]{0,40}?(?:sha\d{1,4}|md5|checksum|digest|(?<![a-z])public|(?-i:Public))"
    r"(?:_?sum|_?hex|_?b(?:ase)?64|_?pem)?(?![\w-])",
    re.IGNORECASE,
)
MIN_TOKEN_CHARS = 20  # shorter values of tokens and keys are names and identifiers as often as not
_ALWAYS_SECRET = ("secret", "секрет")
_MAX_REFERENCE_CHARS = 82
_MAX_BEFORE_CHARS = 16  # of a name, that say what kind of key it is
_MIN_CHARS = {"secret": 14, "key": 32}  # by the word; "key" alone is said of maps, sorts and caches as well


def find_assigned(line: str) -> str | None:
    """The kind of a literal that is assigned to a name which says what it is, or None."""
    names = list(_NAME.finditer(line))
    has_default, has_else = "${" in line, bool(names) and _HAS_ELSE.search(line) is not None
    has_field = bool(names) and _HAS_FIELD.search(line) is not None
    for name in names:
        word = name.group().lower()
        is_of_password = word in _PASSWORD_WORDS or word in _SHORT_PASSWORD_WORDS
        if not is_of_password and _is_no_secret(line, name):
            continue
        ends_name = _ENDS_NAME.match(line, name.end()) is not None
        # Only of a name that ends so: `passwordClass` and `TOKEN_IMAGE` fall back on no secret.
        has = {"has_default": ends_name and has_default, "has_else": ends_name and has_else, "has_field": has_field}
        found = _values_of(line, name, **has)
        for value, is_password in found:
            if is_of_password:
                if is_password(value) or (ends_name and is_chosen_password(value)):
                    return "password"
            elif len(value) >= _MIN_CHARS.get(word, MIN_TOKEN_CHARS):
                is_chosen = word == "secret" and value.isalnum() and ends_name
                if is_random(value) or (is_chosen and is_chosen_password(value)):
                    return "secret value"
    return _find_net(line, names)


def _find_net(line: str, names: list[re.Match[str]]) -> str | None:
    """The kind of a drawn value that stands behind the name of a secret, however it is given to it; or None."""
    ends = [(name.end(), name.group().lower()) for name in names if _is_caught(line, name)]
    for value in _NET_VALUE.finditer(line, ends[0][0]) if ends else ():
        while len(ends) > 1 and ends[1][0] <= value.start():
            ends.pop(0)
        end, word = ends[0]
        run = value.group()
        start = 1 + max(run.rfind("=", 0, -2), run.rfind(":", 0, -2))
        if run.startswith("/") or "#/" in run or "://" in run or (start == 0 and value.start() == end) or "..." in run:
            continue  # a path, the rest of the name, what is left out
        drawn = run[start:].strip("=.:&*#@!-_")
        is_long = len(drawn) >= (12 if word in _PASSWORD_WORDS else MIN_TOKEN_CHARS)
        is_near = value.start() - end <= _NET_CHARS and not _NO_NET.search(line, end, value.start() + start)
        if is_long and is_near and is_random(drawn) and is_drawn_word(drawn):
            return "value of a secret's name"
    return None


def _is_caught(line: str, name: re.Match[str]) -> bool:
    """Whether the net takes what stands behind a name: it is a whole name of a secret, and no word of the code."""
    word = name.group().lower()
    is_name = word not in ("key", *_SHORT_PASSWORD_WORDS) and not _NO_VALUE.match(line, name.end())
    is_name = is_name and not is_drawn_word(_whole_name(line, name))
    return is_name and not _is_no_secret(line, name)


def _is_no_secret(line: str, name: re.Match[str]) -> bool:
    """Whether a name that holds no word of passwords is that of something else."""
    word = name.group().lower()
    if word in _ALWAYS_SECRET:
        return False
    before = line[max(0, name.start() - _MAX_BEFORE_CHARS) : name.start()]
    return bool(
        (word == "token" and _NO_TOKEN.match(line, name.end()))
        or _PUBLIC.search(before)
        or (word in ("key", "token") and _CHECKSUM.search(before))
        or _NO_SECRET_END.match(line, name.end())
    )


def _values_of(
    line: str, name: re.Match[str], *, has_default: bool, has_else: bool, has_field: bool
) -> Iterator[tuple[str, Callable[[str], bool]]]:
    """Yield what may be a name's value, each with what says whether it is a password."""
    end = name.end()
    if quoted := _QUOTED_VALUE.match(line, end) or (_FIELD_VALUE.match(line, end) if has_field else None):
        is_cut = quoted["cut"] is not None or quoted["cut2"] is not None
        yield quoted[1] or quoted[4], is_random if is_cut else is_strong_password
    elif (
        name.start() < _MAX_NAME_START_CHARS
        and _BARE_NAME_START.match(line[: name.start()])
        and (bare := _BARE_VALUE.match(line, end))
    ):
        yield bare[1], is_random if bare["cut"] is not None else is_bare_password
    elif name.group().lower() != "key" and (member := _BARE_MEMBER.match(line, end)):
        yield from ((one, is_bare_password) for one in (member[2] or member[1],) if member[2] or is_drawn_word(one))
    if has_default and (default := _DEFAULT_VALUE.match(line, end)):
        before = line[max(0, name.start() - _MAX_REFERENCE_CHARS) : name.start()]
        if "${" in line[end : default.start(1)] or _REFERENCE_START.search(before):
            yield default[1], is_used_literal
    if has_else:
        yield from ((value, is_used_literal) for value in _alternatives(line, end) if "://" not in value)


def _alternatives(line: str, start: int) -> Iterator[str]:
    """Yield the literals behind a name that are used if something else is missing, or is false."""
    position = start
    for _ in range(_MAX_BRANCHES):
        found = _ELSE_VALUE.match(line, position)
        if found is None:
            return
        operator = found[1].strip()
        is_lone_colon = operator == ":" and "?" not in line[start : found.start(1)]
        if operator not in _OF_BRANCHES or (_IS_SET.match(line, start) and not is_lone_colon):
            yield found[3]
        position = found.end()


def names_in(line: str) -> Iterator[str]:
    """The whole names in a line."""
    yield from (_whole_name(line, name) for name in _NAME.finditer(line))


def names_of_open_values(line: str) -> Iterator[str]:
    """The whole names in a line whose value begins on the next one."""
    for name in _NAME.finditer(line):
        if _OPEN_VALUE.match(line, name.end()) or _OPEN_ELSE.match(line, name.end()):
            yield _whole_name(line, name)


def _whole_name(line: str, part: re.Match[str]) -> str:
    start = part.start()
    while start > 0 and part.start() - start < 40 and (line[start - 1].isalnum() or line[start - 1] in "_-."):
        start -= 1
    end = part.end()
    while end < len(line) and end - part.end() < 40 and (line[end].isalnum() or line[end] in "_-"):
        end += 1
    return line[start:end]
