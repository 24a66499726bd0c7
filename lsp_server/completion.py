"""From a document and a place in it to the text worth showing there.

The command line and the language server both come through here, so that they give the same answers. When to ask is
`lsp_server.triggers`' matter, what becomes of an answer that of `lsp_server.suggestion`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contract.bundle.bundle import Bundle, is_replaced, read_bundle, verify_bundle
from contract.bundle.threshold import Gate, read_gate
from contract.bundle.trust import check_trusted
from contract.errors import BundleError, SubmodelError
from contract.prompt import ContextPiece, PromptFormat
from lsp_server.decoding.detokenizer import Detokenizer
from lsp_server.decoding.engine import LINE_TOKENS, Engine, FinishReason, Generation
from lsp_server.decoding.healing import begun_word, without_start
from lsp_server.decoding.providers import Choice, Provider
from lsp_server.options import WHEN_ASKED, ServerOptions
from lsp_server.suggestion.refine import Refined, Refinery
from lsp_server.suggestion.situation import Situation
from lsp_server.suggestion.steps import Step
from lsp_server.syntax.grammars import find_grammar
from lsp_server.syntax.parsed_text import begins_block

BLOCK_TOKENS = 128  # 8 lines of 16 tokens
NEAR_PREFIX_TOKENS, NEAR_SUFFIX_TOKENS = 256, 64  # of the prompt that a cold place is answered from


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What to show at the cursor, and how it came about: `text` is "" where nothing is worth showing."""

    text: str
    replaces: int = 0  # characters right of the cursor whose place it takes
    milliseconds: float = 0.0
    tokens: int = 0  # generated ones, those of the text that is not shown included
    prompt_tokens: int = 0
    computed_tokens: int = 0  # of the prompt; the others were in the KV cache
    raw: str = ""  # what the model said
    steps: tuple[Step, ...] = ()
    rule: str | None = None  # what kept the text from being shown
    confidence: float | None = None  # the model's probability of the shown text, its end included
    threshold: float | None = None  # below which nothing is shown
    is_multi_line: bool = False
    is_near: bool = False  # from a short prompt, since the whole one was not read yet: the next answer may be another


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the model is asked at a place, and what its answer has to fit."""

    situation: Situation
    refinery: Refinery
    max_new_tokens: int
    start: str  # what the answer begins with
    prompt_ids: list[int]  # empty where there is nothing to go by


class Completer:
    """Asks an engine in the form that its model knows. Not for several threads at once."""

    def __init__(self, engine: Engine, gate: Gate | None = None, build: str = "") -> None:
        self._engine = engine
        self._gate = gate
        self.build = build  # SHA-256 of the bundle's bundle.json

    def interrupt(self) -> None:
        """Make what runs fail as soon as it can, and whatever is asked afterwards; for another thread to call."""
        self._engine.decoder.interrupt()

    @property
    def choice(self) -> Choice:
        """Where the model runs, and why there."""
        return self._engine.choice

    def complete(
        self,
        text: str,
        offset: int,
        *,
        path: str = "",
        language_id: str | None = None,
        context: Sequence[ContextPiece] = (),
        repository: str = "",
        options: ServerOptions = WHEN_ASKED,
        stop: Callable[[], bool] | None = None,
    ) -> Completion:
        """Complete at `offset` (code points, 0 ≤ offset ≤ len(text)) of a document with any line ends.

        `path` and the editor's `language_id` tell the language. `context` is text of other files. `stop` is asked
        between tokens; a stopped completion shows nothing. Raises ServeError where the model fails.
        """
        deadline = time.perf_counter() + options.trigger.budget_ms / 1000
        asked = self._ask(text, offset, path, language_id, context, repository, options)
        situation, refinery, limit = asked.situation, asked.refinery, asked.max_new_tokens
        start, prompt_ids, is_multi_line = asked.start, asked.prompt_ids, asked.situation.is_multi_line
        if not prompt_ids:
            return Completion(text="", rule="empty-document", is_multi_line=is_multi_line)
        near_ids = self._near(asked, path, repository, options)
        prompt_ids = near_ids or prompt_ids
        is_late = False

        def is_done(raw: str) -> bool:
            nonlocal is_late
            is_late = time.perf_counter() > deadline
            return is_late or refinery.is_done(without_start(raw, start), situation)

        one_line = options.stops.newline and not is_multi_line
        answer = self._engine.generate(
            prompt_ids, max_new_tokens=limit, stop=stop, lines=1 if one_line else None, is_done=is_done, start=start
        )
        if answer.finish is FinishReason.CANCELLED:
            return _completion(answer, Refined.nothing("cancelled"), situation, None, None)
        is_unfinished = is_late or answer.finish is FinishReason.LENGTH
        refined = refinery.refine(without_start(answer.text, start), situation, is_unfinished=is_unfinished)
        confidence = self._confidence(prompt_ids, answer, refined, len(start)) if refined.draft.text else None
        threshold = self._threshold(options.gate.precision)
        if confidence is not None and threshold is not None and confidence < threshold:
            refined = _gated(refined, confidence, threshold)
        completion = _completion(answer, refined, situation, confidence, threshold)
        return replace(completion, is_near=bool(near_ids))

    def read_ahead(
        self,
        text: str,
        offset: int,
        *,
        path: str = "",
        language_id: str | None = None,
        context: Sequence[ContextPiece] = (),
        repository: str = "",
        options: ServerOptions = WHEN_ASKED,
        stop: Callable[[], bool] | None = None,
    ) -> int:
        """Read the prompt that `complete` would ask there, and return how many of its tokens were computed.

        The arguments are those of `complete`. `stop` is asked before each chunk of the prompt. Raises ServeError if
        the model fails.
        """
        prompt_ids = self._ask(text, offset, path, language_id, context, repository, options).prompt_ids
        return self._engine.read(prompt_ids, stop) if prompt_ids else 0

    def _ask(
        self,
        text: str,
        offset: int,
        path: str,
        language_id: str | None,
        context: Sequence[ContextPiece],
        repository: str,
        options: ServerOptions,
    ) -> _Asked:
        """What the model is asked at a place."""
        text, offset = _with_plain_line_ends(text, offset)
        grammar = find_grammar(path, language_id)
        is_multi_line = options.trigger.multi_line and grammar is not None and begins_block(text, offset, grammar)
        situation = Situation(text=text, offset=offset, grammar=grammar, is_multi_line=is_multi_line)
        refinery = Refinery(stops=options.stops, filters=options.filters)
        limit = options.max_new_tokens or (BLOCK_TOKENS if is_multi_line else LINE_TOKENS)
        start = self._begun_word(situation, options)
        prompt_ids = self._encode(situation, refinery, limit, context, repository, path, start)
        return _Asked(situation=situation, refinery=refinery, max_new_tokens=limit, start=start, prompt_ids=prompt_ids)

    def _near(self, asked: _Asked, path: str, repository: str, options: ServerOptions) -> list[int]:
        """A short prompt if reading the whole one would take longer than an answer may wait, else []."""
        wait_s = min(options.trigger.cold_ms, options.trigger.budget_ms) / 1000
        whole_s = self._engine.reading_s(asked.prompt_ids)
        if whole_s <= wait_s:
            return []
        form = _near_form(self._engine.encoder.form)
        near_ids = self._encode(
            asked.situation, asked.refinery, asked.max_new_tokens, (), repository, path, asked.start, form
        )
        return near_ids if self._engine.reading_s(near_ids) < whole_s / 2 else []

    def _threshold(self, precision: float) -> float | None:
        """How sure the model must be; None where everything is shown or the build measured no gate."""
        point = self._gate.at(precision) if self._gate is not None and precision > 0 else None
        return point.threshold if point is not None else None

    def _begun_word(self, situation: Situation, options: ServerOptions) -> str:
        """What the prompt leaves out and the answer begins with; never all that stands before the cursor."""
        before = situation.text[: situation.offset]
        word = begun_word(self._engine.encoder.tokenizer, before) if options.filters.healing else ""
        return word if len(word) < len(before) else ""

    def _confidence(self, prompt_ids: list[int], answer: Generation, refined: Refined, typed: int) -> float:
        """The product of the probabilities of the tokens that the shown text was made of, and of the one after them.

        `typed`: characters at the answer's start that stood before the cursor already.
        """
        detokenizer = Detokenizer(self._engine.encoder.tokenizer, prompt_ids)
        logarithm, end = 0.0, 0
        for count, probability in enumerate(answer.probabilities, start=1):
            start, end = end, len(detokenizer.text(answer.token_ids[:count]))
            if end > typed + refined.raw_start:
                logarithm += math.log(max(probability, 1e-12))
            if start >= typed + refined.raw_end:
                break
        return math.exp(logarithm)

    def _encode(
        self,
        situation: Situation,
        refinery: Refinery,
        max_new_tokens: int,
        context: Sequence[ContextPiece],
        repository: str,
        path: str,
        start: str,
        form: PromptFormat | None = None,
    ) -> list[int]:
        """The prompt without the begun word `start`; `form` is the engine's unless it is given.

        It is cut shorter where a dense script needs more tokens than the model has positions.
        """
        text, offset = situation.text, situation.offset
        if refinery.reads_from_column_0(situation):
            text, offset = text[: situation.line_start] + text[offset:], situation.line_start
        elif start:
            text, offset = text[: offset - len(start)] + text[offset:], offset - len(start)
        encoder = self._engine.encoder
        form = form or encoder.form
        while True:
            window = encoder.window(text, offset, form)
            if not (window.prefix + window.suffix).strip():
                return []
            prompt_ids = encoder.encode(window, context, repository=repository, path=path)
            if len(prompt_ids) + max_new_tokens <= self._engine.max_positions or form.max_prefix_tokens < 2:
                return prompt_ids
            if context:
                context = context[:-1]
                continue
            form = form.with_window(form.max_prefix_tokens // 2, form.max_suffix_tokens // 2)


def open_completer(
    bundle_folder: Path,
    *,
    threads: int | None = None,
    provider: Provider = Provider.CPU,
    verify: bool = True,
    is_named: bool = True,
) -> Completer:
    """Read a bundle and load it: manifest, files and display gate of one build, also while another takes its place.

    One that the user has not named on a command line must be on this account's list (`contract.bundle.trust`). Raises
    BundleError for a folder that is none or not trusted, ServeError where it can't be loaded.
    """
    for is_last in (False, False, True):
        bundle = read_bundle(bundle_folder, verify=False)
        if not is_named:
            check_trusted(bundle.folder, bundle.build)
        try:
            completer = _open(bundle, threads, provider, verify)
        except SubmodelError:
            if is_last or not is_replaced(bundle):
                raise
        else:
            if not is_replaced(bundle):
                return completer
            del completer  # before the next one is loaded: two models need twice the memory
    raise BundleError(
        f"{bundle_folder} was replaced again and again while it was loaded; load it once builds are over."
    )


def _open(bundle: Bundle, threads: int | None, provider: Provider, verify: bool) -> Completer:
    if verify:
        verify_bundle(bundle)  # first: native code parses what the engine opens, and trust is in the hashes
    engine = Engine(bundle, threads=threads, provider=provider)
    return Completer(engine, read_gate(bundle.manifest), bundle.build)


def _near_form(form: PromptFormat) -> PromptFormat:
    """The same with a window of the size that every machine reads within half a second."""
    return form.with_window(
        min(form.max_prefix_tokens, NEAR_PREFIX_TOKENS), min(form.max_suffix_tokens, NEAR_SUFFIX_TOKENS)
    )


def _gated(refined: Refined, confidence: float, threshold: float) -> Refined:
    detail = f"the model is sure to {confidence:.0%}, and {threshold:.0%} are asked for"
    step = Step(name="gate", kind="gate", action="rejected", detail=detail, before=refined.draft.text)
    return Refined.nothing("gate", *refined.steps, step)


def _completion(
    answer: Generation, refined: Refined, situation: Situation, confidence: float | None, threshold: float | None
) -> Completion:
    return Completion(
        text=refined.draft.text,
        replaces=refined.draft.replaces,
        milliseconds=answer.milliseconds,
        tokens=len(answer.token_ids),
        prompt_tokens=answer.prompt_tokens,
        computed_tokens=answer.computed_tokens,
        raw=answer.text,
        steps=refined.steps,
        rule=refined.rule,
        confidence=confidence,
        threshold=threshold,
        is_multi_line=situation.is_multi_line,
    )


def _with_plain_line_ends(text: str, offset: int) -> tuple[str, int]:
    """The text as models know it, with a line feed for every line end, and the offset in it."""
    if "\r" not in text:
        return text, offset
    before, after = (part.replace("\r\n", "\n").replace("\r", "\n") for part in (text[:offset], text[offset:]))
    return before + after, len(before)
