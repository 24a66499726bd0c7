"""From a document and a place in it to the text worth showing there.

The command line and the language server both come through here, so that they give the same answers. Filters of what
is shown belong between `_first_line` and `Completion`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from builder.prompt import Window, cut_window
from exporters.bundle import read_bundle
from lsp_server.engine import LINE_TOKENS, Engine, FinishReason


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What to show at the cursor: `text` is "" where nothing is worth showing."""

    text: str
    milliseconds: float
    tokens: int  # generated ones, those of the text that is not shown included


NOTHING = Completion(text="", milliseconds=0.0, tokens=0)


class Completer:
    """Asks an engine in the form that its model knows. Not for several threads at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def complete(
        self,
        text: str,
        offset: int,
        *,
        max_new_tokens: int | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Completion:
        """Complete the line at `offset` (code points, 0 ≤ offset ≤ len(text)) of a document with any line ends.

        `stop` is asked between tokens; a stopped completion shows nothing. Without `max_new_tokens`, LINE_TOKENS holds.
        Raises ServeError where the model fails.
        """
        limit = LINE_TOKENS if max_new_tokens is None else max_new_tokens
        text, offset = _with_plain_line_ends(text, offset)
        prompt_ids = self._encode(text, offset, limit)
        if not prompt_ids:
            return NOTHING
        answer = self._engine.generate(prompt_ids, max_new_tokens=limit, stop=stop)
        shown = ""
        if answer.finish is not FinishReason.CANCELLED:
            is_line_end = text[offset : offset + 1] in ("", "\n")
            shown = _first_line(answer.text, is_line_end)
        return Completion(text=shown, milliseconds=answer.milliseconds, tokens=len(answer.token_ids))

    def _encode(self, text: str, offset: int, max_new_tokens: int) -> list[int]:
        """The prompt, cut shorter where a dense script needs more tokens than the model has positions."""
        form = self._engine.encoder.form
        while True:
            window = cut_window(text, offset, form)
            if not (window.prefix + window.suffix).strip():
                return []
            prompt_ids = self._engine.encoder.encode(_without_lone_surrogates(window))
            if len(prompt_ids) + max_new_tokens <= self._engine.max_positions or form.max_prefix_chars < 2:
                return prompt_ids
            chars = form.max_prefix_chars // 2
            form = replace(
                form,
                max_prefix_chars=chars,
                prefix_step_chars=max(1, min(form.prefix_step_chars, chars // 2)),
                max_suffix_chars=form.max_suffix_chars // 2,
            )


def open_completer(bundle_folder: Path, *, threads: int | None = None, verify: bool = True) -> Completer:
    """Read a bundle and load it. Raises BundleError for a folder that is none, ServeError where it can't be loaded."""
    bundle = read_bundle(bundle_folder, verify=False)
    with ThreadPoolExecutor(max_workers=1) as beside:  # hashing takes a third of the time that loading takes
        check = beside.submit(read_bundle, bundle_folder, verify=verify)
        try:
            engine = Engine(bundle, threads=threads)
        finally:
            check.result()  # says what is wrong better than a model that does not load
    return Completer(engine)


def _first_line(text: str, is_line_end: bool) -> str:
    """What of an answer stays on the cursor's line; "" where that is white space only."""
    line = text.partition("\n")[0].partition("\r")[0]
    if not line.strip():
        return ""
    return line.rstrip() if is_line_end else line


def _with_plain_line_ends(text: str, offset: int) -> tuple[str, int]:
    """The text as models know it, with a line feed for every line end, and the offset in it."""
    if "\r" not in text:
        return text, offset
    before, after = (part.replace("\r\n", "\n").replace("\r", "\n") for part in (text[:offset], text[offset:]))
    return before + after, len(before)


def _without_lone_surrogates(window: Window) -> Window:
    """Half characters, which JSON can carry and a tokenizer can't, become the replacement character."""

    def mend(text: str) -> str:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    return Window(prefix=mend(window.prefix), suffix=mend(window.suffix))
