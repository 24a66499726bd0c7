"""Benchmarks' questions in the form that a model knows."""

from typing import Any

from contract.prompt import PromptEncoder, PromptFormat
from laboratory.programs.completer import ProgramRequest
from laboratory.programs.functions import find_functions
from laboratory.programs.predictor_completer import PredictorCompleter
from lsp_server.http.messages import until_stop
from testbed.tokenizer import FIM, make_tokenizer


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
    return ProgramRequest(prefix=prefix, suffix=suffix, cut=lambda text: until_stop(text, stops), max_new_tokens=tokens)


def test_each_request_has_its_form_and_its_end():
    writer: Any = Writer(FIM)
    requests = [request("def f():\n", None, ("\n",)), request("x = (\n", "\n)\n", ("ca", "\na"))]
    done = []
    texts = PredictorCompleter(writer).complete(requests, done.append)
    assert writer.asked == ["def f():\n", "<|fim_prefix|>x = (\n<|fim_suffix|>\n)\n<|fim_middle|>"]
    assert [one.cut(text) for one, text in zip(requests, texts, strict=True)] == ["abc", "abc"]
    assert [len(text) for text in texts] == [4, 5]  # no token more than what shows that the answer is over
    assert sum(done) == 2


def test_a_model_without_the_form_sees_the_prefix_and_long_files_are_cut():
    writer: Any = Writer(PromptFormat(max_prefix_tokens=12, prefix_step_tokens=4))
    PredictorCompleter(writer).complete([request("a = 1\n" * 10, "c", ())], lambda count: None)
    assert writer.asked == ["a = 1\na = 1\n"]
    PredictorCompleter(writer).complete([request("a = 1\n" * 10, None, ())], lambda count: None)
    assert writer.asked == ["a = 1\n" * 10]


def test_a_body_is_asked_for_and_returned_as_the_server_does():
    class Body(Writer):
        """Writes a body with the indentation of its first line."""

        def generate(self, prompts, on_done, *, max_new_tokens, is_done):
            self.asked = [self.encoder.tokenizer.decode(ids, skip_special_tokens=False) for ids in prompts]
            whole = "    return 1\n\ndef g():\n"
            return [whole[: next(end for end in range(1, len(whole)) if is_done(0, whole[:end]))]]

    function = find_functions("a.py", "def f():\n    return 0\n\nx = 1\n", min_lines=1, max_lines=2)[0]
    for drops_indentation, before in ((False, "def f():\n"), (True, "def f():\n    ")):
        writer: Any = Body(FIM)
        writer.encoder.drops_indentation = drops_indentation
        [answer] = PredictorCompleter(writer).complete([function.request(99)], lambda count: None)
        assert writer.asked == [f"<|fim_prefix|>{before}<|fim_suffix|>\n\nx = 1\n<|fim_middle|>"]
        assert answer == "return 1\n\nd"
        assert function.with_body(function.request(99).cut(answer)) == "def f():\n    return 1\n\n\nx = 1\n"
