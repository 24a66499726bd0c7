"""Whether the tokenizer read from a GGUF gives llama.cpp's ids: every text file of real repositories, file by file.

    python -m benchmarks.tokenizer_parity --llama-python VENV/bin/python [FOLDER…]

Each file is compared twice: with the special tokens that its text spells taken for tokens, and as mere text, which is
how the server encodes files. A file of all special tokens, between text and white space, comes on top. llama-cpp-python
lives in an environment of its own, whose Python is given with --llama-python. With --golden the ids of a few tricky
texts are written where the tests look for them.

One difference is llama.cpp's own: it takes any token spelled `</s>` for a control token, by its name. In Qwen's
vocabulary that is an ordinary token, which Qwen's tokenizer makes by merging, and so does ours.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from benchmarks.builds import write_result
from benchmarks.machine import describe_versions
from benchmarks.measured_repositories import REPORTED, TUNING, fetch
from builder.bases.catalogue import AUTO_ORDER, BaseModel
from builder.bases.download import fetch_gguf
from builder.gguf.reader import open_gguf
from builder.gguf.tokenizer import read_tokenizer

GOLDEN = Path(__file__).parents[1] / "tests" / "builder" / "golden"
GOLDEN_TEXTS = {
    "code": "def add(a, b):\n    return a + b  # don't\n",
    "digits": "x = 1234567890 + 0x1F - 3.14159e-10; v2 = a1b22c333",
    "white space before digits": "a  1\n\t\t2\n    3   45     678\n",
    "tabs and trailing space": "\tif x:\n\t\ty  \n \t \n\n\n  z = 1 ",
    "contractions": "it's IT'S we'll WE'LL I'd 'tis rock'n'roll d'accord ''s",
    "unicode": "größe = 'naïve' + \"日本語\" + 'Ελλάδα' # e\u0301 \u00a0\u3000\u2028 ½ ² Ⅷ ٣",
    "emoji": "👍🏽 👩‍👩‍👧‍👦🇩🇪 ok😀1",
    "carriage returns": "a = 1\r\nb = 2\r\n\r\n\rc\r",
    "punctuation runs": "!==  ===>>>...{{}}((;;))  ::=->*/\n\n//---\n",
    "special tokens": "<|endoftext|>x<|im_end|> <|fim_prefix|>a<|fim_suffix|>\n<|fim_middle|><file_sep>\n<|fim |>",
    "long runs": " " * 70 + "=" * 70 + "\n" * 20 + "a" * 70,
}
# Runs in the other environment: JSON texts on stdin, one a line; JSON ids on stdout, special tokens parsed and not.
LLAMA_PROGRAM = """
import json, sys
import llama_cpp
model = llama_cpp.Llama(sys.argv[1], vocab_only=True, verbose=False)
print(json.dumps(llama_cpp.__version__), flush=True)
for line in sys.stdin:
    text = json.loads(line).encode()
    print(json.dumps([model.tokenize(text, add_bos=False, special=special) for special in (True, False)]), flush=True)
"""


class LlamaTokenizer:
    """llama.cpp's tokenizer of one GGUF file, in a process of its own."""

    def __init__(self, python: str, gguf: Path) -> None:
        self.process = subprocess.Popen(
            [python, "-c", LLAMA_PROGRAM, str(gguf)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.version: str = self._answer()

    def ids(self, text: str) -> tuple[list[int], list[int]]:
        """With special tokens parsed, and as mere text."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(text) + "\n")
        self.process.stdin.flush()
        parsed, plain = self._answer()
        return parsed, plain

    def close(self) -> None:
        """End the process."""
        self.process.communicate()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit("llama.cpp's process ended; run its Python by hand to see why.")
        return json.loads(line)


def text_files(repository: Path) -> Iterator[tuple[str, str]]:
    """Name and text of every file that is UTF-8 without NUL bytes."""
    for path in sorted(path for path in repository.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if b"\0" not in data:
            with suppress(UnicodeDecodeError):
                yield str(path), data.decode()


def special_text(tokenizer: Tokenizer) -> str:
    """Every special and added token, alone, doubled, and beside letters, digits and white space."""
    tokens = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    return "\n".join(f"{token} a{token}1 {token}{token}\t{token}\n" for token in tokens) + "".join(tokens)


def our_ids(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """As `LlamaTokenizer.ids`."""
    tokenizer.encode_special_tokens = False
    parsed = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = True
    return parsed, tokenizer.encode(text, add_special_tokens=False).ids


def compare(entry: BaseModel, repositories: list[Path], python: str, write_golden: bool) -> dict[str, Any]:
    """Figures for each repository, and llama-cpp-python's version."""
    path = fetch_gguf(entry)
    with open_gguf(path) as gguf:
        tokenizer = read_tokenizer(gguf).tokenizer
    llama = LlamaTokenizer(python, path)
    sources = [(repository.name, text_files(repository)) for repository in repositories]
    sources.append(("all special tokens", iter([("", special_text(tokenizer))])))
    figures: dict[str, Any] = {}
    for repository, files in sources:
        count, tokens, differing, differing_as_text = 0, 0, [], []
        for name, text in files:
            (parsed, plain), (llama_parsed, llama_plain) = our_ids(tokenizer, text), llama.ids(text)
            count, tokens = count + 1, tokens + len(parsed)
            differing += [name] if parsed != llama_parsed else []
            differing_as_text += [name] if plain != llama_plain else []
        figures[repository] = {
            "files": count,
            "tokens": tokens,
            "differing": len(differing),
            "differing_as_text": len(differing_as_text),
            "names": sorted({*differing, *differing_as_text})[:20],
        }
    if write_golden:
        write_golden_ids(entry, llama)
    llama.close()
    return {"llama-cpp-python": llama.version, "repositories": figures}


def write_golden_ids(entry: BaseModel, llama: LlamaTokenizer) -> None:
    """What tests/builder/test_gguf_tokenizer.py compares with."""
    rows = [{"name": name, "text": text, "ids": llama.ids(text)[0]} for name, text in GOLDEN_TEXTS.items()]
    GOLDEN.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (GOLDEN / f"{entry.name}.ids.json").write_text(f"[\n{lines}\n]\n", "utf-8")


def main() -> None:
    """Compare, write the figures, print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "repositories", type=Path, nargs="*", help="Default: those of benchmarks/measured_repositories.py."
    )
    parser.add_argument("--llama-python", required=True)
    parser.add_argument("--golden", action="store_true")
    options = parser.parse_args()
    repositories = options.repositories or [fetch(repository) for repository in (*TUNING, *REPORTED)]
    compared = {
        entry.name: compare(entry, repositories, options.llama_python, options.golden)
        for entry in AUTO_ORDER
        if entry.packaged is not None
    }
    llama_version = next(iter(compared.values()))["llama-cpp-python"]
    document = {
        "command": f"python -m benchmarks.tokenizer_parity {shlex.join(sys.argv[1:])}",
        "versions": describe_versions() | {"llama-cpp-python": llama_version},
        "bases": {name: result["repositories"] for name, result in compared.items()},
    }
    write_result("tokenizer-parity", document)
    json.dump(document["bases"], sys.stdout, indent=2)


if __name__ == "__main__":
    main()
