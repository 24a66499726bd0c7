"""Secrets as their issuers make them: how a value of each form is drawn, and the lines in which it really stands.

The forms are the rows of `secret_forms.tsv`: group, name, draws, places. Written from the issuers' documentation and
from DER and JOSE, not from the filter's patterns, so that a count of what the filter finds can come out badly. A value
is drawn at run time and never written down, so that no scanner of pushed code takes these files for a leak.

A draw is text with fields in angle brackets: `<A:36>` are 36 characters of the alphabet A, `<A:8-16>` 8 to 16,
`<x|y>` is one of two, `<bytes:32>` 32 bytes in base64, `<@jwt>` what `_jwt` draws, `<url@…>` and `<base64@…>` encode
that, `<body@rsa>` and `<line@rsa>` are a key in base64, in lines of 64 or in one. In a place `{}` stands for the value,
`⏎` for a line's end, `{200b}` for that character; behind `∀` it stands for each line of a value.
"""

from __future__ import annotations

import base64
import json
import random
import re
import string
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.repository.secrets import remove_secrets

PLANTED = 200  # of each kind
# Keys and tokens; values under a secret's name in the forms of ten languages; passwords; other forms.
SHARE_NEEDED = {"keyed": 0.99, "named": 0.98, "password": 0.9, "rest": 0.9}

Draw = Callable[[random.Random], str]

_LOWER, _UPPER, _DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
_ALNUM = _LOWER + _UPPER + _DIGITS
_URL_SAFE, _BASE64, _HEX = _ALNUM + "-_", _ALNUM + "+/", _DIGITS + "abcdef"
_ALPHABETS: Final = {
    "A": _ALNUM,
    "a": _LOWER + _UPPER,
    "B": _BASE64,
    "C": _UPPER + _DIGITS,
    "32": _UPPER + "234567",
    "D": _DIGITS,
    "N": "123456789",
    "E": _ALNUM + "-_=",
    "H": _HEX,
    "L": _LOWER,
    "l": _LOWER + _DIGITS,
    "P": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",  # of Bech32
    "S": _ALNUM + "!@#$%^&*()-_ []{}<>~`+=,.;:/?|",  # of WordPress
    "T": _ALNUM + "-_~.",
    "U": _URL_SAFE,
    "django": _LOWER + _DIGITS + "!@#$%^&*(-_=+)",  # what `startproject` draws from
}
_NAMED_PLACES: Final = {
    "@token": 'VALUE = "{}" ¦ export SERVICE={} ¦   value: {} ¦ {"service": {"id": "{}"}} ¦ '
    "client = connect('{}', timeout=3) ¦ # {}",
    "@header": "curl -H 'X-Api-Key: {}' https://api.company.io/v1 ¦ curl -H \"X-Auth-Token: {}\" x ¦ X-Api-Key: {} ¦ "
    '{"X-Api-Key": "{}"} ¦ req.Header.Set("X-Api-Key", "{}") ¦ '
    "wget --header='Private-Token: {}' https://git.company.io/x.tar ¦ "
    'command = "curl -H \\"Ocp-Apim-Subscription-Key: {}\\" x" ¦ http GET api.company.io X-Api-Key:{}',
}
_FIELD = re.compile(r"<([^<>\n]*)>")
_CHARACTER = re.compile(r"\{([0-9a-f]{2,4})\}")


@dataclass(frozen=True, kw_only=True)
class SecretKind:
    """One kind of secret: how a value is drawn, and the texts around it."""

    name: str
    group: str  # of SHARE_NEEDED
    draw: Draw
    places: tuple[str, ...]  # `{}` is the value


@dataclass(frozen=True, kw_only=True)
class PlantedSecret:
    """A text that holds one secret, and the parts of it of which none may be left."""

    text: str
    parts: tuple[str, ...]


def plant(kind: SecretKind, count: int, seed: int = 0) -> Iterator[PlantedSecret]:
    """`count` values of a kind, one after the other in each of its places, between lines that hold none."""
    rng = random.Random(f"{kind.name}{seed}")
    for number in range(count):
        value = kind.draw(rng)
        place = kind.places[number % len(kind.places)]
        parts = tuple(value.split("\n"))
        lines = "\n".join(place[1:].replace("{}", part) for part in parts) if place[0] == "∀" else ""
        yield PlantedSecret(text=f"first = 1\n{lines or place.replace('{}', value)}\nlast = 2\n", parts=parts)


def count_found(kind: SecretKind, seed: int = 0) -> int:
    """Return how many of PLANTED values leave no part behind."""
    cleaned = ((remove_secrets(one.text).text, one.parts) for one in plant(kind, PLANTED, seed))
    return sum(not any(part in text for part in parts) for text, parts in cleaned)


def _chars(alphabet: str, count: int, longest: int | None = None) -> Draw:
    return lambda rng: "".join(rng.choices(alphabet, k=rng.randint(count, longest or count)))


def _bytes_in_base64(rng: random.Random, count: int) -> str:
    return base64.b64encode(rng.randbytes(count)).decode()


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(bytes=rng.randbytes(16), version=4))


def _jwt(rng: random.Random) -> str:
    claims = [
        {"alg": rng.choice(["HS256", "RS256"]), "typ": "JWT"},
        {"sub": _chars(_DIGITS, 10)(rng), "iat": rng.randrange(10**9)},
    ]
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in claims]
    return ".".join([*parts, _chars(_URL_SAFE, 43)(rng)])


def _discord_token(rng: random.Random) -> str:
    user = base64.urlsafe_b64encode(_chars("123456789", 17, 19)(rng).encode()).decode().rstrip("=")
    return f"{user}.{_chars(_URL_SAFE, 6)(rng)}.{_chars(_URL_SAFE, 27, 38)(rng)}"


def _sentry_token(rng: random.Random) -> str:
    claims = json.dumps({"iat": rng.random() * 2e9, "url": "https://sentry.io", "org": _chars(_LOWER, 8)(rng)})
    return f"sntrys_{base64.b64encode(claims.encode()).decode()}_{_bytes_in_base64(rng, 32).rstrip('=')}"


def _grafana_cloud_token(rng: random.Random) -> str:
    claims = json.dumps(
        {"o": _chars(_DIGITS, 6)(rng), "n": "publisher", "k": _chars(_ALNUM, 24)(rng), "m": {"r": "eu"}}
    )
    return f"glc_{base64.b64encode(claims.encode()).decode()}"


def _bedrock_key(rng: random.Random) -> str:
    name = f"BedrockAPIKey-{_chars(_LOWER + _DIGITS, 4)(rng)}-at-{_chars(_DIGITS, 12)(rng)}:"
    return "ABSK" + base64.b64encode(name.encode() + _chars(_BASE64, 60)(rng).encode()).decode()


def _service_account(rng: random.Random) -> str:
    """As Google writes it, in base64."""
    key = f"-----BEGIN PRIVATE KEY-----\n{_bytes_in_base64(rng, 1218)}\n-----END PRIVATE KEY-----\n"
    content = {
        "type": "service_account",
        "project_id": _chars(_LOWER, 12)(rng),
        "private_key_id": _chars(_HEX, 40)(rng),
        "private_key": key,
        "client_email": "app@company.iam.gserviceaccount.com",
        "client_id": _chars(_DIGITS, 21)(rng),
    }
    return base64.b64encode(json.dumps(content, indent=2).encode()).decode()


_KEY_FALLBACK_PLACES: Final = (
    "jwt.sign(payload, process.env.JWT_SECRET || '{}')",
    'const apiKey = process.env.API_KEY ?? "{}";',
    'SECRET_KEY = os.environ.get("APP_SECRET") or "{}"',
    'SECRET_KEY = os.getenv("APP_SECRET", "") or "{}"',
    "'token' => env('API_TOKEN') ?: '{}',",
    'api_key = key_of(env) if env else "{}"',
    "const token = isLocal ? readToken() : '{}';",
    'val apiKey = System.getenv("API_KEY") ?: "{}"',
    'let api_key = env::var("API_KEY").unwrap_or("{}".to_string());',
    '  secret: process.env.SESSION_SECRET ||\n    "{}",',
    "const secret = process.env.SESSION_SECRET\n  || '{}';",
    'SECRET_KEY = (\n    os.environ.get("SECRET_KEY")\n    or "{}"\n)',
)
_HEADER_PLACES: Final = (
    "curl -H 'X-Api-Key: {}' https://api.company.io/v1",
    'curl -s -H "X-Auth-Token: {}" x',
    "X-Api-Key: {}",
    '{"X-Api-Key": "{}"}',
    'req.Header.Set("X-Api-Key", "{}")',
    "wget --header='Private-Token: {}' https://git.company.io/x.tar",
    'command = "curl -H \\"Ocp-Apim-Subscription-Key: {}\\" x"',
    "http GET api.company.io X-Api-Key:{}",
)


# Private keys: real DER with drawn numbers (not primes: no reader of a line could tell).
def _der(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([129, size]) if size < 256 else bytes([130, size >> 8, size & 255])
    return bytes([tag]) + length + content


def _integer(rng: random.Random, size: int) -> bytes:
    return _der(2, b"\0", bytes([rng.randrange(128, 256)]), rng.randbytes(size - 1))


def _rsa(rng: random.Random) -> bytes:
    size = rng.choice([128, 256, 384, 512])
    numbers = [_integer(rng, size), _der(2, b"\x01\0\x01"), _integer(rng, size)]
    return _der(48, _der(2, b"\0"), *numbers, *(_integer(rng, size // 2) for _ in range(5)))


def _ec(rng: random.Random) -> bytes:
    size, curve = rng.choice([(32, "2a8648ce3d030107"), (48, "2b81040022"), (66, "2b81040023")])
    named = _der(0xA0, _der(6, bytes.fromhex(curve)))
    public = _der(0xA1, _der(3, b"\0\x04" + rng.randbytes(2 * size)))
    return _der(48, _der(2, b"\x01"), _der(4, rng.randbytes(size)), named, public)


def _pkcs8(rng: random.Random) -> bytes:
    algorithm, key = rng.choice(
        [
            (_der(48, _der(6, bytes.fromhex("2a864886f70d010101")), b"\x05\0"), _rsa(rng)),
            (_der(48, _der(6, bytes.fromhex("2b6570"))), _der(4, rng.randbytes(32))),
            (
                _der(48, _der(6, bytes.fromhex("2a8648ce3d0201")), _der(6, bytes.fromhex("2a8648ce3d030107"))),
                _der(
                    48, _der(2, b"\x01"), _der(4, rng.randbytes(32)), _der(0xA1, _der(3, b"\0\x04" + rng.randbytes(64)))
                ),
            ),
        ]
    )
    return _der(48, _der(2, b"\0"), algorithm, _der(4, key))


def _encrypted_pkcs8(rng: random.Random) -> bytes:
    derivation = _der(
        48,
        _der(6, bytes.fromhex("2a864886f70d01050c")),
        _der(
            48,
            _der(4, rng.randbytes(8)),
            _der(2, b"\x08\0"),
            _der(48, _der(6, bytes.fromhex("2a864886f70d0209")), b"\x05\0"),
        ),
    )
    cipher = _der(48, _der(6, bytes.fromhex("60864801650304012a")), _der(4, rng.randbytes(16)))
    algorithm = _der(48, _der(6, bytes.fromhex("2a864886f70d01050d")), _der(48, derivation, cipher))
    return _der(48, algorithm, _der(4, rng.randbytes(rng.choice([128, 640, 1232]))))


def _openssh(rng: random.Random) -> bytes:
    def field(content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + content

    public = field(field(b"ssh-ed25519") + field(rng.randbytes(32)))
    return (
        b"openssh-key-v1\0"
        + field(b"none")
        + field(b"none")
        + field(b"")
        + b"\0\0\0\x01"
        + public
        + field(rng.randbytes(136))
    )


def _wrap(encoded: str, width: int) -> str:
    return "\n".join(encoded[start : start + width] for start in range(0, len(encoded), width))


def _pem_in_base64(rng: random.Random) -> str:
    label, make = rng.choice(
        [
            ("RSA PRIVATE KEY", _rsa),
            ("EC PRIVATE KEY", _ec),
            ("PRIVATE KEY", _pkcs8),
            ("ENCRYPTED PRIVATE KEY", _encrypted_pkcs8),
            ("OPENSSH PRIVATE KEY", _openssh),
        ]
    )
    body = _wrap(base64.b64encode(make(rng)).decode(), 64)
    return base64.b64encode(f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode()).decode()


def _wrapped_pem_in_base64(rng: random.Random) -> str:
    return _wrap(_pem_in_base64(rng), 76)


# A part of BIP-39's list.
_SEED_WORDS: Final = (
    *("abandon", "absorb", "acid", "across", "adapt", "advice", "afford", "airport", "album", "alien", "alpha"),
    *("amused", "ancient", "ankle", "apology", "arena", "artist", "athlete", "autumn", "awake", "bacon"),
    *("balcony", "banana", "basket", "bicycle", "blossom", "border", "bracket", "bridge", "bubble", "cabbage"),
    *("cactus", "canyon", "cat", "casino", "cereal", "cherry", "cinnamon", "clarify", "coconut", "copper"),
    *("couple", "cricket", "curtain", "dad", "decade", "dentist", "dilemma", "dog", "donkey", "drama", "eagle"),
    *("elbow", "embark", "engine", "evoke", "fabric", "fox", "galaxy", "ghost", "glove", "hamster", "humble"),
    *("icon", "jelly", "kit", "legal", "lunar", "matrix", "nasty", "oak", "orbit", "panda", "quantum", "ritual"),
    *("sausage", "spatial", "thank", "toe", "useful", "velvet", "wave", "worth", "zebra"),
)


def _pem(rng: random.Random) -> str:
    body = _wrap(base64.b64encode(_pkcs8(rng)).decode(), 64)
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"


_WORDS: Final = (
    *("sunshine", "dragon", "monkey", "winter", "summer", "purple", "tiger", "falcon", "copper", "garden", "shadow"),
    *("banana", "rocket", "silver", "forest", "coffee", "madrid", "oslo", "kitten", "hockey", "guitar", "pepper"),
)


def _worded(rng: random.Random) -> str:
    word = rng.choice(_WORDS)
    word = rng.choice([word, word.capitalize(), word.replace("o", "0").replace("e", "3")])
    digits = str(rng.choice([rng.randrange(10, 100), rng.randrange(1950, 2027)]))
    password = word + digits + rng.choice(["", rng.choice("!#$@*?."), rng.choice("!#$@")])
    return password.ljust(8, rng.choice(_DIGITS))[:16]


def _mixed(rng: random.Random, alphabet: str, shortest: int) -> str:
    """As a password manager draws: a letter of each case and a digit at least."""
    while True:
        password = _chars(alphabet, shortest, 16)(rng)
        if all(any(map(is_kind, password)) for is_kind in (str.islower, str.isupper, str.isdigit)):
            return password


def _alnum(rng: random.Random) -> str:
    return _mixed(rng, _ALNUM, 8)


def _symbol(rng: random.Random) -> str:
    return _mixed(rng, _ALNUM + "!@#$%^&*", 10)  # those that password managers offer


def _long(rng: random.Random) -> str:
    return _mixed(rng, _ALNUM, 12)


def _punctuated(rng: random.Random) -> str:
    """With any printing character of ASCII but quotes and the backslash, blanks within."""
    password = _mixed(rng, _ALNUM + "".join(sorted(set(string.punctuation) - set("\"'`\\"))) + " ", 12)
    return password if password.strip() == password else _punctuated(rng)


def _slashed(rng: random.Random) -> str:
    """Base64 of 9 to 12 bytes, as `openssl rand -base64` gives: with `/` or `+` in it."""
    while True:
        password = _bytes_in_base64(rng, rng.randint(9, 12)).rstrip("=")
        if "/" in password:
            return password


def _in_query(rng: random.Random) -> str:
    return urllib.parse.quote(_symbol(rng), safe="!$*")


def _basic(rng: random.Random) -> str:
    return base64.b64encode(f"ada:{_chars(_ALNUM, 12, 20)(rng)}".encode()).decode()


def _seed_phrase(rng: random.Random) -> str:
    return " ".join(rng.choices(_SEED_WORDS, k=rng.choice((12, 24))))


def _field(written: str, rng: random.Random) -> str:
    """What one field of a draw gives."""
    if written.startswith("bytes:"):
        least, _, most = written[6:].partition("-")
        return _bytes_in_base64(rng, rng.randint(int(least), int(most or least)))
    encoding, at, name = written.partition("@")
    if at:
        if encoding in ("body", "line"):
            encoded = base64.b64encode(globals()[f"_{name}"](rng)).decode()
            return _wrap(encoded, 64) if encoding == "body" else encoded
        value: str = _field(name, rng) if ":" in name else globals()[f"_{name}"](rng)
        if encoding == "base64":
            return base64.b64encode(value.encode()).decode()
        return urllib.parse.quote(value, safe="!$&*+,;=" if ":" not in name else "") if encoding == "url" else value
    alphabet, colon, count = written.partition(":")
    if not colon:
        return rng.choice(written.split("|"))
    least, _, most = count.partition("-")
    return _chars(_ALPHABETS[alphabet], int(least), int(most or least))(rng)


def _draw(written: str) -> Draw:
    return lambda rng: _FIELD.sub(lambda field: _field(field[1], rng), written)


def _text(written: str) -> str:
    return _CHARACTER.sub(lambda found: chr(int(found[1], 16)), written.replace("⏎", "\n"))


def _read_kinds() -> Iterator[SecretKind]:
    for row in (Path(__file__).parent / "secret_forms.tsv").read_text("utf-8").splitlines():
        group, name, draws, places = row.split("\t")
        listed = tuple(map(_text, _NAMED_PLACES.get(places, places).split(" ¦ ")))
        for draw in draws.split(" ¦ "):
            suffix = f", {draw.strip('<>').rpartition('@')[2]}" if " ¦ " in draws else ""
            yield SecretKind(name=name + suffix, group=group, draw=_draw(_text(draw)), places=listed)


KINDS: Final = tuple(_read_kinds())
