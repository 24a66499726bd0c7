"""Answers a request: makes the prompt, asks the engine, and keeps what is worth showing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from contract.bundle.bundle import Bundle, is_replaced, read_bundle, verify_bundle
from contract.bundle.trusted_builds import check_trusted
from contract.errors import BundleError, SubmodelError
from contract.prompt import ContextSnippet, PromptFormat, begun_text
from lsp_server.decoding.detokenizer import Detokenizer
from lsp_server.decoding.engine import LINE_TOKENS, Engine, FinishReason, Generation
from lsp_server.decoding.healing import without_start
from lsp_server.decoding.providers import Choice, Provider
from lsp_server.request import Completion, CompletionRequest
from lsp_server.suggestion.refine import begun_characters, is_done, reads_from_column_0, refine
from lsp_server.suggestion.steps import Step
from lsp_server.suggestion.stops import begins_body, missing_closer
from lsp_server.syntax.parsed_text import begins_block

BLOCK_TOKENS = 128  # 8 lines of 16 tokens
SHORT_WINDOWS = ((384, 96), (256, 64))  # tokens before and behind the cursor, of short prompts

IsStopped = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the model reads for a request, and what its answer has to fit."""

    request: CompletionRequest  # with `is_multi_line` as the syntax says
    ids: list[int]  # empty if the window is blank
    start: str  # what was taken back before the cursor: the answer has to begin with it
    max_new_tokens: int


class _Confidence:
    """The product of the probabilities of an answer's tokens, as they come.

    A token that completes no character holds some of its bytes. It counts once another token completes the character.
    """

    def __init__(self) -> None:
        self.value = 1.0
        self._held = 1.0  # product of the tokens behind the last whole character
        self._length = 0

    def add(self, length: int, probability: float, *, counts: bool) -> None:
        """Take a token into account behind which the text has `length` characters; `counts`: the newest of them do."""
        self._held *= probability
        if length > self._length:
            self.value *= self._held if counts else 1.0
            self._held, self._length = 1.0, length


class _Watch:
    """Looks at an answer after each token: it may be whole, time may run out, or the model be no longer sure.

    started: of the request, in seconds of `time.perf_counter`.
    """

    def __init__(self, prompt: Prompt, started: float) -> None:
        self.is_late = False
        self.is_unsure = False
        self.sure = 0  # characters of the answer, without its start, of which the model is sure enough
        self._prompt = prompt
        self._budget_s = prompt.request.options.trigger.budget_ms / 1000
        self._deadline = started + self._budget_s
        self._is_begun = False
        self._confidence = _Confidence()

    def is_enough(self, text: str, probability: float) -> bool:
        """Return whether the answer ends with this token. `text` is all of it so far."""
        now = time.perf_counter()
        if not self._is_begun:  # the prompt is read; if that took nearly all the time, a third of it is added
            self._is_begun, self._deadline = True, max(self._deadline, now + self._budget_s / 3)
        request, raw = self._prompt.request, without_start(text, self._prompt.start)
        # The indentation of its own line does not count.
        counts = bool(raw.strip() or (raw and not reads_from_column_0(request)))
        self._confidence.add(len(text), probability, counts=counts)
        self.is_unsure = not self._confidence.value >= request.options.threshold.confidence
        if self.is_unsure:
            return True
        self.sure = len(raw)
        self.is_late = now > self._deadline
        return self.is_late or is_done(raw, request)


class Completer:
    """Asks an engine in the form that its model was trained with. Not for several threads at once."""

    def __init__(self, engine: Engine, build: str = "") -> None:
        self._engine = engine
        self.build = build  # SHA-256 of the bundle's bundle.json

    @property
    def choice(self) -> Choice:
        """Where the model runs, and why there."""
        return self._engine.choice

    def complete(self, request: CompletionRequest, stop: IsStopped | None = None) -> Completion:
        """Complete a text at its cursor.

        `stop` is asked between tokens and between the parses of a filter; a stopped completion shows nothing. Raises
        ServeError or EngineCrash if the model fails.
        """
        stop = stop or (lambda: False)
        started = time.perf_counter()
        prompt = self._prompt(request)
        request = prompt.request
        if not prompt.ids:
            return self._described(Completion(rule="empty-document"), request)
        short_ids = self._short_prompt_ids(prompt)
        prompt = replace(prompt, ids=short_ids or prompt.ids)
        watch = _Watch(prompt, started)
        answer = self._engine.generate(
            prompt.ids,
            max_new_tokens=prompt.max_new_tokens,
            stop=stop,
            lines=1 if request.options.stops.newline and not request.is_multi_line else None,
            is_done=watch.is_enough,
            start=prompt.start,
        )
        if answer.finish is FinishReason.CANCELLED or stop():
            return self._described(Completion(rule="cancelled"), request, answer)
        is_whole = answer.finish is FinishReason.LINES
        is_unfinished = answer.finish in (FinishReason.LENGTH, FinishReason.BROKEN_TEXT)
        raw = without_start(answer.text, prompt.start)
        if is_whole and watch.is_unsure:
            raw += "\n"  # which the engine has cut off: what is left of the line is unsure, or its end alone
        completion = refine(
            raw,
            request,
            is_unfinished=is_unfinished or (watch.is_late and not is_whole),
            sure=watch.sure if watch.is_unsure else None,
            stop=stop,
        )
        if stop():  # a newer request does not wait for the parses that are left
            return self._described(Completion(rule="cancelled"), request, answer)
        # Else a stop ended it in time.
        is_late = watch.is_late and any(step.name == "budget" for step in completion.steps)
        completion = self._described(self._judged(completion, prompt, answer), request, answer)
        is_unsure = watch.is_unsure or completion.rule == "threshold"
        return replace(completion, is_late=is_late, is_unsure=is_unsure, is_from_short_prompt=bool(short_ids))

    def recall(self, request: CompletionRequest) -> Completion:
        """Complete a text by what followed the same words elsewhere in it, or in the repository, without the model."""
        prompt = self._prompt(request)
        line = self._engine.recall(prompt.ids) if prompt.ids else ""
        return self._described(refine(without_start(line, prompt.start), prompt.request), prompt.request)

    def read_ahead(
        self,
        request: CompletionRequest,
        stop: IsStopped | None = None,
        first_key: CompletionRequest | None = None,
        on_answer: Callable[[Completion], None] = lambda completion: None,
        is_short_enough: bool = False,
    ) -> int:
        """Read the prompts that `complete` would use for a request; return how many of their tokens were computed.

        After each of them `first_key`, the request of the likeliest first key, is answered; on_answer gets the answers.
        With `is_short_enough` the whole prompt is read only if there is no short one. `stop` is asked before each chunk
        of a prompt and between tokens. Raises ServeError or EngineCrash if the model fails.
        """
        prompt = self._prompt(request)
        computed = 0
        short_ids = self._short_prompt_ids(prompt)
        # The short prompt first: after a third of a second a key has its answer, and after two the better one.
        for ids in (short_ids, [] if short_ids and is_short_enough else prompt.ids):
            if not ids:
                continue
            computed += self._engine.read(ids, stop)
            if stop is not None and stop():  # a key waits: no further prompt is made for nothing
                break
            if first_key is None:
                continue
            has_same_suffix = first_key.text[first_key.offset :] == request.text[request.offset :]
            if ids is prompt.ids and not (has_same_suffix and self._engine.encoder.prompt_format.suffix_first):
                computed += self._engine.read(self._prompt(first_key).ids, stop)  # it shares too little with this one
            answer = self.complete(first_key, stop)
            if answer.rule != "cancelled":
                on_answer(answer)
        return computed

    def _prompt(self, request: CompletionRequest) -> Prompt:
        request = replace(request, is_multi_line=request.options.trigger.multi_line and _begins_block(request))
        limit = request.options.max_new_tokens or (BLOCK_TOKENS if request.is_multi_line else LINE_TOKENS)
        limit = min(limit, request.max_tokens or limit)
        before = request.text[: request.offset]
        is_healed = request.options.filters.healing and self._engine.can_heal
        begun = begun_text(self._engine.encoder.tokenizer, before) if is_healed else ""
        start = begun if len(begun) < len(before) else ""  # never all that stands before the cursor
        limit += len(self._engine.encoder.text_ids(start))  # which the answer contains
        prompt = Prompt(request=request, ids=[], start=start, max_new_tokens=limit)
        ids = self._encode(prompt, request.context, self._engine.encoder.prompt_format)
        if start and not ids:  # nothing but white space is left
            prompt = replace(prompt, start="")
            ids = self._encode(prompt, request.context, self._engine.encoder.prompt_format)
        return replace(prompt, ids=ids)

    def _short_prompt_ids(self, whole: Prompt) -> list[int]:
        """Return a short prompt if reading the whole one would take too long, else []."""
        trigger = whole.request.options.trigger
        may_wait_s = min(trigger.cold_ms, trigger.budget_ms) / 1000
        whole_s = self._engine.reading_s(whole.ids)
        if not whole.ids or whole_s <= may_wait_s / 4:
            return []
        short_ids = self._best_short_prompt_ids(whole, may_wait_s)
        is_read = trigger.cold_ms < trigger.budget_ms
        is_read = is_read and self._engine.known_tokens(short_ids) > 0.9 * len(short_ids)
        is_needed = whole_s > may_wait_s and self._engine.reading_s(short_ids) < whole_s / 2
        return short_ids if is_read or is_needed else []

    def _best_short_prompt_ids(self, whole: Prompt, may_wait_s: float) -> list[int]:
        """Return the longest short prompt that was read already, else the longest that this machine reads in time."""
        shorts: list[list[int]] = []
        for window in SHORT_WINDOWS:
            shorts.append(self._encode(whole, (), self._with_window(*window)))
            if self._engine.known_tokens(shorts[-1]) > 0.9 * len(shorts[-1]):
                return shorts[-1]
        in_time = (ids for ids in shorts if self._engine.reading_s(ids) <= 0.75 * may_wait_s)
        return next(in_time, shorts[-1])

    def _with_window(self, prefix: int, suffix: int) -> PromptFormat:
        """Return the bundle's format with a window of at most so many tokens."""
        own = self._engine.encoder.prompt_format
        return own.with_window(min(own.max_prefix_tokens, prefix), min(own.max_suffix_tokens, suffix))

    def _encode(self, prompt: Prompt, context: tuple[ContextSnippet, ...], prompt_format: PromptFormat) -> list[int]:
        """Return the prompt's token ids, without what is begun at the cursor."""
        request = prompt.request
        text, offset = request.text, request.offset
        start = request.line_start if reads_from_column_0(request) else offset - len(prompt.start)
        text, offset = text[request.window_from : start] + text[offset:], start - request.window_from
        encoder = self._engine.encoder
        while True:
            window = encoder.window(text, offset, prompt_format)
            if not (window.prefix + window.suffix).strip():
                return []
            ids = encoder.encode(window, context, repository=request.repository, path=request.path)
            if len(ids) + prompt.max_new_tokens <= self._engine.max_positions or prompt_format.max_prefix_tokens < 2:
                return ids
            if context:
                context = context[1:]  # the oldest
                continue
            prompt_format = prompt_format.halved()

    def _judged(self, completion: Completion, prompt: Prompt, answer: Generation) -> Completion:
        """Add the confidence, and drop the text if that is too low: that a line begins further left counts, too."""
        least = prompt.request.options.threshold.confidence
        if not completion.text:
            return completion
        confidence = self._confidence(completion, prompt, answer)
        if not confidence >= least:  # NaN is not shown either
            detail = f"the model is {confidence:.0%} sure of it, and {least:.0%} is the least"
            step = Step(name="threshold", kind="threshold", action="rejected", detail=detail, before=completion.text)
            completion = Completion(rule="threshold", steps=(*completion.steps, step))
        return replace(completion, confidence=confidence)

    def _confidence(self, completion: Completion, prompt: Prompt, answer: Generation) -> float:
        """Return the product of the probabilities of the shown text's tokens."""
        raw = without_start(answer.text, prompt.start)
        begun = begun_characters(raw, prompt.request)
        shown_from = len(prompt.start) + begun
        shown_to = shown_from + _length_of(completion.text[: len(completion.text) - completion.added], raw[begun:])
        if completion.indent is not None:  # that the line begins further left counts, too
            shown_from -= begun
        detokenizer = Detokenizer(self._engine.encoder.tokenizer, prompt.ids)
        confidence, end = _Confidence(), 0
        for count, probability in enumerate(answer.probabilities, start=1):
            if end >= shown_to:
                break
            end = len(detokenizer.text(answer.token_ids[:count]))
            confidence.add(end, probability, counts=end > shown_from)
        return confidence.value

    def _described(
        self, completion: Completion, request: CompletionRequest, answer: Generation | None = None
    ) -> Completion:
        """Add the facts about how the completion was made."""
        threshold = request.options.threshold.confidence or None
        completion = replace(
            completion, is_multi_line=request.is_multi_line, build=self.build or None, threshold=threshold
        )
        if answer is None:
            return completion
        return replace(
            completion,
            milliseconds=answer.milliseconds,
            tokens=len(answer.token_ids),
            prompt_tokens=answer.prompt_tokens,
            computed_tokens=answer.computed_tokens,
            raw=answer.text,
        )


def _begins_block(request: CompletionRequest) -> bool:
    """Return whether a body begins at the cursor, by the syntax, or by braces if there is no grammar."""
    if request.grammar is None:
        return begins_body(request)
    is_unclosed = missing_closer(request) is not None
    return begins_block(request.text, request.offset, request.grammar, is_unclosed=is_unclosed)


def _length_of(shown: str, raw: str) -> int:
    """Return how many characters of an answer are shown. Filters may have changed its white space, and its end."""
    left = sum(map(len, shown.split()))
    for length, character in enumerate(raw):
        if left == 0:
            return length
        left -= not character.isspace()
    return len(raw)


def open_completer(
    bundle_folder: Path,
    *,
    threads: int | None = None,
    provider: Provider = Provider.CPU,
    verified_build: str | None = None,
    is_named: bool = True,
) -> Completer:
    """Load a bundle. Manifest and files are those of one build, even if another replaces it meanwhile.

    `verified_build`: the build whose files were verified just now; they are not verified again.
    `is_named`: the user has named the bundle on a command line. Any other must be on this account's list
    (`contract.bundle.trusted_builds`). Raises BundleError if the folder is no bundle or not trusted, ServeError if it
    can't be loaded.
    """
    for is_last in (False, False, True):
        bundle = read_bundle(bundle_folder, verify=False)
        if not is_named:
            check_trusted(bundle.folder, bundle.build)
        try:
            completer = _open(bundle, threads, provider, verify=bundle.build != verified_build)
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


def _open(bundle: Bundle, threads: int | None, provider: Provider, *, verify: bool) -> Completer:
    if verify:
        verify_bundle(bundle)  # first: native code parses what the engine opens, and only the hashes are trusted
    engine = Engine(bundle, threads=threads, provider=provider)
    return Completer(engine, bundle.build)
