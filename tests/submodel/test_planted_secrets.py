"""Keys of every common kind, planted into a repository: none is in any file that a build leaves, nor in a completion.

They are drawn at run time, so that no real form lies in this file. Looked for is the random part of each alone, so that
no escaping hides it; in the bytes of every file, in the text behind every list of token ids, and in completions.
"""

from __future__ import annotations

import base64
import json
import random
import string
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from typer.testing import CliRunner

from contract.bundle.bundle import Bundle
from lsp_server.decoding.engine import Engine
from lsp_server.request import CompletionRequest
from submodel.app import app
from testbed.models import save_base
from testbed.secret_search import texts_of
from tests.contract.test_secrets_of_texts import make_tokens
from tests.lsp_server.test_completion import fixed

pytestmark = pytest.mark.slow  # whole builds

ALNUM = string.ascii_letters + string.digits


def draw(count: int, seed: int, alphabet: str = ALNUM) -> str:
    return "".join(random.Random(f"{seed}{count}").choices(alphabet, k=count))


def make_planted() -> dict[str, tuple[str, str]]:
    """Kind → (the line or lines that hold it, the part that must be nowhere)."""
    planted = {
        kind: (f'VALUE = "{token}"', max(token.split("."), key=len)[-20:]) for kind, token in make_tokens(3).items()
    }
    body = [draw(64, seed) for seed in range(100, 110)]
    der = base64.b64encode(bytes.fromhex("308204a3020100") + random.Random(7).randbytes(1185)).decode()
    planted["PKCS#1 without a header"] = ("\n".join(der[at : at + 64] for at in range(0, len(der), 64)), der[1000:1020])
    for label in ("RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY", "PGP PRIVATE KEY BLOCK"):
        own = [label.encode().hex()[:8] + line[8:] for line in body]
        block = [f"-----BEGIN {label}-----", *own, f"-----END {label}-----"]
        planted[f"PEM {label}"] = ('KEY = """\n' + "\n".join(block) + '\n"""', own[5][10:40])
    joined = "\\n".join(["-----BEGIN PRIVATE KEY-----", *(line[::-1] for line in body), "-----END PRIVATE KEY-----"])
    planted["Google service account"] = (f'"private_key": "{joined}",', body[4][::-1][10:40])
    lines = {
        "AWS secret": 'aws_secret_access_key = "{}"',
        "Django": 'SECRET_KEY = "{}"',
        "database URL": "DATABASE_URL = postgres://ada:{}@db.internal:5432/app",
        "Redis URL": "redis://:{}@cache.internal:6379",
        "AMQP URL": "amqp://svc:{}@mq.internal/vhost",
        "netrc": "machine git.company.io login ada password {}",
        "connection string": 'DSN = "Server=tcp:db.company.io;User ID=ada;Password={};Encrypt=yes"',
        "npmrc": "//packages.company.io/:_authToken={}",
        "PyPI rc": "password = {}",
        "bearer": 'headers = {{"Authorization": "Bearer {}"}}',
        "environment": "export API_TOKEN={}",
        "YAML": "  client_secret: {}",
        "JSON": '"apiKey": "{}",',
        "next line": 'SESSION_SECRET = (\n    "{}"\n)',
        "git remote": "git clone https://ada:{}@git.company.io/x.git",
        "curl": "curl -u ada:{} https://api.company.io",
        "sshpass": "sshpass -p {} ssh ada@host",
        "mysql": "mysql -u root -p{} app",
        "PGPASSWORD": "PGPASSWORD={} psql -h db app",
        "WLAN": 'psk="{}"',
        "JSON Web Key": '{{"kty": "OKP", "d": "{}"}}',
    }
    for seed, (kind, line) in enumerate(lines.items(), start=500):
        value = draw(40, seed)
        planted[kind] = (line.format(value), value)
    credential = draw(16, 900)
    encoded = base64.b64encode(f"ada:{credential}".encode()).decode()
    planted["Docker registry"] = (f'"auth": "{encoded}"', encoded)
    planted["basic authorization"] = (f'headers = {{"Authorization": "Basic {encoded}"}}', encoded)
    return planted


def write_repository(root: Path, planted: dict[str, tuple[str, str]]) -> None:
    """Code enough to build on; each secret in a module, in a text, in a file of data and in a script."""
    for number, (line, _) in enumerate(planted.values()):
        rng = random.Random(number)
        code = [
            f"def compute_{number}_{i}(value_{rng.randrange(99)}):\n    return {rng.randrange(9999)}\n"
            for i in range(30)
        ]
        at = rng.randrange(5, 25)
        files = {
            f"src/module_{number}.py": [*code[:at], line, *code[at:]],
            f"docs/page_{number}.md": ["# A page", "", f"Set {number} is described here.", "", line, "", "It ends."],
            f"conf/data_{number}.yaml": [f"name_{number}: value", line, f"other_{number}: value"],
            f"bin/run_{number}.sh": [f"echo {number}", line, f"exit {number}"],
        }
        for path, lines in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text("\n".join(lines) + "\n")
    home = "\n".join(line for line, _ in planted.values())
    for name in (".env", ".netrc", ".npmrc", ".pypirc", "id_rsa", "credentials.json", "settings.toml", "config.ini"):
        (root / name).write_text(home + "\n")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[str, str]]]:
    folder = tmp_path_factory.mktemp("planted")
    planted = make_planted()
    write_repository(folder / "repository", planted)
    base = save_base(folder / "base", kind="qwen2")
    options = ["--base", base, "--size", 0.8, "--minutes", 0.02, "--quantize", "fp32", "--positions", 8]
    done = CliRunner().invoke(app, ["build", str(folder / "repository"), *map(str, options), "--json"])
    assert done.exit_code == 0, done.output + repr(done.exception)
    (folder / "stdout").write_text(done.output)
    return folder, planted


def test_no_planted_secret_is_in_any_file_of_a_build(built: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    folder, planted = built
    output = folder / "repository" / ".submodel"
    tokenizer = Tokenizer.from_file(str(output / "bundle" / "tokenizer.json"))
    files = [path for path in output.rglob("*") if path.is_file()]
    assert {"report.html", "report.json", "tokens.npy", "parity_prompts.json"} <= {path.name for path in files}
    for path in [*files, folder / "stdout"]:
        for text in texts_of(path, tokenizer):
            assert [kind for kind, (_, secret) in planted.items() if secret in text] == [], path
    counted = json.loads((output / "model" / "manifest.json").read_text())["corpus"]["secret_lines"]
    assert sum(counted.values()) >= 4 * len(planted)


def test_the_search_finds_what_is_there(built: tuple[Path, dict[str, tuple[str, str]]], tmp_path: Path) -> None:
    """Ordinary code of the repository is found in the drafts and the prompts by the same search."""
    folder, _ = built
    output = folder / "repository" / ".submodel"
    tokenizer = Tokenizer.from_file(str(output / "bundle" / "tokenizer.json"))
    for name in ("bundle/drafts/tokens.npy", "model/parity_prompts.json"):
        assert any("def compute_" in text for text in texts_of(output / name, tokenizer)), name


@pytest.fixture(scope="module")
def engine(tiny_bundle: Bundle) -> Engine:
    return Engine(tiny_bundle, threads=1)


@pytest.mark.parametrize("kind", make_planted())
def test_no_planted_secret_is_shown_to_the_user(engine: Engine, kind: str) -> None:
    """The model answers with the line that holds the secret; what stands above it is typed already."""
    line, secret = make_planted()[kind]
    above, _, rest = f"import os\n\n\n{line}".partition(secret)
    typed, _, begun = above.rpartition("\n")
    completer, _ = fixed(engine, begun + secret + rest.split("\n")[0])
    shown = completer.complete(CompletionRequest(text=f"{typed}\n", offset=len(typed) + 1, path="src/module.py"))
    assert (shown.text, shown.rule) == ("", "secret")
