"""Other runtimes on our own bundle: `python -m laboratory.bench.runtime_worker '{"runtime": "genai", "bundle": …}'`.

onnxruntime-genai keeps what a prompt shares with the last one, as an editor's plug-in would want. optimum's wrapper is
used as its users do, and reads every prompt from an empty cache. Neither is part of the product; the package of genai
has to be installed.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from contract.bundle.bundle import Bundle, read_bundle
from contract.files.folders import copy_folder
from contract.prompt import PromptEncoder, shared_prefix
from laboratory.bench.llama_cpp_worker import answer_requests
from lsp_server.decoding.detokenizer import Detokenizer, control_ids, load_tokenizer
from lsp_server.decoding.engine import LINE_TOKENS

RUNTIMES = ("genai", "optimum")


class Runtime(Protocol):
    """A source of greedy tokens after a prompt, without end; the first comes once the prompt is read."""

    version: dict[str, str]

    def continued(self, ids: Sequence[int]) -> Iterator[int]:
        """Continue token ids; reuse what is the same as last time if the runtime can."""

    def forget(self) -> None:
        """Forget the last prompt."""


class Genai:
    """onnxruntime-genai, which finds the graph by genai_config.json."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        import onnxruntime_genai

        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        for path in bundle.folder.iterdir():
            if path.name == "genai_config.json":
                config = json.loads(path.read_text("utf-8"))
                config["model"]["decoder"]["session_options"]["intra_op_num_threads"] = threads
                (folder / path.name).write_text(json.dumps(config), "utf-8")
            elif path.is_dir():
                try:
                    (folder / path.name).symlink_to(path.absolute())
                except OSError:  # Windows gives the right to make links to few accounts
                    copy_folder(path, folder / path.name, as_links=True)
            else:
                shutil.copyfile(path, folder / path.name)
        self._genai = onnxruntime_genai
        self._model = onnxruntime_genai.Model(str(folder))
        self.version = {"onnxruntime-genai": onnxruntime_genai.__version__}
        self.forget()

    def forget(self) -> None:
        """A new generator."""
        parameters = self._genai.GeneratorParams(self._model)
        parameters.set_search_options(max_length=4096, do_sample=False)
        self._generator = self._genai.Generator(self._model, parameters)
        self._tokens: list[int] = []

    def continued(self, ids: Sequence[int]) -> Iterator[int]:
        """Rewind to what is shared, append the rest, and continue."""
        kept = min(shared_prefix(self._tokens, ids), len(ids) - 1)
        if kept < len(self._tokens):
            self._generator.rewind_to(kept)
        self._generator.append_tokens(list(ids[kept:]))
        self._tokens = list(ids)
        while True:
            self._generator.generate_next_token()
            token = int(self._generator.get_next_tokens()[0])
            self._tokens.append(token)
            yield token


class Optimum:
    """Hugging Face's wrapper of ONNX Runtime: transformers' cache interface, one call a token."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        import onnxruntime
        from optimum.onnxruntime import ORTModelForCausalLM

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._model = ORTModelForCausalLM.from_pretrained(
            bundle.folder,
            subfolder="onnx",
            file_name=bundle.model_path.name,
            local_files_only=True,
            session_options=options,
        )
        self.version = {"onnxruntime": onnxruntime.__version__}

    def forget(self) -> None:
        """Do nothing: this runtime remembers no prompt."""

    def continued(self, ids: Sequence[int]) -> Iterator[int]:
        """Read the prompt, then decode token by token with the cache that the model returns."""
        import torch

        past, tokens = None, list(ids)
        fresh = tokens
        while True:
            output = self._model(
                input_ids=torch.tensor([fresh]),
                attention_mask=torch.ones((1, len(tokens)), dtype=torch.long),
                past_key_values=past,
                use_cache=True,
            )
            past = output.past_key_values
            token = int(output.logits[0, -1].argmax())
            tokens.append(token)
            fresh = [token]
            yield token


class RuntimeWorker:
    """One runtime, asked as the other workers are."""

    def __init__(self, runtime: str, bundle: str, threads: int) -> None:
        started = time.perf_counter()
        opened = read_bundle(Path(bundle), verify=False)
        self._runtime: Runtime = Genai(opened, threads) if runtime == "genai" else Optimum(opened, threads)
        self._encoder = PromptEncoder(load_tokenizer(opened.tokenizer_path), opened.prompt)
        self._ends = control_ids(self._encoder.tokenizer) | self._encoder.stop_ids
        self.load_s = time.perf_counter() - started
        self.reads_suffix = opened.prompt.is_fim
        self.version = self._runtime.version

    def complete(self, before: str, behind: str, path: str = "") -> dict[str, Any]:
        """Return the rest of the line, greedily.

        The prompt ends where the product's does: before the word, or the indentation, that stands at the cursor. What
        the answer repeats of it is left out.
        """
        started = time.perf_counter()
        taken = self._encoder.taken_back(before)
        before = before.removesuffix(taken) if len(taken) < len(before) else before
        ids = self._encoder.encode(self._encoder.window(before + behind, len(before)), path=path)
        detokenizer, tokens, text = Detokenizer(self._encoder.tokenizer, ids), list[int](), ""
        for token in self._runtime.continued(ids) if ids else ():
            if token in self._ends:
                break
            tokens.append(token)
            text = detokenizer.text(tokens)
            if "\n" in text or len(tokens) == LINE_TOKENS:
                break
        milliseconds = (time.perf_counter() - started) * 1000
        return {"text": text.split("\n")[0].removeprefix(taken), "tokens": len(tokens), "milliseconds": milliseconds}

    def speed(self, text: str, prompt_tokens: int, decode_tokens: int) -> dict[str, Any]:
        """Measure the times of a prompt from an empty cache and of plain steps after it."""
        ids = self._encoder.text_ids(text)[:prompt_tokens]
        self._runtime.forget()
        started = time.perf_counter()
        tokens = self._runtime.continued(ids)
        next(tokens)
        read = time.perf_counter()
        for _ in range(decode_tokens):
            next(tokens)
        done = time.perf_counter()
        return {
            "prompt_tokens": len(ids),
            "prompt_characters": len(self._encoder.tokenizer.decode(ids)),
            "prompt_s": read - started,
            "decode_tokens": decode_tokens,
            "decode_s": done - read,
        }


if __name__ == "__main__":
    opened = RuntimeWorker(**json.loads(sys.argv[1]))
    answer_requests(opened, opened.version)
