"""What is drawn stays what it was: other examples would make another model of the same repository."""

import hashlib

import pytest

from builder.corpus.corpus import SourceFile
from builder.fim_examples import draw_block_examples, draw_fim_examples, draw_mixed_examples
from builder.learning_examples import make_examples
from contract.prompt import PromptEncoder
from testbed.python_files import python_text
from testbed.tokenizer import FIM, make_tokenizer


def files():
    texts = {f"part_{number}.py": python_text(f"compute_{number}", 9, lambda i: 31 * i) for number in range(6)}
    return [
        SourceFile(path=path, language="Python", text=text, sha256="0", split="calibration")
        for path, text in {**texts, "empty.py": ""}.items()
    ]


def hash_of(parts):
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("draw", "recorded"),
    [
        (draw_fim_examples, ("6bb1ac817dc6428d", "5821885ac6c23795")),
        (draw_mixed_examples, ("76405fecf080e61e", "75d64e57b8b029f6")),
        (draw_block_examples, ("5bcfb643ac8d933b", "e3b418bcec11b88a")),
    ],
)
def test_places_are_those_that_they_were(draw, recorded):
    for count, expected in zip((20, 10_000), recorded, strict=True):
        drawn = draw(files(), count, 3)
        assert hash_of((one.file.path, one.offset, one.middle) for one in drawn) == expected, count


def test_sequences_are_those_that_they_were():
    encoder = PromptEncoder(make_tokenizer(), FIM.with_window(60, 30))
    for tokens, expected in ((500, "e41171116fa21c0b"), (20_000, "f396d1fee1fee3e4")):
        made = make_examples(files(), encoder, tokens, 3)
        assert hash_of((one.ids, one.prompt_tokens) for one in made) == expected, tokens
