"""A peer: llama.cpp with a GGUF file, driven line by line over its standard streams.

Any Python that has llama-cpp-python can run this script, so that the peer may have another environment. The script
imports nothing of this project. Each line of input is a JSON document with a key `do`, each line of output its answer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

SUFFIX_FIRST, PATH_FIRST = "submodel.prompt.suffix_first", "submodel.prompt.path_first"  # of our exporter
LINE_TOKENS, MAX_PATH_TOKENS = 32, 48  # as `lsp_server` and `contract.prompt` have them

# What llama.vscode sends, and what llama.cpp's server keeps of it. `builder.evaluation.infill` asks torch the same.
PREFIX_LINES, SUFFIX_LINES, BATCH_TOKENS = 256, 64, 1024
HEAD = ("myproject\n", "filename\n")  # behind the token of a repository's name, and of a file's


class Peer:
    """One model. A prompt reuses the beginning that it shares with the last one.

    So does llama.cpp's server. Its `--cache-reuse`, which also reuses later parts, is not covered. A sub-model of ours
    is asked before the word at the cursor, as it has learned. Its window is llama.vscode's even so.
    """

    def __init__(self, model: str, threads: int, context: int) -> None:
        import llama_cpp

        started = time.perf_counter()
        self.llm = llama_cpp.Llama(
            model_path=model,
            n_ctx=context,
            n_threads=threads,
            n_threads_batch=threads,
            n_batch=BATCH_TOKENS,  # as llama.vscode's README has it
            n_ubatch=512,  # llama.cpp's default; the README's 1,024 are a tenth slower here
            flash_attn=True,  # as the server does by default
            verbose=False,
        )
        self.load_s = time.perf_counter() - started
        # Which vector units it was compiled for; a library without AVX-512 or VNNI is slower.
        features = llama_cpp.llama_print_system_info().decode("utf-8", "replace").strip()
        self.versions = {"llama-cpp-python": llama_cpp.__version__, "llama.cpp features": features}
        self.suffix_first = self.llm.metadata.get(SUFFIX_FIRST) == "true"
        self.path_first = self.llm.metadata.get(PATH_FIRST) == "true"
        # By their meaning, as llama.cpp's server finds them: the families of bases spell them differently.
        words = llama_cpp.llama_model_get_vocab(self.llm.model)
        self.fim_ids = [getattr(llama_cpp, f"llama_vocab_fim_{part}")(words) for part in ("pre", "suf", "mid")]
        self.head_ids = [getattr(llama_cpp, f"llama_vocab_fim_{part}")(words) for part in ("rep", "sep")]
        self.start_ids = [self.llm.token_bos()] if llama_cpp.llama_vocab_get_add_bos(words) else []
        self.reads_suffix = min(self.fim_ids) >= 0
        ends = ("<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>")
        self.end_ids = {self.llm.token_eos(), *self.fim_ids, *self.head_ids, *map(self._special, ends)}

    def complete(self, before: str, behind: str, path: str = "") -> dict[str, Any]:
        """Return the rest of the line, greedily; `before` and `behind` are the file around the cursor."""
        started = time.perf_counter()
        begin = before.rfind("\n") + 1
        indentation = "" if before[begin:].strip() else before[begin:]
        taken = self._begun(before[begin:]) if self.suffix_first and not indentation else ""
        typed = self._text("" if indentation else before[begin:].removesuffix(taken))
        lines = "\n".join(before[:begin].split("\n")[-PREFIX_LINES - 1 :])
        prefix = [*self._text(lines)[-(BATCH_TOKENS // 4 * 3) :], *typed]
        lines = "\n".join(behind.split("\n")[: SUFFIX_LINES + 1]) + "\n"
        suffix = self._text(lines)[: max(0, BATCH_TOKENS // 4 - 2 - len(typed))]
        prompt = self.prompt(prefix, suffix, path)
        answer, count = b"", 0
        steps = self.llm.generate(prompt, top_k=1, temp=0.0, repeat_penalty=1.0, reset=True) if prompt else ()
        for token in steps:
            if token in self.end_ids:
                break
            count += 1
            answer += self.llm.detokenize([token])
            if b"\n" in answer or count == LINE_TOKENS:
                break
        text = answer.decode("utf-8", "replace").split("\n")[0]
        blanks = len(text) - len(text.lstrip(" \t"))
        text = text[min(blanks, len(indentation)) :].removeprefix(taken)
        return {"text": text, "tokens": count, "milliseconds": (time.perf_counter() - started) * 1000}

    def prompt(self, prefix: list[int], suffix: list[int], path: str = "") -> list[int]:
        """Return the tokens that are asked; the prefix alone if the model has no tokens for fill-in-the-middle."""
        pre, suf, mid = self.fim_ids
        if not self.reads_suffix:
            return [*self.start_ids, *prefix]
        if self.suffix_first:
            head = [self.head_ids[1], *self._text(f"{path}\n")[-MAX_PATH_TOKENS:]] if self.path_first and path else []
            return [*self.start_ids, *head, pre, suf, *suffix, mid, *prefix]
        named = zip(self.head_ids, HEAD, strict=True)
        head = [i for token, text in named if token >= 0 for i in (token, *self._text(text))]
        return [*head, *self.start_ids, pre, *prefix, suf, *suffix, mid]

    def speed(self, text: str, prompt_tokens: int, decode_tokens: int) -> dict[str, Any]:
        """Measure the times of a prompt from an empty cache and of plain steps after it."""
        ids = self._text(text)[:prompt_tokens]
        self.llm.reset()  # drops its tokens too, so that no prefix is found
        started = time.perf_counter()
        steps = self.llm.generate(ids, top_k=1, temp=0.0, repeat_penalty=1.0, reset=True)
        next(steps)
        read = time.perf_counter()
        count = 0
        for _ in steps:
            count += 1
            if count == decode_tokens:
                break
        done = time.perf_counter()
        return {
            "prompt_tokens": len(ids),
            "prompt_characters": len(self.llm.detokenize(ids).decode("utf-8", "replace")),
            "prompt_s": read - started,
            "decode_tokens": count,
            "decode_s": done - read,
        }

    def _begun(self, line: str) -> str:
        """Return what a sub-model writes again of a line: the word at its end, with the character before, or a token.

        `contract.prompt.begun_text` finds the same for our own engine with Qwen's tokenizer. With others it may leave
        out the character before, unless it is a space.
        """
        begin = len(line)
        while begin and line[begin - 1].isalpha():
            begin -= 1
        if begin == len(line):
            last = self.llm.detokenize(self._text(line)[-1:]).decode("utf-8", "replace")
        else:
            before = line[max(begin - 1, 0) : begin]
            last = line[begin:] if before.isalnum() or before == "\r" else before + line[begin:]
        return last if line.endswith(last) else ""

    def _text(self, text: str) -> list[int]:
        return list(self.llm.tokenize(text.encode(), add_bos=False, special=False))

    def _special(self, token: str) -> int:
        ids = self.llm.tokenize(token.encode(), add_bos=False, special=True)
        return int(ids[0]) if len(ids) == 1 else -1


def answer_requests(worker: Any, versions: Mapping[str, str]) -> None:
    """Report that an engine is loaded, and answer for it until the input ends."""
    loaded = {"load_s": worker.load_s, "versions": versions, "reads_suffix": worker.reads_suffix}
    tell({**loaded, "pid": os.getpid()})
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"complete": worker.complete, "speed": worker.speed}[request.pop("do")]
        tell(answer(**request))


def tell(document: dict[str, Any]) -> None:
    """One line."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    peer = Peer(**json.loads(sys.argv[1]))
    answer_requests(peer, peer.versions)
