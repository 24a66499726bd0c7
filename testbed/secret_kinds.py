"""Secrets as their issuers make them: one generator a kind, and the lines in which such a value really stands.

Written from the issuers' documentation and from DER and JOSE, not from the filter's patterns, so that a count of what
the filter finds can come out badly. A value is drawn at run time and never written down, so that no scanner of pushed
code takes this file for a leak.
"""

from __future__ import annotations

import base64
import json
import random
import string
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from contract.repository.secrets import remove_secrets

PLANTED = 200  # of each kind
SHARE_NEEDED = {"keyed": 0.99, "password": 0.9}

Draw = Callable[[random.Random], str]

_LOWER, _UPPER, _DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
_ALNUM = _LOWER + _UPPER + _DIGITS
_URL_SAFE = _ALNUM + "-_"
_BASE64 = _ALNUM + "+/"
_HEX = _DIGITS + "abcdef"
_BECH32 = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"
_DJANGO = _LOWER + _DIGITS + "!@#$%^&*(-_=+)"  # what `startproject` draws from


@dataclass(frozen=True, kw_only=True)
class SecretKind:
    """One kind of secret: how a value is drawn, and the texts around it."""

    name: str
    group: str  # "keyed" or "password"
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
        line = kind.places[number % len(kind.places)].replace("{}", value)
        yield PlantedSecret(text=f"first = 1\n{line}\nlast = 2\n", parts=tuple(value.split("\n")))


def count_found(kind: SecretKind, seed: int = 0) -> int:
    """Return how many of PLANTED values leave no part behind."""
    cleaned = ((remove_secrets(one.text).text, one.parts) for one in plant(kind, PLANTED, seed))
    return sum(not any(part in text for part in parts) for text, parts in cleaned)


_TOKEN_PLACES: Final = (
    'VALUE = "{}"',
    "export SERVICE={}",
    "  value: {}",
    '{"service": {"id": "{}"}}',
    "client = connect('{}', timeout=3)",
    "# {}",
)


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


def _chars(alphabet: str, count: int, longest: int | None = None) -> Draw:
    return lambda rng: "".join(rng.choices(alphabet, k=rng.randint(count, longest or count)))


def _joined(*parts: str | Draw) -> Draw:
    return lambda rng: "".join(part if isinstance(part, str) else part(rng) for part in parts)


def _one_of(*parts: str) -> Draw:
    return lambda rng: rng.choice(parts)


def _bytes_in_base64(rng: random.Random, count: int) -> str:
    return base64.b64encode(rng.randbytes(count)).decode()


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(bytes=rng.randbytes(16), version=4))


def _token(name: str, *parts: str | Draw) -> SecretKind:
    """A token that says itself what it is."""
    return SecretKind(name=name, group="keyed", draw=_joined(*parts), places=_TOKEN_PLACES)


def _value(name: str, draw: Draw, *places: str) -> SecretKind:
    """A key that only its surroundings tell."""
    return SecretKind(name=name, group="keyed", draw=draw, places=places)


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


_TOKENS: Final = (
    _token("AWS access key id", _one_of("AKIA", "ASIA"), _chars(_UPPER + "234567", 16)),
    _token("AWS Bedrock", _bedrock_key),
    _token("GitHub classic", _one_of("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _chars(_ALNUM, 36)),
    _token("GitHub fine-grained", "github_pat_", _chars(_ALNUM, 22), "_", _chars(_ALNUM, 59)),
    _token("GitLab personal", "glpat-", _chars(_URL_SAFE, 20)),
    _token("GitLab routable", "glpat-", _chars(_URL_SAFE, 27, 60), ".", _chars(_HEX, 2), _chars(_LOWER + _DIGITS, 7)),
    _token("GitLab deploy, runner, feed, SCIM", _one_of("gldt-", "glrt-", "glft-", "glsoat-"), _chars(_URL_SAFE, 20)),
    _token("GitLab pipeline trigger", "glptt-", _chars(_HEX, 40)),
    _token("GitLab agent", "glagent-", _chars(_URL_SAFE, 50)),
    _token("GitLab runner registration", "GR1348941", _chars(_URL_SAFE, 20)),
    _token("Slack bot", "xoxb-", _chars(_DIGITS, 10, 13), "-", _chars(_DIGITS, 10, 13), "-", _chars(_ALNUM, 24)),
    _token("Slack app", "xapp-1-A", _chars(_UPPER + _DIGITS, 10), "-", _chars(_DIGITS, 13), "-", _chars(_HEX, 64)),
    _token(
        "Slack webhook",
        "https://hooks.slack.com/services/T",
        _chars(_UPPER + _DIGITS, 8, 10),
        "/B",
        _chars(_UPPER + _DIGITS, 8, 10),
        "/",
        _chars(_ALNUM, 24),
    ),
    _token("Stripe", _one_of("sk_live_", "rk_live_", "sk_test_"), _chars(_ALNUM, 24, 99)),
    _token("Stripe webhook", "whsec_", _chars(_ALNUM, 32)),
    _token("Anthropic", "sk-ant-api03-", _chars(_URL_SAFE, 93), "AA"),
    _token("OpenAI legacy", "sk-", _chars(_ALNUM, 20), "T3", "BlbkFJ", _chars(_ALNUM, 20)),
    _token("OpenAI project", "sk-proj-", _chars(_URL_SAFE, 74), "T3", "BlbkFJ", _chars(_URL_SAFE, 74)),
    _token("OpenRouter", "sk-or-v1-", _chars(_HEX, 64)),
    _token("Google API", "AIza", _chars(_URL_SAFE, 35)),
    _token("Google OAuth client", "GOCSPX-", _chars(_URL_SAFE, 28)),
    _token("npm", "npm_", _chars(_ALNUM, 36)),
    _token("PyPI", "pypi-AgEIcHlwaS5vcmc", _chars(_URL_SAFE, 120, 180)),
    _token("RubyGems", "rubygems_", _chars(_HEX, 48)),
    _token("Clojars", "CLOJARS_", _chars(_HEX, 60)),
    _token("Hugging Face", "hf_", _chars(_LOWER + _UPPER, 34)),
    _token("SendGrid", "SG.", _chars(_URL_SAFE, 22), ".", _chars(_URL_SAFE, 43)),
    _token("Brevo", "xkeysib-", _chars(_HEX, 64), "-", _chars(_ALNUM, 16)),
    _token("Twilio API key", "SK", _chars(_HEX, 32)),
    _token("DigitalOcean", "dop_v1_", _chars(_HEX, 64)),
    _token("Docker", "dckr_pat_", _chars(_URL_SAFE, 27)),
    _token("Databricks", "dapi", _chars(_HEX, 32)),
    _token("Shopify", _one_of("shpat_", "shpss_"), _chars(_HEX, 32)),
    _token("Telegram", _chars("123456789", 8, 10), ":AA", _chars(_URL_SAFE, 33)),
    _token("Discord bot", _discord_token),
    _token(
        "Discord webhook", "https://discord.com/api/webhooks/", _chars("123456789", 18, 19), "/", _chars(_URL_SAFE, 68)
    ),
    _token("Azure storage", "AccountKey=", lambda rng: _bytes_in_base64(rng, 64)),
    _token("Azure client secret", _chars(_ALNUM, 3), _one_of("7Q~", "8Q~"), _chars(_ALNUM + "-_~.", 34)),
    _token("age", "AGE-SECRET-KEY-1", _chars(_BECH32, 58)),
    _token("Vault", "hvs.CAES", _chars(_URL_SAFE, 88, 100)),
    _token("Terraform Cloud", _chars(_ALNUM, 14), ".atlasv1.", _chars(_ALNUM, 67)),
    _token("Pulumi", "pul-", _chars(_HEX, 40)),
    _token("Doppler", "dp.pt.", _chars(_ALNUM, 43)),
    _token("Grafana service account", "glsa_", _chars(_ALNUM, 32), "_", _chars(_HEX, 8)),
    _token("Grafana Cloud", _grafana_cloud_token),
    _token("Groq", "gsk_", _chars(_ALNUM, 52)),
    _token("xAI", "xai-", _chars(_ALNUM, 80)),
    _token("Perplexity", "pplx-", _chars(_ALNUM, 48)),
    _token("NVIDIA", "nvapi-", _chars(_URL_SAFE, 64)),
    _token("Replicate", "r8_", _chars(_ALNUM, 37)),
    _token("LangSmith", "lsv2_pt_", _chars(_HEX, 32), "_", _chars(_HEX, 10)),
    _token("Supabase", "sbp_", _chars(_HEX, 40)),
    _token("PlanetScale", _one_of("pscale_tkn_", "pscale_pw_"), _chars(_URL_SAFE, 43)),
    _token("Fly.io", "fm2_", _chars(_BASE64, 120, 200)),
    _token("Heroku", "HRKU-AA", _chars(_URL_SAFE, 58)),
    _token("Linear", "lin_api_", _chars(_ALNUM, 40)),
    _token("Notion", "ntn_", _chars(_DIGITS, 11), _chars(_ALNUM, 35)),
    _token("Figma", "figd_", _chars(_URL_SAFE, 40)),
    _token("Airtable", "pat", _chars(_ALNUM, 14), ".", _chars(_HEX, 64)),
    _token("Postman", "PMAK-", _chars(_HEX, 24), "-", _chars(_HEX, 34)),
    _token("New Relic", "NRAK-", _chars(_UPPER + _DIGITS, 27)),
    _token("Dynatrace", "dt0c01.", _chars(_UPPER + "234567", 24), ".", _chars(_UPPER + "234567", 64)),
    _token("Sentry organisation", _sentry_token),
    _token("Sentry user", "sntryu_", _chars(_HEX, 64)),
    _token("Atlassian", "ATATT3", _chars(_URL_SAFE + "=", 186)),
    _token("Artifactory", "AKCp", _chars(_ALNUM, 69)),
    _token("Mailgun", "key-", _chars(_HEX, 32)),
    _token("Square", "EAAA", _chars(_URL_SAFE, 60)),
    _token("EasyPost", "EZAK", _chars(_ALNUM, 54)),
    _token("Shippo", "shippo_live_", _chars(_HEX, 40)),
    _token("Tailscale", "tskey-auth-", _chars(_ALNUM, 17), "-", _chars(_ALNUM, 32)),
    _token("Cloudflare origin CA", "v1.0-", _chars(_HEX, 24), "-", _chars(_HEX, 146)),
    _token("Contentful", "CFPAT-", _chars(_URL_SAFE, 43)),
    _token("Buildkite", "bkua_", _chars(_HEX, 40)),
    _token("Plaid", "access-production-", _uuid),
    _token("OpenShift", "sha256~", _chars(_URL_SAFE, 43)),
    _token("JWT", _jwt),
)


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

_NAMED: Final = (
    _value(
        "AWS secret access key",
        _chars(_BASE64, 40),
        "aws_secret_access_key = {}",
        "AWS_SECRET_ACCESS_KEY={}",
        '"SecretAccessKey": "{}",',
        "  secretAccessKey: '{}',",
        '  secret_key = "{}"',
    ),
    _value(
        "Django",
        _chars(_DJANGO, 50),
        "SECRET_KEY = 'django-insecure-{}'",
        'SECRET_KEY = "{}"',
        "DJANGO_SECRET_KEY='{}'",
        'SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "{}")',
    ),
    _value("Flask, token_hex", _chars(_HEX, 64), "SECRET_KEY = '{}'", "SECRET_KEY={}", 'app.secret_key = b"{}"'),
    _value("Rails", _chars(_HEX, 128), "  secret_key_base: {}", "SECRET_KEY_BASE={}"),
    _value("Laravel", lambda rng: _bytes_in_base64(rng, 32), "APP_KEY=base64:{}", "'key' => 'base64:{}',"),
    _value(
        "JWT secret of 18",
        _chars(_ALNUM, 18),
        "JWT_SECRET={}",
        "  jwtSecret: {}",
        'jwt_secret = "{}"',
        "const JWT_SECRET = '{}';",
        '"jwtSecret": "{}",',
    ),
    _value(
        "session secret, base64 of 32 bytes",
        lambda rng: _bytes_in_base64(rng, 32),
        "SESSION_SECRET={}",
        "NEXTAUTH_SECRET={}",
        '  cookie_secret: "{}"',
        "app.use(session({ secret: '{}' }))",
    ),
    _value("Twilio auth token", _chars(_HEX, 32), "TWILIO_AUTH_TOKEN={}", "authToken = '{}'", '"auth_token": "{}"'),
    _value("Datadog", _chars(_HEX, 32), "DD_API_KEY={}", "api_key: {}", 'datadog_api_key = "{}"'),
    _value("Cloudflare", _chars(_URL_SAFE, 40), "CLOUDFLARE_API_TOKEN={}", '  api_token = "{}"', "apiToken: '{}',"),
    _value("Heroku, a UUID", _uuid, "HEROKU_API_KEY={}", 'heroku_api_key = "{}"', "  api_key: {}"),
    _value("npmrc", _chars(_HEX, 40), "//registry.company.io/:_authToken={}"),
    _value(
        "bearer",
        _chars(_ALNUM, 32, 64),
        'headers = {"Authorization": "Bearer {}"}',
        "curl -H 'Authorization: Bearer {}' x",
    ),
    _value(
        "Azure shared access signature",
        lambda rng: urllib.parse.quote(_bytes_in_base64(rng, 32), safe=""),
        "url = 'https://store.blob.core.windows.net/c?sv=2024-11-04&sr=c&sp=r&sig={}'",
        "SAS=?sv=2024-11-04&se=2027-01-01T00%3A00%3A00Z&sig={}",
    ),
    _value(
        "Docker registry",
        lambda rng: base64.b64encode(f"ada:{_chars(_ALNUM, 12, 20)(rng)}".encode()).decode(),
        '"auths": {"registry.company.io": {"auth": "{}"}}',
        '      "auth": "{}"',
    ),
    _value(
        "npmrc, user and password",
        lambda rng: base64.b64encode(f"ada:{_chars(_ALNUM, 12, 20)(rng)}".encode()).decode(),
        "//registry.company.io/:_auth={}",
        "_auth={}",
        '//registry.company.io/:_auth = "{}"',
    ),
    _value("npmrc, token", _uuid, "//registry.company.io/:_authToken={}", '//npm.company.io/:_authToken="{}"'),
    _value(
        "header of an API key, hexadecimal",
        _chars(_HEX, 32),
        *_HEADER_PLACES,
    ),
    _value("header of an API key, letters and digits", _chars(_ALNUM, 40), *_HEADER_PLACES),
    _value("header of an API key, a UUID", _uuid, *_HEADER_PLACES),
    _value(
        "query of a URL",
        _chars(_ALNUM, 32, 40),
        'url = "https://api.company.io/v1/me?access_token={}"',
        "curl 'https://api.company.io/v1?units=metric&api_key={}'",
        "GET https://api.company.io/v1?apikey={}&limit=3",
        "fetch(`https://api.company.io/v1?limit=3&token={}`)",
        '<img src="https://maps.company.io/static?zoom=3&amp;key={}">',
        "https://api.company.io/oauth?client_id=app&client_secret={}",
    ),
    _value(
        "user of a URL is the token",
        _chars(_ALNUM, 40),
        "git clone https://{}@github.com/company/x",
        "git remote add origin https://{}:x-oauth-basic@github.com/company/x.git",
        "pip install git+https://{}@git.company.io/x.git@v1",
        "  url: https://{}:@api.company.io/v1",
    ),
    _value(
        "YAML block, key",
        _chars(_ALNUM, 32, 40),
        "api_token: >-\n  {}",
        "  secret_key: |\n    {}",
        "apiKey: |-\n  {}",
        "access_token: >\n    {}",
    ),
    _value(
        "three quotes, key",
        _chars(_ALNUM, 32, 40),
        'API_TOKEN = """{}"""',
        "SECRET_KEY = '''{}'''",
        'API_KEY = """\n{}\n"""',
        'API_KEY = """\\\n{}"""',
        "const apiKey = `\n{}`;",
        'api_key = """{}\n"""',
    ),
    _value(
        "JSON in a literal, key",
        _chars(_ALNUM, 32, 40),
        'body = "{\\"api_key\\": \\"{}\\"}"',
        '"payload": "{\\\\\\"token\\\\\\":\\\\\\"{}\\\\\\"}"',
        '-d "{\\"client_secret\\":\\"{}\\",\\"x\\":1}"',
    ),
    _value(
        "ENV of a Dockerfile, key",
        _chars(_ALNUM, 32, 40),
        "ENV API_TOKEN {}",
        'ENV JWT_SECRET "{}"',
        "setenv SERVICE_API_KEY {}",
        "SetEnv APP_SECRET {}",
        "set -x API_KEY {}",
    ),
    _value("fallback of a look-up, key", _chars(_ALNUM, 32, 40), *_KEY_FALLBACK_PLACES),
    _value(
        "default of a reference, key",
        _chars(_ALNUM, 32, 40),
        "      API_TOKEN: ${API_TOKEN:-{}}",
        "app.jwt.secret=${JWT_SECRET:{}}",
        '@Value("${service.api-key:{}}")',
        'export SECRET_KEY="${SECRET_KEY:-{}}"',
        "JWT_SECRET=${JWT_SECRET-{}}",
    ),
    _value(
        "more than 1,000 characters",
        lambda rng: _bytes_in_base64(rng, rng.randint(900, 3000)),
        "    client-key-data: {}",
        "TLS_PRIVATE_KEY_B64={}",
        '"private_key_base64": "{}",',
        "SIGNING_KEY = '{}'",
        'API_TOKEN = """{}"""',
        "<apiKey>{}</apiKey>",
    ),
    _value(
        "account of a service in base64",
        _service_account,
        "GOOGLE_CREDENTIALS={}",
        'GOOGLE_CREDENTIALS = "{}"',
        '  "gcp_credentials": "{}",',
        "const credentials = Buffer.from('{}', 'base64');",
    ),
    _value(
        "names with a word of checksums",
        _chars(_ALNUM, 32, 40),
        "HMAC_SHA256_SECRET={}",
        'SHA512_SIGNING_KEY = "{}"',
        "md5_salt_secret: '{}'",
        'hf_tokenizer_token = "{}"',
    ),
    _value(
        "among others on a line, key",
        _chars(_ALNUM, 32, 40),
        "service: {url: here, api_key: {}}",
        "  token: {},",
        "- {secret: {}, name: ada}",
    ),
    _value(
        "seed phrase of BIP-39",
        lambda rng: " ".join(rng.choices(_SEED_WORDS, k=rng.choice((12, 24)))),
        'MNEMONIC = "{}"',
        "MNEMONIC={}",
        "  mnemonic: '{}',",
        'seed_phrase = "{}"',
        "WALLET_SEED_PHRASE='{}'",
        '"recoveryPhrase": "{}",',
        "  mnemonic: {}",
        'const wallet = Wallet.fromMnemonic("{}");',
    ),
    _value(
        "names in other scripts, key", _chars(_ALNUM, 32), 'токен = "{}"', "密钥：{}", '令牌 = "{}"', 'секрет: "{}"'
    ),
    _value(
        "unseen characters in a name, key",
        _chars(_ALNUM, 32),
        'api_\u200bkey = "{}"',
        "to\u00adken: {}",
        's\u2060ecret = "{}"',
    ),
    _value(
        "unseen characters in a token",
        lambda rng: "ghp_{}\u200b{}".format(*(_chars(_ALNUM, 18)(rng) for _ in "12")),
        *_TOKEN_PLACES,
    ),
    _value(
        "basic authorization",
        lambda rng: base64.b64encode(f"ada:{_chars(_ALNUM, 12, 20)(rng)}".encode()).decode(),
        'headers["Authorization"] = "Basic {}"',
        "curl -H 'Authorization: Basic {}' https://api.company.io",
    ),
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


def _body(make: Callable[[random.Random], bytes]) -> Draw:
    def draw(rng: random.Random) -> str:
        encoded = base64.b64encode(make(rng)).decode()
        return "\n".join(encoded[start : start + 64] for start in range(0, len(encoded), 64))

    return draw


def _one_line(make: Callable[[random.Random], bytes]) -> Draw:
    return lambda rng: base64.b64encode(make(rng)).decode()


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
    return base64.b64encode(f"-----BEGIN {label}-----\n{_body(make)(rng)}\n-----END {label}-----\n".encode()).decode()


def _wrapped_pem_in_base64(rng: random.Random) -> str:
    encoded = _pem_in_base64(rng)
    return "\n".join(encoded[start : start + 76] for start in range(0, len(encoded), 76))


_BLOCK_PLACES: Final = ('KEY = """\n{}\n"""', "{}", "key: |\n{}")
_LINE_PLACES: Final = ("PRIVATE_DER={}", 'pem = "{}"', '"p8": "{}",', "  tls.der: {}")


def _bodies(name: str, make: Callable[[random.Random], bytes]) -> tuple[SecretKind, SecretKind]:
    return (
        SecretKind(name=f"{name} body without a header", group="keyed", draw=_body(make), places=_BLOCK_PLACES),
        SecretKind(name=f"{name} body on one line", group="keyed", draw=_one_line(make), places=_LINE_PLACES),
    )


def _pem(rng: random.Random) -> str:
    body = _body(_pkcs8)(rng)
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"


_JWK_PLACES: Final = (
    '{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","d":"{}"}',
    '  "d": "{}",',
    "jwk = {'kty': 'OKP', 'crv': 'Ed25519', 'd': '{}'}",
    '    d: "{}",',
)

_PRIVATE_KEYS: Final = (
    SecretKind(name="PEM", group="keyed", draw=_pem, places=_BLOCK_PLACES),
    SecretKind(name="PEM in base64 on one line", group="keyed", draw=_pem_in_base64, places=_LINE_PLACES),
    SecretKind(name="PEM in base64", group="keyed", draw=_wrapped_pem_in_base64, places=_BLOCK_PLACES),
    *_bodies("PKCS#1 RSA", _rsa),
    *_bodies("SEC1 EC", _ec),
    *_bodies("PKCS#8", _pkcs8),
    *_bodies("encrypted PKCS#8", _encrypted_pkcs8),
    *_bodies("OpenSSH", _openssh),
    _value("JWK, d of an EC key", _chars(_URL_SAFE, 43), *_JWK_PLACES),
    _value("JWK, d of an RSA key", _chars(_URL_SAFE, 342), *_JWK_PLACES),
    _value("JWK, k of 32 bytes", _chars(_URL_SAFE, 43), '{"kty":"oct","alg":"HS256","k":"{}"}', '  "k": "{}",'),
)


def _split(make: Draw, joint: str) -> Draw:
    def draw(rng: random.Random) -> str:
        token = make(rng)
        return token[:12] + joint + token[12:]

    return draw


# Tokens in two literals, on one line and on two.
_SPLIT: Final = tuple(
    SecretKind(
        name=f"{name}, split {how}",
        group="keyed",
        draw=_split(make, joint),
        places=('token = "{}"',),
    )
    for name, make in (
        ("GitHub classic", _joined("ghp_", _chars(_ALNUM, 36))),
        ("Stripe", _joined("sk_live_", _chars(_ALNUM, 24))),
    )
    for how, joint in (("by +", '" + "'), ("over two lines", '"\n    "'))
)

# Passwords of people and of password managers, 8 to 16 characters.
_WORDS: Final = (
    *("sunshine", "dragon", "monkey", "winter", "summer", "purple", "tiger", "falcon", "copper", "garden", "shadow"),
    *("banana", "rocket", "silver", "forest", "coffee", "madrid", "oslo", "kitten", "hockey", "guitar", "pepper"),
)
_SYMBOLS: Final = "!@#$%^&*"  # those that password managers offer


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


def _alnum_password(rng: random.Random) -> str:
    return _mixed(rng, _ALNUM, 8)


def _symbol_password(rng: random.Random) -> str:
    return _mixed(rng, _ALNUM + _SYMBOLS, 10)


def _long_password(rng: random.Random) -> str:
    return _mixed(rng, _ALNUM, 12)


def _punctuated_password(rng: random.Random) -> str:
    """With any printing character of ASCII but quotes and the backslash, blanks within."""
    password = _mixed(rng, _ALNUM + "".join(sorted(set(string.punctuation) - set("\"'`\\"))) + " ", 12)
    return password if password.strip() == password else _punctuated_password(rng)


def _slashed_password(rng: random.Random) -> str:
    """Base64 of 9 to 12 bytes, as `openssl rand -base64` gives: with `/` or `+` in it."""
    while True:
        password = _bytes_in_base64(rng, rng.randint(9, 12)).rstrip("=")
        if "/" in password:
            return password


def _in_base64(draw: Draw) -> Draw:
    return lambda rng: base64.b64encode(draw(rng).encode()).decode()


def _encoded(draw: Draw) -> Draw:
    return lambda rng: urllib.parse.quote(draw(rng), safe="!$&*+,;=")


def _in_query(rng: random.Random) -> str:
    return urllib.parse.quote(_symbol_password(rng), safe="!$*")


_QUOTED_PLACES: Final = (
    'DB_PASSWORD="{}"',
    'password = "{}"',
    '  "password": "{}",',
    "  password: '{}'",
    "conn = connect(host='db', user='ada', password='{}')",
    "const dbPassword = '{}';",
    '<add key="SmtpPassword" value="{}" />',
    'String passwd = "{}";',
)
_BARE_PLACES: Final = (
    "DB_PASSWORD={}",
    "export MYSQL_PASSWORD={}",
    "  password: {}",
    "password = {}",
    "smtp.password={}",
    "ENV ADMIN_PASSWORD={}",
    "DB_PASS={}",
    "      POSTGRES_PASSWORD: {}",
    "      - MYSQL_ROOT_PASSWORD={}",
)
_URL_PLACES: Final = (
    "DATABASE_URL=postgres://ada:{}@db.internal:5432/app",
    'redis = "redis://:{}@cache.internal:6379/0"',
    "  url: amqp://svc:{}@mq.internal/vhost",
    "git clone https://ada:{}@git.company.io/x.git",
    '"mongo": "mongodb+srv://ada:{}@cluster0.mongodb.net/app"',
)
_COMMAND_PLACES: Final = {
    "curl -u": (
        "curl -u ada:{} https://api.company.io/v1",
        "curl --user 'ada:{}' https://api.company.io",
        'curl -s -u "ada:{}" x',
    ),
    "sshpass -p": ("sshpass -p {} ssh ada@host", "sshpass -p '{}' scp a ada@host:", 'sshpass -p"{}" rsync a b'),
    "mysql -p": (
        "mysql -u root -p{} app",
        "mysqldump -h db -uapp -p'{}' app > x",
        "mysql --user=ada --password={} app",
    ),
    "PGPASSWORD=": ("PGPASSWORD={} psql -h db -U ada app", "PGPASSWORD='{}' pg_dump app", "export PGPASSWORD={}"),
    "docker login -p": ("docker login -u ada -p {} registry.company.io", "docker login --username ada --password '{}'"),
    "docker run -e": (
        "docker run -e POSTGRES_PASSWORD={} -d postgres",
        "docker run --env MYSQL_ROOT_PASSWORD='{}' mysql",
    ),
    "redis-cli -a": ("redis-cli -h cache -a {} ping", "redis-cli -a '{}'"),
    "openssl pass:": ("openssl rsa -in k.pem -passin pass:{} -out k", "openssl pkcs12 -export -passout 'pass:{}'"),
    "psk=": ('  psk="{}"', "psk={}", "wpa-psk {}"),
    "chpasswd": ("echo 'ada:{}' | chpasswd", 'echo "ada:{}" | sudo chpasswd'),
    "netrc": ("machine git.company.io login ada password {}", "  password {}"),
    "ssh-keygen -N": (
        'ssh-keygen -t ed25519 -N "{}" -f key',
        "ssh-keygen -q -N {} -f key",
        "run(['ssh-keygen', '-N', '{}', '-f', 'key'])",
    ),
    "openssl enc -k": (
        "openssl enc -aes-256-cbc -k {} -in a -out b",
        "openssl enc -d -aes-256-cbc -in a -k '{}'",
        'run(["openssl", "enc", "-k", "{}"])',
    ),
    "requirepass": ("requirepass {}", 'masterauth "{}"', "command: redis-server --requirepass {}", "# requirepass {}"),
    "ENV of a Dockerfile": (
        "ENV DB_PASSWORD {}",
        'ENV ADMIN_PASS "{}"',
        "ARG ROOT_PWD {}",
        "setenv DB_PASSWORD {}",
        "set -gx DB_PASSWORD {}",
    ),
    "query of a URL,": ("url = 'https://company.io/login?user=ada&password={}'", "https://company.io/?pwd={}&x=1"),
    "npmrc password,": ("//registry.company.io/:_password={}", "_password = {}"),
    "connection string": ('DSN = "Server=db;User ID=ada;Password={};Encrypt=yes"', "Server=db;Uid=ada;Pwd={};"),
}
_BLOCK_OF_YAML_PLACES: Final = (
    "password: |\n  {}",
    "db_password: >-\n  {}",
    "    smtpPassword: |-\n      {}",
    "  passphrase: >\n    {}",
)
_THREE_QUOTES_PLACES: Final = (
    'PASSWORD = """{}"""',
    "password = '''{}'''",
    'PASSWORD = """\n{}\n"""',
    'DB_PASSWORD = """\\\n{}"""',
    'password = """{}\n"""',
    'String password = """\n    {}""";',
)
_ESCAPED_PLACES: Final = (
    'body = "{\\"password\\": \\"{}\\"}"',
    '"payload": "{\\\\\\"passwd\\\\\\":\\\\\\"{}\\\\\\"}"',
    '-d "{\\"user\\":\\"ada\\",\\"password\\":\\"{}\\"}"',
    'String json = "{\\"dbPassword\\":\\"{}\\"}";',
)
_SCRIPT_PLACES: Final = (
    'пароль = "{}"',
    "пароль: {}",
    '密码 = "{}"',
    "密码：{}",
    '"パスワード": "{}",',
    "ｐａｓｓｗｏｒｄ = '{}'",
)
_UNSEEN_PLACES: Final = ('pass\u200bword = "{}"', "DB_PASS\u00adWORD={}", "\ufeffpass\u200dword: '{}'")
_USER_PAIR_PLACES: Final = (
    'requests.get(url, auth=("ada", "{}"))',
    "    auth=('ada', '{}'),",
    'session.auth = ("ada", "{}")',
    'HTTPBasicAuth("ada", "{}")',
    'request.SetBasicAuth("ada", "{}")',
    'smtp.login("ada@company.io", "{}")',
    'new NetworkCredential("ada", "{}")',
    'new UsernamePasswordCredentials("ada", "{}")',
    'Credentials.basic("ada", "{}")',
)
_FALLBACK_PLACES: Final = (
    "password: process.env.DB_PASSWORD || '{}',",
    "const dbPassword = env.DB_PASS ?? '{}';",
    'PASSWORD = os.environ.get("DB_PASSWORD") or "{}"',
    "'password' => env('DB_PASSWORD') ?: '{}',",
    'password = host ? vault(host) : "{}";',
    "password = ENV['DB_PASSWORD'] || '{}'",
    'smtp_pass = read(env) if env else "{}"',
)
_DEFAULT_PLACES: Final = (
    "      POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:-{}}",
    '@Value("${db.password:{}}")',
    "spring.datasource.password=${DB_PASSWORD:{}}",
    'export DB_PASSWORD="${DB_PASSWORD:-{}}"',
    ': "${DB_PASSWORD:={}}"',
    "  password: ${PG_PASSWORD-{}}",
)
_DSN_PLACES: Final = (
    'sql.Open("postgres", "user=app password={} sslmode=disable")',
    'dsn = "host=db user=app password={} dbname=x"',
    'conn = psycopg.connect("host=db dbname=x user=app password={}")',
    'DSN = "password={} user=app host=db"',
    "community.postgresql: host=db user=app password={} state=present",
)
_FORM_PLACES: Final = {
    "fallback of a look-up,": _FALLBACK_PLACES,
    "default of a reference,": _DEFAULT_PLACES,
    "keywords of libpq,": _DSN_PLACES,
    "YAML block,": _BLOCK_OF_YAML_PLACES,
    "three quotes,": _THREE_QUOTES_PLACES,
    "JSON in a literal,": _ESCAPED_PLACES,
    "names in other scripts,": _SCRIPT_PLACES,
    "unseen characters in a name,": _UNSEEN_PLACES,
    "user and password,": _USER_PAIR_PLACES,
}
_CHECKSUM_NAME_PLACES: Final = (
    'DIGEST_PASSWORD = "{}"',
    "PUBLIC_API_PASSWORD='{}'",
    'republic_password = "{}"',
    "token_url_password: '{}'",
)
_MEMBER_PLACES: Final = ("db: {user: app, password: {}}", "  password: {},", "- {password: {}, name: ada}")
_FOREIGN_PLACES: Final = (
    'kennwort = "{}"',
    "  motdepasse: '{}'",
    'contraseña = "{}"',
    'senha = "{}"',
    "WACHTWOORD={}",
    "hasło: '{}'",
)


def _passwords() -> Iterator[SecretKind]:
    def kind(name: str, draw: Draw, places: tuple[str, ...]) -> SecretKind:
        return SecretKind(name=name, group="password", draw=draw, places=places)

    people = {"word and digits": _worded, "letters and digits": _alnum_password, "with symbols": _symbol_password}
    for name, draw in people.items():
        yield kind(f"{name}, quoted", draw, _QUOTED_PLACES)
        yield kind(f"{name}, bare", draw, _BARE_PLACES)
        yield kind(f"{name}, in a URL", _encoded(draw), _URL_PLACES)
    yield kind("any punctuation, quoted", _punctuated_password, _QUOTED_PLACES)
    yield kind("base64 with a slash, quoted", _slashed_password, _QUOTED_PLACES)
    yield kind("base64 with a slash, bare", _slashed_password, _BARE_PLACES)
    yield kind("names with a word of checksums,", _alnum_password, _CHECKSUM_NAME_PLACES)
    yield kind("among others on a line,", _long_password, _MEMBER_PLACES)
    yield kind("connection string with symbols", _symbol_password, _COMMAND_PLACES["connection string"])
    yield kind("query of a URL, with symbols", _in_query, _COMMAND_PLACES["query of a URL,"])
    for name in ("fallback of a look-up,", "default of a reference,", "keywords of libpq,"):
        yield kind(f"{name} with symbols", _symbol_password, _FORM_PLACES[name])
    yield kind("foreign names", _alnum_password, _FOREIGN_PLACES)
    for name, places in (_COMMAND_PLACES | _FORM_PLACES).items():
        encode = _in_base64 if name == "npmrc password," else lambda draw: draw
        yield kind(f"{name} word and digits", encode(_worded), places)
        yield kind(f"{name} letters and digits", encode(_alnum_password), places)


KINDS: Final[tuple[SecretKind, ...]] = (*_TOKENS, *_NAMED, *_PRIVATE_KEYS, *_SPLIT, *_passwords())
