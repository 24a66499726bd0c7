"""Secrets in file names, in calls and pairs, and in what a bundle is to hold: each succeeds as an attack on b0dd36c7.

The forms themselves are the rows of `testbed/secret_forms.tsv`: `test_secrets.py` plants 200 values of each, and
b0dd36c7 finds 41 % of those under a secret's name, and 39 % of the other new forms.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from contract.repository.secrets import blank_secrets, is_secret_path, kind_of_secret, remove_secrets
from contract.repository.texts import read_repository
from submodel.build.model_stages import ModelStages

HEX = random.Random(5).randbytes(20).hex()


@pytest.mark.parametrize("name", [f"api_key-{HEX}.py", f"x/token_{HEX}/a.py", "a/ghp_" + 3 * "a1B2c3D4e5F6" + ".md"])
def test_a_file_that_is_named_by_a_secret_is_left_out_and_counted(tmp_path: Path, name: str) -> None:
    for path in (name, "a.py", "token_of_the_parser_2024.py", "api_key-rotation-2024.py", f"sha256-{HEX}.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"name = {path.count('a')}\nother = {len(path)}\n")
    read = read_repository(tmp_path)
    assert HEX not in "".join(read.texts).replace(f"sha256-{HEX}", "") and "ghp_" not in "".join(read.texts)
    assert read.skipped["name holds a secret"] == 1
    assert not is_secret_path(f"sha256-{HEX}.py")


def test_drafts_are_read_once_more_as_text() -> None:
    """What no earlier step has taken out does not reach the bundle, and is counted by kind."""
    text = f'a = 1\nAPI_TOKEN = "{HEX}"\nb = 2\n'
    tokenizer = SimpleNamespace(decode=lambda ids, skip_special_tokens: bytes(ids).decode())
    artifact = SimpleNamespace(token_ids=lambda texts: (list(one.encode()) for one in texts))
    stages = SimpleNamespace(_left_out=Counter())
    cut = ModelStages._without_secrets(*cast(Any, (stages, list(text.encode()), artifact, tokenizer)))
    assert bytes(cut).decode() == "a = 1\nb = 2\n"
    assert stages._left_out == {"secret value": 1}


@pytest.mark.parametrize(
    "text",
    [
        f"const secretName = read(name) ?? '{HEX}';",
        f"api_key:\n  secure: {HEX}\n",  # encrypted, as AppVeyor and Travis take it
        f'<a class="token" href="#/s:SY8rawValue03RawB0Qzvp">{HEX[:8]}</a>',
        'variable "db_password" {\n  type    = string\n  default = ""\n}',
        "- name: DB_PASSWORD\n  value: $(DB_PASSWORD_2)\n",
        '{"name": "password", "value": "Your password, 8 characters or more"}',
        "http://localhost:8080/a1/B2@x",
        '#define TOKEN_NAME "the-name-of-2-tokens"',
    ],
)
def test_what_looks_like_a_form_is_kept(text: str) -> None:
    assert remove_secrets(text).text == text
    assert kind_of_secret(text.split("\n")[0]) is None


def test_a_password_of_drawn_letters_is_found() -> None:
    """Gmail's app passwords have sixteen. Words joined are no secret."""
    assert blank_secrets('EMAIL_HOST_PASSWORD = "ycnwjsvzjsguugyh"\n').strip() == ""
    for words in ("configurationfile", "thequickbrownfox", "passwordhasher"):
        assert words in blank_secrets(f'password = "{words}"\n')
