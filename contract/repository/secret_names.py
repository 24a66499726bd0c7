"""Values that a name beside them gives away: `api_key = "…"`, `password: …`, and names whose value stands below.

The names are words of several languages. Every pattern takes linear time (`tests/attacks/test_slow_patterns.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from contract.repository.secret_values import is_bare_password, is_chosen_password, is_random, is_strong_password

_PASSWORD_WORDS = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "passwort", "kennwort", "motdepasse", "mot_de_passe"),
    *("contraseña", "contrasena", "senha", "wachtwoord", "hasło", "haslo", "parola", "пароль", "密码", "密碼", "口令"),
    *("パスワード", "비밀번호"),
)
_SECRET_WORDS_ELSEWHERE = ("токен", "секрет", "密钥", "密鑰", "令牌")
_SECRET_WORDS = (
    *("secret", "token", "credential", "api_key", "apikey", "api-key", "private_key", "privatekey", "access_key"),
    *("accesskey", "access-key", "auth_key", "authkey", "encryption_key", "signing_key", "account_key"),
    *_SECRET_WORDS_ELSEWHERE,
)
_SHORT_PASSWORD_WORDS = ("pass", "pw", "psk")  # parts of many words: alone, or as in "smtpPass"
_NAME = re.compile(
    rf"(?i)(?:{'|'.join((*_PASSWORD_WORDS, *_SECRET_WORDS))}|(?<![a-z])(?:key|pass|pw|psk)(?![a-z])"
    r"|(?-i:(?<=[a-z])(?:Key|Pass|Psk)\b))"
)
_OTHER_LEADS = ("secret", "token", "credential", "key", "basic", "bearer", "auth", *_SECRET_WORDS_ELSEWHERE)
NAME_LEADS = (*_PASSWORD_WORDS, *_SHORT_PASSWORD_WORDS, *_OTHER_LEADS)

# What may stand between a name and its value: the rest of the name, a closing quote or bracket, a type, an operator.
_JOIN = (
    r"[\w-]{0,40}+[\"'\]`)]{0,3}+(?:\s{0,8}+:[\w\[\]|. ]{1,40}+(?==))?+"
    r"\s{0,20}+(?::=|=>|\|\|=|\?\?=|=|:|,|\(|>)\s{0,20}+"
)
_QUOTED_VALUE = re.compile(
    _JOIN + r"(?:[\w.]{1,40}+\(\s{0,4}+)?+[bBrRuU@]{0,2}+"
    r"(?:(?:\"{3}|'{3})([^\"'\\]{8,1000}+)(?:[\"']|$)|([\"'`])((?:(?!\2)[^\\]|\\[^\s]){8,1000}+)\2)"
)
_BARE_VALUE = re.compile(
    r"[\w.-]{0,40}+\s{0,8}+[=:>]\s{0,8}+([^\s\"'`()\[\]{},;<>]{8,1000}+)\s{0,8}+(?:</[\w.-]{1,80}+>\s*+)?+(?:[#;].*)?$"
)
_BARE_NAME_START = re.compile(r"^\s*+(?:[#;/*-]++\s*+|export\s++|set\s++|ENV\s++|ARG\s++|<)?+[\w.-]*+$")
_MAX_NAME_START_CHARS = 200
# The value begins on the next line: behind an operator; or in a block, where it has no quotes of its own.
BLOCK_ENDS = ("|", "|-", "|+", ">", ">-", ">+", '"""', "'''", "`", '"""\\', "'''\\")
OPEN_ENDS = ("=", "(", "\\", ":", *BLOCK_ENDS)
_OPEN_VALUE = re.compile(_JOIN + r"(?:[\w.]{1,40}+\()?+\s*+(?:[(\\]|[|>][+-]?+|[bBrRuU]?+(?:\"{3}|'{3}|`)\\?+)?+\s*+$")

_ENDS_NAME = re.compile(r"[\d_]{0,4}(?![\w-])")
_NOT_SECRET_NAME = re.compile(
    r"(?i)public|sha\d+|md5|checksum|digest|csrf_?token_?name|token(?:izer|ize|_?type|_?url|_?uri|_?name|s?\b\s*\[)"
)
MIN_TOKEN_CHARS = 20  # shorter values of tokens and keys are names and identifiers as often as not
_MIN_CHARS = {"secret": 14, "key": 32}  # by the word; "key" alone is said of maps, sorts and caches as well


def find_assigned(line: str) -> str | None:
    """The kind of a literal that is assigned to a name which says what it is, or None."""
    for name in _NAME.finditer(line):
        if _NOT_SECRET_NAME.search(_whole_name(line, name)):
            continue
        quoted = _QUOTED_VALUE.match(line, name.end())
        starts_line = name.start() < _MAX_NAME_START_CHARS and _BARE_NAME_START.match(line[: name.start()])
        bare = _BARE_VALUE.match(line, name.end()) if starts_line and not quoted else None
        value = (quoted.group(1) or quoted.group(3)) if quoted else bare.group(1) if bare else ""
        word = name.group().lower()
        if word in _PASSWORD_WORDS or word in _SHORT_PASSWORD_WORDS:
            is_password = is_strong_password if quoted else is_bare_password
            if is_password(value) or (_ENDS_NAME.match(line, name.end()) and is_chosen_password(value)):
                return "password"
        elif len(value) >= _MIN_CHARS.get(word, MIN_TOKEN_CHARS):
            is_chosen = word == "secret" and value.isalnum() and _ENDS_NAME.match(line, name.end())
            if is_random(value) or (is_chosen and is_chosen_password(value)):
                return "secret value"
    return None


def names_of_open_values(line: str) -> Iterator[str]:
    """The whole names in a line whose value begins on the next one."""
    return (_whole_name(line, name) for name in _NAME.finditer(line) if _OPEN_VALUE.match(line, name.end()))


def _whole_name(line: str, part: re.Match[str]) -> str:
    start = part.start()
    while start > 0 and part.start() - start < 40 and (line[start - 1].isalnum() or line[start - 1] in "_-."):
        start -= 1
    end = part.end()
    while end < len(line) and end - part.end() < 40 and (line[end].isalnum() or line[end] in "_-"):
        end += 1
    return line[start:end]
