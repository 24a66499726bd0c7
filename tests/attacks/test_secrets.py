"""Secrets of each kind, drawn as their issuers draw them, are found: 200 of each, in the lines where they stand.

Succeeds as an attack on 104ea66, where 77 of the 148 kinds fall short and 61 are never found: keys without a header,
JSON Web Keys, passwords of command lines, split tokens, and issuers that had no rule. Succeeds on 63ec2ff with 38 of
the 187 kinds: blocks of YAML, three quotes, JSON in a literal, headers, queries and users of URLs, pairs of user and
password, `ssh-keygen -N`, `openssl enc -k`, npmrc, Dockerfile's `ENV`, `requirepass`, seed phrases, names in other
scripts, characters that are not seen. Succeeds on 11cca76 with 20 of the 208 kinds: literals that a look-up falls back
on, values of over 1,000 characters, keys of PEM in base64, names that also hold a word of checksums, passwords among
others on a line. `benchmarks/secrets_table.py` writes the same counts as a table, beside the false alarms.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest

from contract.repository.file_filters import decode_text
from contract.repository.secrets import blank_secrets, kind_of_secret, remove_secrets
from lsp_server.options import ServerOptions, read_options
from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion import filters
from lsp_server.suggestion.refine import refine
from lsp_server.suggestion.steps import Step
from lsp_server.suggestion.withheld import without_refused
from lsp_server.trace import TraceLog
from testbed.secret_kinds import KINDS, PLANTED, SHARE_NEEDED, SecretKind, count_found


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_planted_values_leave_no_part_behind(kind: SecretKind) -> None:
    assert count_found(kind, seed=1) >= SHARE_NEEDED[kind.group] * PLANTED


def test_a_count_that_finds_nothing_is_reported() -> None:
    """The measure itself: a value in a place that tells nothing stays, and is counted so."""
    silent = SecretKind(
        name="silent", group="password", draw=lambda rng: f"winter{rng.randrange(99)}", places=("x = {}",)
    )
    assert count_found(silent) == 0


@pytest.mark.parametrize(
    "line",
    [
        "curl -u $USER:$TOKEN_2 https://api.company.io",
        "curl -u ada:<token-1> https://api.company.io",
        "mysql -u root -p$MYSQL_PASSWORD_1 app",
        "docker run -p 3306:3306 --name mysql8 mysql",
        "sshpass -p ${PASSWORD1} ssh host",
        "PGPASSWORD=$(cat /run/secrets/db1) psql",
        "cmd --password-file=/run/secrets/db1",
        "PWD=/home/ada/project1 make",
        'parser.add_argument("--password", help="Asked for if it is not given, at most 3 times")',
        'password = form["password1"].value',
        "password = user_input_2",
        "password: Base64String",
        '"password": "Must have 8 characters or more, one of them a digit"',
        'password_path = "/etc/company/app/password2"',
        '<path d="M10 20L30 40"/>',
        '"d": "a-rather-long-name-of-a-thing-that-has-many-words-2"',
        "pass: 3",
        "secretName: database-credentials-v2",
        'token = "first" + "second"',
        "https://cdn.company.io/lib.js?token=${TOKEN}&key=name-of-the-index-2",
        "https://codecov.io/gh/company/x/branch/main/graph/badge.svg?token=A1B2C3D4E5",
        "https://0123456789abcdef0123456789abcdef@o123.ingest.sentry.io/4",
        "pip install git+https://github.com/company/x@6b1d2f0c9a8e7f3b5d4c2a1908f7e6d5c4b3a291",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "curl -H 'Idempotency-Key: 0b9f1d3e-7c52-4f6a-9a31-2f4f8c0d6e17' x",
        "curl -H 'X-Api-Key: $API_KEY_2' x",
        'auth=("user", "password1")',
        "auth=(user2, passwd2())",
        "ssh-keygen -t ed25519 -N '' -f key2",
        "openssl enc -aes-256-cbc -kfile key2.bin",
        "# requirepass foobared",
        "ENV PASSWORD_FILE /run/secrets/db1",
        "ENV NODE_VERSION 20.11.1",
        "//registry.company.io/:_authToken=${NPM_TOKEN_2}",
        'mnemonic = "a name of an instruction that is long enough to be said in full here"',
        "bob:$apr1$Qx9wLk2z$3kZtP0b8mVn5rYc7sHdGj1",  # a hash is no password
        'пароль = "Введите пароль"',
        'body = "{\\"password\\": \\"%s\\"}"',
        "password: string,",
        "token: Token,",
        "password: newPasswordHash2,",
        "password: sha256Hex,",
        "{user: userName2, password: pwd2Hash}",
        "key: 550e8400-e29b-41d4-a716-446655440000,",
        "TOKEN_ENDPOINT: ${TOKEN_ENDPOINT:-https://id.company.io/oauth2/v1/token}",
        "endpoint = token_endpoint or 'https://id.company.io/oauth2/v1/token'",
        "f(password: String, token: Token2)",
        "key: (a) => a || 'default-value'",
        "authToken ?? 'anonymous'",
        "const token = process.env.GITHUB_TOKEN || '';",
        "token = token or 'missing-token-1'",
        'password = os.environ.get("DB_PASSWORD") or "Log-in first"',
        "type={showPassword ? 'text' : 'password'}",
        "icon = showPassword ? 'EyeOff-24' : 'EyeOpen-24'",
        'label = "Log-In2" if password else "Sign-Up2"',
        "if (key === 'Arrow-Down1' || key === 'Arrow-Up1') {",
        "${PASSWORD:?Set-PASSWORD-1 first}",
        "TOKEN_FILE=${TOKEN_FILE:-/run/secrets/token1}",
        "SSH_PRIVATE_KEY=${SSH_PRIVATE_KEY:-$HOME/.ssh/id_ed25519}",
        "password: ${DB_PASSWORD:-changeme1}",
        "password: ${DB_PASSWORD:-${DEFAULT_PASSWORD_1}}",
        "DB_PASSWORD=${DB_PASSWORD:-$DEFAULT_PW1}",
        'dsn = "Server=db;Password=$Pass1word;"',
        'dsn = "Server=db;Password=%PWD_OF_DB1%;"',
        "url = '?user=root&password=$Passw1ord'",
        '"user=%s password=%s dbname=%s"',
        'f"host={host} password={password1} dbname={name}"',
        "user=app password=$DB_PASS1 sslmode=disable",
        "MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ",  # a certificate's first line
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo",  # a public key's
        "MIIBCgKCAQEA61BjmfXGEvWmegnBGSuS+rU9soUg2FnODva32D1AqhwdziwHINFa",  # the same in PKCS#1
    ],
)
def test_what_looks_like_it_is_kept(line: str) -> None:
    assert kind_of_secret(line) is None


@pytest.mark.parametrize(
    "name",
    [
        *(
            "public_key",
            "PUBLIC_KEY",
            "publicKey",
            "rsaPublicKey",
            "publicKeyHex",
            "NEXT_PUBLIC_API_KEY",
            "config.public.key",
        ),
        *("sha256_key", "md5_key", "key_sha256", "api_key_md5", "keyChecksum", "token_digest", "signing_key_sha512"),
        *("token_type", "tokenType", "tokenizer", "token_url", "token_uri", "csrf_token_name"),
    ],
)
def test_a_name_of_no_secret_keeps_its_value(name: str) -> None:
    value = random.Random(name).randbytes(32).hex()
    assert kind_of_secret(f'{name} = "{value}"') is None
    assert kind_of_secret(f"{name}={value}") is None


def test_a_certificate_in_base64_is_kept() -> None:
    body = base64.b64encode(random.Random(0).randbytes(900)).decode()
    certificate = base64.b64encode(
        f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n".encode()
    ).decode()
    assert kind_of_secret(f"    certificate-authority-data: {certificate}") is None
    assert kind_of_secret(f"tls.crt: {certificate}") is None
    assert kind_of_secret(f"secret: {certificate}") is not None  # it is called so


@pytest.mark.parametrize(
    "text",
    [
        "ok = (key == 'a'\n      or key == 'Arrow-Down1')\n",
        "const token = read() ||\n  'anonymous-user-1';\n",
        'def login(password):\n    """Consumer. 2 of them."""\n',
        "password: |\n  At least 8 characters, one of them a digit.\nx: 1\n",
        "token: >-\n  ${{ secrets.DEPLOY_TOKEN_2 }}\n",
        'PASSWORD_HELP = """\nAsk the admin of db-2 for it.\n"""\n',
        "parameters:\n  password:\n    type: string2\n",
        '"password" |\nfield_2\n',
        "family: 👩\u200d💻\nemoji = '☺\ufe0f'\n",
    ],
)
def test_what_stands_below_a_name_is_kept(text: str) -> None:
    assert remove_secrets(text).text == text


def test_unseen_characters_move_no_line() -> None:
    """Lines are those of the text as it is, and what is kept keeps its characters."""
    lines = ["a\u200bb", 'pass\u200bword = "kV9mLq2x"', "ｗｉｄｅ", "c"]
    assert remove_secrets("\n".join(lines)).text == "a\u200bb\nｗｉｄｅ\nc"
    assert kind_of_secret('pass\u3164word = "kV9m\u2028Lq2x"') is not None
    assert blank_secrets("\n".join(lines)).split("\n") == ["a\u200bb", "", "ｗｉｄｅ", "c"]


def test_a_block_goes_with_all_its_lines() -> None:
    rows = "".join(f"  {base64.b64encode(random.Random(row).randbytes(45)).decode()}\n" for row in range(3))
    assert remove_secrets(f"a: 1\nsigning_key: |\n{rows}b: 2\n").text == "a: 1\nb: 2\n"


def test_code_below_a_key_without_a_header_is_kept() -> None:
    kind = next(one for one in KINDS if one.name == "PKCS#1 RSA body without a header")
    body = kind.draw(random.Random(0))
    assert remove_secrets(f"a = 1\n{body}\nreturn\nb = 2").text == "a = 1\nreturn\nb = 2"


def test_blank_lines_below_a_key_on_one_line_are_kept() -> None:
    kind = next(one for one in KINDS if one.name == "PKCS#8 body on one line")
    text = f'pem = "{kind.draw(random.Random(0))}"\n\nx1\n'
    assert remove_secrets(text).text == "\nx1\n"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n", "\n\r"])
def test_whatever_ends_a_line_a_password_without_quotes_is_found(end: str) -> None:
    """On 40147da0 a lone CR was no line end: the password was a part of a longer line, and was learned."""
    text = decode_text(end.join(("import os", "DB_PASSWORD = Kx9vTq2mLw8Z", "DEBUG = 1", "")).encode())
    assert text is not None and remove_secrets(text).text.split() == ["import", "os", "DEBUG", "=", "1"]


def test_no_option_of_a_client_lets_a_secret_be_suggested() -> None:
    """Succeeds on de82a37: an editor relays a repository's settings, and `filters.secret` was a switch below them."""
    options, problems = read_options({"experimental": {"filters": {"secret": False}}}, ServerOptions())
    completion = refine('"AKIAQ4J5XW2B7T6M3NPL"', CompletionRequest(text="KEY = ", offset=6, options=options))
    assert (completion.text, completion.rule) == ("", "secret")
    assert len(problems) == 1


def test_a_long_line_is_searched_near_the_cursor_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On cc3f76c a line of 2,000,000 characters took seven seconds a pass, with the interpreter's lock held."""
    searched: list[int] = []

    def counted(text: str, found: Callable[[str], Any]) -> Any:
        searched.append(len(text))
        return found(text)

    monkeypatch.setattr(filters, "kind_of_secret", lambda line: counted(line, kind_of_secret))
    monkeypatch.setattr(filters, "blank_secrets", lambda text: counted(text, blank_secrets))
    long = "token, " * 20_000
    text = f"{long}\n{long}KEY = "
    request = CompletionRequest(text=text, offset=len(text))
    assert refine('"AKIAQ4J5XW2B7T6M3NPL"', request).rule == "secret"
    assert refine("1 + x", request).text == "1 + x"
    assert sum(searched) < 100_000


@pytest.mark.parametrize(("answer", "rule"), [('"AKIAQ4J5XW2B7T6M3NPL"\n', "secret"), ('"a\u200b"\n', "invisible")])
def test_a_text_that_was_refused_is_not_given_out(answer: str, rule: str) -> None:
    """Succeeds on cc3f76c: `submodel/explain` and `submodel complete --json` gave it out."""
    request = CompletionRequest(text="KEY = ", offset=6)
    refused = replace(refine(answer, request), raw=answer)
    for document in given_out(refused, request):
        assert answer[1:6] not in str(document)
        assert [step["name"] for step in document["steps"]] == [rule]


def given_out(answer: Completion, request: CompletionRequest) -> Iterator[dict[str, Any]]:
    """What of an answer leaves the server, and the command line."""
    trace = TraceLog().begin(request, 0.0)
    trace.note_answer(answer, request)
    yield trace.to_json()
    yield asdict(without_refused(answer, request))


AWS_LINE = 'KEY = "AKIAQ4J5XW2B7T6M3NPL"\n'


@pytest.mark.parametrize(
    ("text", "below", "answer", "rule", "secret"),
    [
        # The sentence of the first two quotes it.
        (AWS_LINE, "", AWS_LINE, "repetition", "AKIAQ4"),
        ("x = 1\n", f"\n{AWS_LINE}", AWS_LINE, "next-line", "AKIAQ4"),
        ("def f():\n    x = 1\n    ", "", AWS_LINE, "dedent", "AKIAQ4"),
        ("x = ", "", "<|AKIAQ4J5XW2B7T6M3NPL|>", "special-tokens", "AKIAQ4"),
        (
            'KEY = "AKIAQ4J5XW2B7T6M3NPL" + ',
            "",
            "<|AKIA7Q4J5XW2B6T4M3NP|>",
            "special-tokens",
            "AKIA7Q",
        ),  # another is typed
        ("x = ", "", f"1\n{AWS_LINE}", None, "AKIAQ4"),  # what a cut leaves over
        ("x = ", "", "1\ny\u200b = 2\n", None, "y\u200b"),
        ("x = ", "", '1\nSECRET_KEY = (\n    "kV9mLq2xZr7TbN4wPc8d"\n)\n', None, "kV9mLq"),  # below its name
        ('password = "', "", 'kV9mLq2x"<|endoftext|>', "secret", "kV9mLq"),
        ('password = "kV9mLq2x"\npassword = "', "", 'kV9mLq2x"', "repetition", "kV9mLq"),  # its name is typed
    ],
)
def test_a_text_that_no_filter_judged_is_not_given_out(
    text: str, below: str, answer: str, rule: str | None, secret: str
) -> None:
    """Succeeds on 11cca76: where a rule acts before the filters, or a cut leaves a text over, nobody judged it."""
    request = CompletionRequest(text=text + below, offset=len(text))
    refined = replace(refine(answer, request), raw=answer)
    assert refined.rule == rule
    for document in given_out(refined, request):
        assert secret not in str(document)
        assert document["raw"] == ""
        assert document["steps"] and all(step["detail"] for step in document["steps"])


STEP = Step(name="dedent", kind="stop", action="changed", detail="it moves", before="x", after="y")


@pytest.mark.parametrize(
    "answer",
    [
        Completion(text="x", raw=AWS_LINE),
        Completion(text="x", raw="x", steps=(replace(STEP, before=AWS_LINE),)),
        Completion(text="x", raw="x", steps=(replace(STEP, after=AWS_LINE),)),
    ],
    ids=["as the model wrote it", "before a step", "after a step"],
)
def test_a_secret_in_any_text_of_an_answer_is_not_given_out(answer: Completion) -> None:
    left = without_refused(answer, CompletionRequest(text="", offset=0))
    assert "AKIAQ4" not in str(left)
    assert (left.text, left.raw) == ("x", "")


def test_the_ends_of_its_lines_withhold_no_answer() -> None:
    answer = Completion(text="a", raw="a\rb\r\nc")
    assert without_refused(answer, CompletionRequest(text="", offset=0)) == answer


def test_lines_within_a_private_key_are_not_given_out() -> None:
    """Its first line stands above, farther than the name of a value would."""
    rows = [base64.b64encode(random.Random(row).randbytes(48)).decode() for row in range(14)]
    text = "\n".join(["-----BEGIN PRIVATE KEY-----", *rows[:12], ""])
    request = CompletionRequest(text=text, offset=len(text))
    step = Step(name="budget", kind="stop", action="rejected", detail="time ran out", before=rows[12])
    for document in given_out(Completion(rule="budget", steps=(step,), raw=rows[12]), request):
        assert rows[12][:20] not in str(document)


def test_a_text_that_holds_no_secret_is_given_out() -> None:
    request = CompletionRequest(text="x = ", offset=4)
    refined = replace(refine("1\ny = 2\n", request), raw="1\ny = 2\n")
    for document in given_out(refined, request):
        assert document["raw"] == "1\ny = 2\n"
        assert document["steps"][0]["before"] == "1\ny = 2\n"
