"""The base as its users ask it: the prompt that llama.vscode's request becomes in llama.cpp's server.

The plug-in sends 256 lines before the cursor's line and 64 behind it, and no indentation where the line is empty so far
(ggml-org/llama.vscode at 3938fb3, `completion.ts` and `configuration.ts`). The server is started with batches of 1,024
tokens and takes the last three quarters of a batch of the prefix and what is left of a quarter of the suffix
(llama.cpp, `format_prompt_infill`). A position that stands alone has no ring of chunks: nobody was elsewhere before.
"""

from __future__ import annotations

from collections.abc import Sequence

from contract.prompt import ContextSnippet, PromptEncoder, PromptFormat, Window

PREFIX_LINES = 256
SUFFIX_LINES = 64
BATCH_TOKENS = 1024


class InfillEncoder(PromptEncoder):
    """A base's prompts as llama.cpp's server makes them; a base without fill-in-the-middle sees the prefix alone."""

    drops_indentation = True

    def window(self, text: str, offset: int, prompt_format: PromptFormat | None = None) -> Window:
        """256 lines before the cursor's and its start, the rest of its line and 64 more; `prompt_format` is ignored."""
        begin = text.rfind("\n", 0, offset) + 1
        start = text[begin:offset]
        before = text[:begin].split("\n")[-PREFIX_LINES - 1 :]
        behind = text[offset:].split("\n")[: SUFFIX_LINES + 1]
        typed = start if start.strip() else ""
        used = len(self.text_ids(typed))
        prefix = self._last_tokens("\n".join(before), BATCH_TOKENS // 4 * 3)
        suffix = self._first_tokens("\n".join(behind) + "\n", max(0, BATCH_TOKENS // 4 - 2 - used))
        return Window(prefix=prefix + typed, suffix=suffix if self.prompt_format.is_fim else "")

    def encode(
        self, window: Window, context: Sequence[ContextSnippet] = (), *, repository: str = "", path: str = ""
    ) -> list[int]:
        """The base's own order of the parts, behind what the server puts before them where the base has such tokens.

        `context`, `repository` and `path` have no part in it: the server writes names of its own.
        """
        repository_token, file_token = self.prompt_format.repository_tokens
        head: list[int] = []
        if self.prompt_format.is_fim and repository_token is not None:
            head += [self._id(repository_token), *self.text_ids("myproject\n")]
        if self.prompt_format.is_fim and file_token is not None:
            head += [self._id(file_token), *self.text_ids("filename\n")]
        return [*head, *super().encode(window)]

    def _last_tokens(self, text: str, count: int) -> str:
        offsets = self.tokenizer.encode(text, add_special_tokens=False).offsets
        return text[offsets[-count][0] :] if len(offsets) > count else text

    def _first_tokens(self, text: str, count: int) -> str:
        offsets = self.tokenizer.encode(text, add_special_tokens=False).offsets
        return text[: offsets[count][0]] if len(offsets) > count else text
