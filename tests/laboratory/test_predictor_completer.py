"""Benchmarks' questions in the form that a model knows."""

from typing import Any

from contract.prompt import PromptEncoder, PromptFormat
from laboratory.programs.completer import ProgramRequest, cut_at_stops
from laboratory.programs.predictor_completer import PredictorCompleter
from testbed.tokenizer import FIM_TOKENS, make_tokenizer

FIM = PromptFormat(prefix_token=FIM_TOKENS[0], suffix_token=FIM_TOKENS[1], middle_token=FIM_TOKENS[2])


class Writer:
    """Writes "abc\nabc\n…", a character at a time, and remembers what it was asked."""

    name = "writer"

    def __init__(self, prompt_format):
        self.encoder = PromptEncoder(make_tokenizer(), prompt_format)

    def generate(self, prompts, on_done, *, max_new_tokens, is_done):
        self.asked = [self.encoder.tokenizer.decode(ids, skip_special_tokens=False) for ids in prompts]
        texts = []
        for index in range(len(prompts)):
            text = ""
            while len(text) < max_new_tokens and not is_done(index, text):
                text += "abc\n"[len(text) % 4]
            texts.append(text)
            on_done(1)
        return texts


def request(prefix, suffix, stops, tokens=20):
    return ProgramRequest(
        prefix=prefix, suffix=suffix, cut=lambda text: cut_at_stops(text, stops), max_new_tokens=tokens
    )


def test_each_request_has_its_form_and_its_end():
    writer: Any = Writer(FIM)
    requests = [request("def f():\n", None, ("\n",)), request("x = ", "\ny = 2\n", ("ca", "\na"))]
    done = []
    texts = PredictorCompleter(writer).complete(requests, done.append)
    assert writer.asked == ["def f():\n", "<|fim_prefix|>x = <|fim_suffix|>\ny = 2\n<|fim_middle|>"]
    assert [one.cut(text) for one, text in zip(requests, texts, strict=True)] == ["abc", "abc"]
    assert [len(text) for text in texts] == [4, 5]  # no token more than what shows that the answer is over
    assert sum(done) == 2


def test_a_model_without_the_form_sees_the_prefix_and_long_files_are_cut():
    writer: Any = Writer(PromptFormat(max_prefix_tokens=12, prefix_step_tokens=4))
    PredictorCompleter(writer).complete([request("a = 1\n" * 10 + "b", "c", ())], lambda count: None)
    assert writer.asked == ["a = 1\na = 1\nb"]
    PredictorCompleter(writer).complete([request("a = 1\n" * 10, None, ())], lambda count: None)
    assert writer.asked == ["a = 1\n" * 10]
