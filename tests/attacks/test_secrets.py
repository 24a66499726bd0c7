"""Secrets of each kind, drawn as their issuers draw them, are found: 200 of each, in the lines where they stand.

Succeeds as an attack on 104ea66, where 77 of the 148 kinds fall short and 61 are never found: keys without a header,
JSON Web Keys, passwords of command lines, split tokens, and issuers that had no rule. `benchmarks/secrets_table.py`
writes the same counts as a table, beside the false alarms.
"""

from __future__ import annotations

import random

import pytest

from benchmarks.secret_kinds import KINDS, SecretKind
from benchmarks.secrets_table import PLANTED, SHARE_NEEDED, count_found
from builder.corpus.secrets import find_secrets, remove_secrets


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_planted_values_leave_no_part_behind(kind: SecretKind) -> None:
    assert count_found(kind, seed=1) >= SHARE_NEEDED[kind.group] * PLANTED


def test_a_count_that_finds_nothing_is_told() -> None:
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
        "MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ",  # a certificate's first line
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo",  # a public key's
        "MIIBCgKCAQEA61BjmfXGEvWmegnBGSuS+rU9soUg2FnODva32D1AqhwdziwHINFa",  # the same in PKCS#1
    ],
)
def test_what_looks_like_it_is_kept(line: str) -> None:
    assert find_secrets(line) is None


def test_code_below_a_key_without_a_header_is_kept() -> None:
    kind = next(one for one in KINDS if one.name == "PKCS#1 RSA body without a header")
    body = kind.draw(random.Random(0))
    assert remove_secrets(f"a = 1\n{body}\nreturn\nb = 2").text == "a = 1\nreturn\nb = 2"


def test_blank_lines_below_a_key_on_one_line_are_kept() -> None:
    kind = next(one for one in KINDS if one.name == "PKCS#8 body on one line")
    text = f'pem = "{kind.draw(random.Random(0))}"\n\nx1\n'
    assert remove_secrets(text).text == "\nx1\n"
