"""Lines that look like secrets: keys, tokens, passwords. The corpus leaves them out, so that no model learns one.

It covers one line at a time (`find_secrets`) and whole texts (`remove_secrets`, which also sees private key blocks and
a value on the line below its name). Standard library only, since the server asks it about completions. It errs towards
keeping a line: placeholders, look-ups in the environment and words are no secrets, and a password that is one plain
word is not found. Token forms are those that their issuers document.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class _TokenForm:
    """A token that its form alone gives away."""

    kind: str
    leads: tuple[str, ...]  # one of them is in every match: asked first, since it is many times faster than the pattern
    pattern: re.Pattern[str]


def _form(kind: str, leads: str, pattern: str) -> _TokenForm:
    # Not within a word, as in "disk-…", but after a line end that is written out.
    start = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
    return _TokenForm(kind=kind, leads=tuple(leads.split()), pattern=re.compile(rf"{start}(?:{pattern})"))


_TOKEN_FORMS: tuple[_TokenForm, ...] = (
    _form("AWS key", "AKIA ASIA ABIA ACCA", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    _form("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _form("GitHub token", "github_pat_", r"github_pat_\w{22,255}"),
    _form("GitLab token", "glpat- gldt- glrt- glcbt- glptt- gloas-", r"gl(?:pat|dt|rt|cbt|ptt|oas)-[\w.-]{20,300}"),
    _form("Slack token", "xox xapp-", r"(?:xox[abeoprs](?:\.xox[bp])?|xapp)-[A-Za-z0-9-]{10,250}"),
    _form("Slack webhook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{20,100}"),
    _form("Stripe key", "k_live_ k_test_ whsec_", r"(?:[srp]k_(?:live|test)_|whsec_)[A-Za-z0-9]{16,250}"),
    _form("Anthropic key", "sk-ant-", r"sk-ant-[\w-]{20,250}"),
    _form("OpenAI key", "sk-", r"sk-(?:proj|svcacct|admin|or-v1|None)-[\w-]{20,250}"),
    _form("OpenAI key", "sk-", r"sk-(?=[A-Za-z]{0,31}\d)[A-Za-z0-9]{32,64}\b"),
    _form("Google key", "AIza", r"AIza[\w-]{35}"),
    _form("Google key", "ya29. GOCSPX-", r"(?:ya29\.[\w-]{20,250}|GOCSPX-[\w-]{28})"),
    _form("npm token", "npm_", r"npm_[A-Za-z0-9]{36}\b"),
    _form("npm token", ":_authToken=", r":_authToken=(?!\$)[\w./+=-]{20,250}"),
    _form("PyPI token", "pypi-AgE", r"pypi-AgE[\w-]{50,500}"),
    _form("Hugging Face token", "hf_", r"hf_[A-Za-z0-9]{34}\b"),
    _form("SendGrid key", "SG.", r"SG\.[\w-]{20,24}\.[\w-]{39,50}"),
    _form("Twilio key", "SK", r"SK[0-9a-f]{32}\b"),
    _form("DigitalOcean token", "do", r"do[opr]_v1_[0-9a-f]{64}\b"),
    _form("Docker token", "dckr_", r"dckr_[po]at_[\w-]{27,64}"),
    _form("Databricks token", "dapi", r"dapi[0-9a-f]{32}(?:-\d)?\b"),
    _form("Shopify token", "shp", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b"),
    _form("Telegram token", ":AA", r"(?:bot)?\d{8,10}:AA[\w-]{33}\b"),
    _form("Azure key", "AccountKey= SharedAccessKey=", r"(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,100}={0,2}"),
    _form("age key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    _form("Azure key", "8Q~ 7Q~", r"[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{30,38}"),  # a client secret
    _form("Azure key", "sig=", r"sig=[A-Za-z0-9%+/]{40,120}(?:%3D|=){0,2}"),  # a shared access signature
    _form("Vault token", "hvs. hvb.", r"hv[sb]\.[\w-]{24,300}"),
    _form("Terraform token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,80}"),
    _form("Grafana token", "glsa_ glc_", r"gl(?:sa|c)_[A-Za-z0-9+/=_]{32,400}"),
    _form("Discord token", ".", r"[MNO][A-Za-z\d_-]{23,27}\.[A-Za-z\d_-]{6}\.[A-Za-z\d_-]{27,38}\b"),
    _form("Groq key", "gsk_", r"gsk_[A-Za-z0-9]{48,60}\b"),
    _form("xAI key", "xai-", r"xai-[A-Za-z0-9]{60,100}\b"),
    _form("Perplexity key", "pplx-", r"pplx-[A-Za-z0-9]{40,60}\b"),
    _form("Replicate token", "r8_", r"r8_[A-Za-z0-9]{37}\b"),
    _form("Supabase token", "sbp_ sb_secret_", r"(?:sbp_[0-9a-f]{40}|sb_secret_[\w-]{20,60})"),
    _form("Linear key", "lin_api_", r"lin_api_[A-Za-z0-9]{32,48}"),
    _form("Notion token", "ntn_ secret_", r"(?:ntn_[A-Za-z0-9]{40,60}|secret_[A-Za-z0-9]{43})\b"),
    _form("Figma token", "figd_", r"figd_[\w-]{32,60}"),
    _form("Postman key", "PMAK-", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}\b"),
    _form("New Relic key", "NRAK- NRJS- NRII-", r"NR(?:AK|JS|II)-[A-Z0-9]{19,32}"),
    _form("Sentry token", "sntrys_ sntryu_", r"sntry[su]_[A-Za-z0-9+/=_]{40,300}"),
    _form("Atlassian token", "ATATT3 ATCTT3", r"AT[AC]TT3[\w=-]{60,300}"),
    _form("Mailgun key", "key-", r"key-[0-9a-f]{32}\b"),
    _form("Square token", "sq0 EAAA", r"(?:sq0(?:atp|csp)-[\w-]{22,43}|EAAA[\w-]{60})"),
    _form("JWT", "eyJ", r"(?:(?<![_-])eyJ[\w-]{8,4000}+|eyJ[\w-]{8,400}+)\.eyJ[\w-]{8}"),
)

_AWS_SECRET = re.compile(r"(?i)aws.{0,30}?(?:secret|key).{0,30}?[\"'=:\s]([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])")

_PRIVATE_KEY = "private key"
# PEM, PGP and SSH; or PuTTY's, which ends with a signature.
_KEY_BLOCK_START = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d")
_KEY_BLOCK_END = re.compile(r"-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|Private-MAC:")
_KEY_BLOCK_LINES = 250  # an RSA key of 16,384 bits has about 200
# A line of the body, quoted, commented or joined as programming languages do: base64, or a header of PEM.
_KEY_BODY_WRAP = " \t#*/>|\"'`+(,;)b"
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=]{40,}(?:\\[rn])*|(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset):.*|")

_URL_PASSWORD = re.compile(
    r"[a-z][a-z0-9+.-]{1,20}://([^\s:/?#@\"'<>]{0,100}):([^\s/?#@\"'<>]{1,200})@([\w.-]+|\[[\da-f:]+\])"
)
_PLAIN_PASSWORDS = frozenset(
    {"pass", "pw", "pwd", "password", "passwd", "passw0rd", "secret", "user", "username", "token", "key", "abc", "xyz"}
)

_AUTH_HEADER = re.compile(r"(?i)\b(basic|bearer|token)\s+([A-Za-z0-9+/=_.~-]{8,2000})")

# `.netrc`, and connection strings: "Server=…;Password=…;".
_NETRC_PASSWORD = re.compile(
    r"(?i)(?:^\s{0,40}|\b(?:login|user|account)\s{1,8}\S{1,200}\s{1,8})password\s{1,8}([^\s\"'`,;(){}]{6,200})"
    r"\s{0,8}(?:$|#|account\b|machine\b)"
)
_CONNECTION_PASSWORD = re.compile(r"(?i)[;\"'`]\s{0,4}(?:password|pwd)\s{0,4}=\s{0,4}([^\s;\"'`<>{}$%]{6,200})")
# A line of a Docker configuration: user and password in base64.
_DOCKER_AUTH = re.compile(r"(?i)[\"']auth[\"']\s{0,8}:\s{0,8}[\"']([A-Za-z0-9+/]{12,2000}={0,2})[\"']")

_PASSWORD_WORDS = (
    *("password", "passwd", "passphrase", "pwd", "passwort", "kennwort", "motdepasse", "mot_de_passe", "contraseña"),
    *("contrasena", "senha", "wachtwoord", "hasło", "haslo", "parola"),
)
_SECRET_WORDS = (
    *("secret", "token", "credential", "api_key", "apikey", "api-key", "private_key", "privatekey", "access_key"),
    *("accesskey", "access-key", "auth_key", "authkey", "encryption_key", "signing_key", "account_key"),
)
_NAME = re.compile(
    rf"(?i)(?:{'|'.join((*_PASSWORD_WORDS, *_SECRET_WORDS))}|(?<![a-z])key(?![a-z])|(?-i:(?<=[a-z])Key\b))"
)
_NAME_LEADS = (*_PASSWORD_WORDS, "secret", "token", "credential", "key", "basic", "bearer", "auth")

# What may stand between a name and its value: the rest of the name, a closing quote or bracket, a type, an operator.
_JOIN = (
    r"[\w-]{0,40}+[\"'\]`)]{0,3}+(?:\s{0,8}+:[\w\[\]|. ]{1,40}+(?==))?+"
    r"\s{0,20}+(?::=|=>|\|\|=|\?\?=|=|:|,|\(|>)\s{0,20}+"
)
_QUOTED_VALUE = re.compile(_JOIN + r"(?:[\w.]{1,40}+\(\s{0,4}+)?+[bBrRuU@]{0,2}+([\"'`])((?:(?!\1)[^\s\\]){8,1000}+)\1")
_BARE_VALUE = re.compile(
    r"[\w.-]{0,40}+\s{0,8}+[=:>]\s{0,8}+([^\s\"'`()\[\]{},;<>$]{8,1000}+)\s{0,8}+(?:</[\w.-]{1,80}+>\s*+)?+(?:[#;].*)?$"
)
_BARE_NAME_START = re.compile(r"^\s*+(?:[#;/*-]++\s*+|export\s++|set\s++|ENV\s++|ARG\s++|<)?+[\w.-]*+$")
_MAX_NAME_START_CHARS = 200
_OPEN_VALUE = re.compile(_JOIN + r"(?:[\w.]{1,40}+\()?+\s*+[(\\]?+\s*+$")

_PLACEHOLDER = re.compile(
    r"""example | sample | dummy | fake | placeholder | change | replace | redacted | insert | default | foobar | lorem
      | your | xxx | \*\*\* | \.\.\. | todo | test | mock | password | passwd | secret | hunter2 | letmein | qwerty
      | ^pass | abc123 | 12345 | 0123 | abcd | 0000 | 1111 | aaaa | ^my[_-] | ^some | undefined""",
    re.VERBOSE | re.IGNORECASE,
)
# A reference to a value elsewhere, whatever else is there.
_REFERENCE = re.compile(
    r"""\$\{ | \$\(\w{1,80}+\) | ^\$\w*+$ | \{\{ | ^\{ | ^%\w{1,80}+%$ | %\(\w{1,80}+\)s | %s(?!\w) | ^<.*>$
      | ^none$ | ^null$ | environ | getenv | process\.env""",
    re.VERBOSE | re.IGNORECASE,
)
_NOT_SECRET_NAME = re.compile(
    r"(?i)public|sha\d+|md5|checksum|digest|csrf_?token_?name|token(?:izer|ize|_?type|_?url|_?uri|_?name|s?\b\s*\[)"
)
_HEX = re.compile(r"[0-9a-fA-F]+")
_TOKEN_CHARACTERS = re.compile(r"[A-Za-z0-9+/=_.~:!@#$%^&*()-]+")
_WORD = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}")
_FIVE_CONSONANTS = re.compile(r"(?i)[bcdfghjklmnpqrstvwxz]{5}")
_MIN_TOKEN_CHARS = 20  # shorter values of tokens and keys are names and identifiers as often as not
_MIN_KEY_CHARS = 32  # of a name that says "key" alone, which maps, sorts and caches have as well
_MIN_ENTROPY_BITS = 3.3  # a character; random base64 of 20 characters has about 4.1, English names about 3
_MIN_HEX_ENTROPY_BITS = 3.0  # at most 4


@dataclass(frozen=True, kw_only=True)
class CleanText:
    """A text without the lines that look like secrets, and how many went, by kind."""

    text: str
    removed_lines: Mapping[str, int]


def find_secrets(line: str) -> str | None:
    """The kind of secret that a line seems to hold, or None. The time is linear in the line's length."""
    return _find_in_line(line, _leads_in(line))


def blank_secrets(text: str) -> str:
    """The text with empty lines in the place of what `remove_secrets` removes, so that lines keep their numbers."""
    leads = _leads_in(text)
    if not leads:
        return text
    lines = text.split("\n")
    position = 0
    while position < len(lines):
        kind, count = _find_at(lines, position, leads)
        if kind is not None:
            lines[position : position + count] = [""] * min(count, len(lines) - position)
        position += count
    return "\n".join(lines)


def remove_secrets(text: str) -> CleanText:
    """Remove every line that looks like a secret, and private key blocks whole. Lines end in LF."""
    leads = _leads_in(text)
    if not leads:
        return CleanText(text=text, removed_lines={})
    kept: list[str] = []
    removed: Counter[str] = Counter()
    lines = text.split("\n")
    position = 0
    while position < len(lines):
        kind, count = _find_at(lines, position, leads)
        if kind is None:
            kept.append(lines[position])
        else:
            removed[kind] += count
        position += count
    return CleanText(text="\n".join(kept) if removed else text, removed_lines=dict(removed))


@dataclass(frozen=True, kw_only=True)
class _Leads:
    """What of all that can be found at all, given the strings that are there: most texts hold few of them."""

    forms: tuple[tuple[str, _TokenForm], ...]
    names: tuple[str, ...]  # lower case
    has_key_block: bool
    has_url: bool

    def __bool__(self) -> bool:
        return bool(self.forms or self.names or self.has_key_block or self.has_url)


def _leads_in(text: str) -> _Leads:
    lowered = text.lower()
    return _Leads(
        forms=tuple((lead, form) for form in _TOKEN_FORMS for lead in form.leads if lead in text),
        names=tuple(name for name in _NAME_LEADS if name in lowered),
        has_key_block="PRIVATE KEY" in text or "PuTTY-User-Key-File" in text,
        has_url="://" in text,
    )


def _find_in_line(line: str, leads: _Leads) -> str | None:
    for lead, form in leads.forms:
        if lead in line and form.pattern.search(line):
            return form.kind
    if leads.has_key_block and _KEY_BLOCK_START.search(line):
        return _PRIVATE_KEY
    if leads.has_url and "://" in line and any(map(_is_url_password, _URL_PASSWORD.finditer(line))):
        return "password in a URL"
    if leads.names:
        lowered = line.lower()
        for name in leads.names:
            if name in lowered:
                return _find_named(line)
    return None


def _find_named(line: str) -> str | None:
    """What a line holds that says in words what it is."""
    if _AWS_SECRET.search(line):
        return "AWS key"
    if _holds_auth_header(line):
        return "authorization header"
    if any(map(_is_basic_credential, _DOCKER_AUTH.findall(line))):
        return "registry password"
    for pattern in (_NETRC_PASSWORD, _CONNECTION_PASSWORD):
        if any(map(_is_used_password, pattern.findall(line))):
            return "password"
    return _find_assigned(line)


def _find_at(lines: list[str], position: int, leads: _Leads) -> tuple[str | None, int]:
    """The kind of secret that starts at a line, and how many lines it takes; (None, 1) where none does."""
    line = lines[position]
    kind = _find_in_line(line, leads)
    if kind == _PRIVATE_KEY:
        return kind, _key_block_length(lines, position)
    if kind is None and position + 1 < len(lines) and line.rstrip().endswith(("=", "(", "\\", ":")):
        for name in _NAME.finditer(line):
            if _OPEN_VALUE.match(line, name.end()):
                kind = find_secrets(f"{_whole_name(line, name)} = {lines[position + 1].strip()}")
                if kind is not None:
                    return kind, 2
    return kind, 1


def _key_block_length(lines: list[str], start: int) -> int:
    """How many lines a private key block takes. Without an end it must not take the code below with it."""
    for end in range(start, min(start + _KEY_BLOCK_LINES, len(lines))):
        if _KEY_BLOCK_END.search(lines[end]):
            return end - start + 1
        if end > start and _KEY_BLOCK_START.search(lines[end]):
            break
    end = start + 1
    while end < len(lines) and _KEY_BODY.fullmatch(lines[end].strip(_KEY_BODY_WRAP)):
        end += 1
    return end - start


def _is_url_password(match: re.Match[str]) -> bool:
    user, password, host = match.groups()
    if _is_placeholder(password) or password.lower() in _PLAIN_PASSWORDS or password == user:
        return False
    if host.lower() in ("localhost", "127.0.0.1", "host", "hostname") or "example" in host.lower():
        return _entropy_bits(password) * len(password) > 28 and is_random(password)
    return not (set(password) & set("{}[]()|\\*")) and len(password) >= 4


def _holds_auth_header(line: str) -> bool:
    for match in _AUTH_HEADER.finditer(line):
        scheme, value = match.groups()
        if scheme.lower() == "basic":
            if _is_basic_credential(value):
                return True
        elif len(value) >= _MIN_TOKEN_CHARS and is_random(value):
            return True
    return False


def _is_basic_credential(value: str) -> bool:
    try:
        user, colon, password = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    is_placeholder = _is_placeholder(password) or password.lower() in _PLAIN_PASSWORDS or password == user
    return bool(colon) and len(password) >= 4 and not is_placeholder


def _is_used_password(value: str) -> bool:
    """Whether a value that can only be a password looks like one in use: letters and digits at least."""
    is_mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return is_mixed and not _is_placeholder(value) and value.lower() not in _PLAIN_PASSWORDS


def _whole_name(line: str, part: re.Match[str]) -> str:
    start = part.start()
    while start > 0 and part.start() - start < 40 and (line[start - 1].isalnum() or line[start - 1] in "_-."):
        start -= 1
    end = part.end()
    while end < len(line) and end - part.end() < 40 and (line[end].isalnum() or line[end] in "_-"):
        end += 1
    return line[start:end]


def _find_assigned(line: str) -> str | None:
    """A literal that is assigned to a name which says what it is."""
    for name in _NAME.finditer(line):
        if _NOT_SECRET_NAME.search(_whole_name(line, name)):
            continue
        quoted = _QUOTED_VALUE.match(line, name.end())
        starts_line = name.start() < _MAX_NAME_START_CHARS and _BARE_NAME_START.match(line[: name.start()])
        bare = _BARE_VALUE.match(line, name.end()) if starts_line and not quoted else None
        value = quoted.group(2) if quoted else bare.group(1) if bare else ""
        word = name.group().lower()
        if word in _PASSWORD_WORDS:
            if is_strong_password(value) if quoted else len(value) >= 12 and is_random(value):
                return "password"
        elif len(value) >= (_MIN_KEY_CHARS if word == "key" else _MIN_TOKEN_CHARS) and is_random(value):
            return "secret value"
    return None


def _is_placeholder(value: str) -> bool:
    """Whether a value stands for another. Most of a random one is left when the words are taken out of it."""
    if _REFERENCE.search(value):
        return True
    core, count = _PLACEHOLDER.subn("", value)
    return count > 0 and (len(core) < 12 or 3 * len(core) < 2 * len(value) or not _looks_drawn(core))


def is_random(value: str) -> bool:
    """Whether a value looks drawn at random rather than written: no words, no placeholder, varied characters."""
    if _is_placeholder(value) or not _TOKEN_CHARACTERS.fullmatch(value):
        return False
    return _looks_drawn(value)


def _looks_drawn(value: str) -> bool:
    if not any(map(str.isdigit, value)) or not any(map(str.isalpha, value)):
        return False
    if _HEX.fullmatch(value):
        return _entropy_bits(value) >= _MIN_HEX_ENTROPY_BITS
    worded = sum(len(word) for word in _WORD.findall(value) if _is_pronounceable(word))
    return _entropy_bits(value) >= _MIN_ENTROPY_BITS and worded <= 0.5 * len(value)


def is_strong_password(value: str) -> bool:
    """Whether a literal of at least eight characters looks like a password in use rather than a stand-in."""
    if len(value) < 8 or _is_placeholder(value) or set(value) & set("{}<>()[] /"):
        return False
    kinds = (str.islower, str.isupper, str.isdigit, lambda character: not character.isalnum())
    return sum(any(map(kind, value)) for kind in kinds) >= 3 or (any(map(str.isdigit, value)) and is_random(value))


def _is_pronounceable(word: str) -> bool:
    vowels = sum(character in "aeiouyAEIOUY" for character in word)
    return vowels * 5 >= len(word) and not _FIVE_CONSONANTS.search(word)


def _entropy_bits(value: str) -> float:
    """Shannon entropy of the characters, bits a character."""
    counts = Counter(value)
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
