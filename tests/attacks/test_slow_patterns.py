"""No regular expression over a stranger's text takes more than linear time: a file of a quarter megabyte ends.

No limit of speed: a pattern that takes the square would take minutes, and is killed.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SMOKE = """
from contract.repository.file_filters import reason_by_text
from contract.repository.languages import find_language
from contract.repository.secrets import blank_secrets
size = 256_000
pieces = ("key=", "eyJ-", "token: ", "aws", "://a:", "password='", "secret(", "+", "sk-", "basic ", "login a ",
          "curl -u a:", "'\\\\'+'", "A", "a1", "-", "\\\\n", "\\"d\\":\\"", "MII", "password ", "' + '", "x=",
          "?token=", "'x-key:", "openssl ", "auth=('", "mnemonic ", "://a", "env a", "password: |", "\u200bpw", "\\\\'",
          'password=\\"\\"\\"', "key || '", "key ? a : ", "key((a)", "${key:-", "a=b password=",
          "key: a1B2c3D4, ", "key_sha1")
for piece in pieces:
    for text in (piece * (size // len(piece)), (piece + "\\n") * (size // (len(piece) + 1))):
        blank_secrets(text)
tasks = ("'" + " " * 95 + "x Write a function to abcdefghi\\n") * 2000
texts = ("candidate " * 3 + "candidate=x" + " " * size + "y", tasks)
for text in texts:
    reason_by_text(text, find_language("a.py"))
"""


def test_slow_lines_of_a_whole_file_end() -> None:
    subprocess.run([sys.executable, "-P", "-c", SMOKE], check=True, timeout=120, env={"PYTHONPATH": ":".join(sys.path)})


BELOW = """
from contract.repository.secrets import remove_secrets
from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion.filters import secret
line = ("(" + ("pw " * 27)[:79] + ")") * 119 + " ||"
text = line + "\\n" + "a" * 200_000
assert remove_secrets(text).text == text
text = line[-4000:] + "\\n" + "a" * 15_000 + "("
assert secret(Completion(text="1, 'x', `y`, \\"z"), CompletionRequest(text=text, offset=len(text))) is None
"""


def test_a_value_below_a_line_of_thousands_of_names_is_judged_for_few_of_them() -> None:
    """On 40147da0 it was judged for each: this took hours, with the interpreter's lock held."""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-P", "-c", BELOW], check=True, timeout=120, env=environment)
