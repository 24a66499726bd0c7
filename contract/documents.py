"""The documents that cross a boundary, with all keys: bundle.json, a build's report, its progress, the server's status.

`submodel.schema_files` makes docs/schema/ of them. A reader must accept keys that it doesn't know. A figure that was
not measured is absent. A document from disk has these types only as far as its reader has checked it.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NotRequired, TypedDict

SUB_MODEL: Final = "sub-model"  # the name of its row: as its bundle answers


class FileFacts(TypedDict):
    """A file of a bundle."""

    bytes: int
    sha256: str


class BaseFacts(TypedDict):
    """Which base model it was, and where it came from."""

    name: str
    source: NotRequired[str]
    sha256: NotRequired[str]
    licence: NotRequired[str]
    why: NotRequired[str]
    revision: NotRequired[str]
    parameters: NotRequired[int]


class BaseAndKept(TypedDict):
    """A size of the base, and what pruning kept of it."""

    base: int
    kept: int


class PlanFacts(TypedDict):
    """What pruning removed. Lists have one entry for each layer."""

    parameters: int
    share_of_base: float
    vocabulary: BaseAndKept
    feed_forward_width: BaseAndKept
    layers: int
    layer_ridge: NotRequired[list[float]]
    layer_output_error: NotRequired[list[float]]


class CalibrationFacts(TypedDict):
    """What pruning was calibrated on, in sequences and tokens."""

    prompt_format: str
    sequences: int
    tokens: int
    longest_sequence: int
    validation_sequences: int
    validation_tokens: int


class LossChange(TypedDict):
    """Validation loss before and after fine-tuning: nats a token, each weighted as in training."""

    before: float
    after: float | None


class LossPoint(TypedDict):
    """A validation during fine-tuning. Losses are in nats a token, each weighted as in training."""

    step: int
    seconds: float
    tokens: int
    validation: float
    training: NotRequired[float]


class FineTuningFacts(TypedDict):
    """How the model was fine-tuned; `minutes` alone if it was not."""

    minutes: float
    steps: NotRequired[int]
    kept_step: NotRequired[int]
    tokens: NotRequired[int]
    tokens_per_s: NotRequired[float]
    products: NotRequired[str]  # with the frozen weights: int8, or the type of the weights
    validation_loss: NotRequired[LossChange]
    curve: NotRequired[list[LossPoint]]
    settings: NotRequired[dict[str, Any]]


class ParityFacts(TypedDict):
    """How the exported graph answers beside the checkpoint. Losses are in nats a token, the increase is relative."""

    logit_prompts: NotRequired[int]
    max_logit_difference: NotRequired[float]
    logit_scale: NotRequired[float]
    prompts: NotRequired[int]
    greedy_tokens: NotRequired[int]
    greedy_agreement: NotRequired[float]
    loss_tokens: NotRequired[int]
    reference_loss: NotRequired[float]
    loss: NotRequired[float]
    loss_increase: NotRequired[float]


class PromptFacts(TypedDict):
    """The prompt format that the model is asked with."""

    prefix_token: NotRequired[str | None]
    suffix_token: NotRequired[str | None]
    middle_token: NotRequired[str | None]
    bos_token: NotRequired[str | None]
    stop_tokens: NotRequired[list[str]]
    end_token: NotRequired[str | None]
    suffix_first: NotRequired[bool]
    path_first: NotRequired[bool]
    max_prefix_tokens: NotRequired[int]
    prefix_step_tokens: NotRequired[int]
    max_suffix_tokens: NotRequired[int]


class ArchitectureFacts(TypedDict):
    """The numbers that an engine needs before it opens the graph."""

    layers: int
    kv_heads: int
    head_dim: int
    hidden_size: int
    vocab_size: int
    max_positions: int


class DraftFacts(TypedDict):
    """How many tokens of the repository lie in the bundle as drafts."""

    tokens: int


class VariantFacts(TypedDict):
    """Another precision of the same model, in a file of its own."""

    file: str
    quantization: str
    parity: ParityFacts


class ListingFacts(TypedDict):
    """How the files that a build read were found, and how many were left out, by reason."""

    listed_by: str  # "git", or "walk" where git did not list them
    skipped: dict[str, int]


class Manifest(TypedDict):
    """bundle.json: where a bundle came from, how it is asked, and the SHA-256 of each of its files."""

    schema: Literal[2]
    files: dict[str, FileFacts]
    layout: NotRequired[str]
    quantization: NotRequired[str]
    architecture: NotRequired[ArchitectureFacts]
    prompt: NotRequired[PromptFacts]
    base: NotRequired[BaseFacts]
    licence: NotRequired[str]
    parameters: NotRequired[int]
    plan: NotRequired[PlanFacts]
    calibration: NotRequired[CalibrationFacts]
    finetuning: NotRequired[FineTuningFacts]
    parity: NotRequired[ParityFacts]
    corpus: NotRequired[ListingFacts]
    drafts: NotRequired[DraftFacts]
    variants: NotRequired[dict[str, VariantFacts]]
    held_out_sha256: NotRequired[list[str]]
    learned_sha256: NotRequired[list[str]]
    versions: NotRequired[dict[str, str]]
    checksum: NotRequired[str]


class Figures(TypedDict):
    """Figures of quality on held-out files."""

    bits_per_byte: NotRequired[float]
    fim_exact_match: NotRequired[float]
    fim_exact_match_interval: NotRequired[list[float]]
    fim_edit_similarity: NotRequired[float]
    positions: NotRequired[int]
    fim_multi_line_exact_match: NotRequired[float]
    fim_multi_line_edit_similarity: NotRequired[float]
    multi_line_positions: NotRequired[int]


class ModelRow(Figures):
    """A model, or a model-free baseline, in a table of figures."""

    name: str
    parameters: NotRequired[int]
    bytes: NotRequired[int]
    languages: NotRequired[dict[str, Figures]]


class Estimate(TypedDict):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Comparison(TypedDict):
    """A model against the base on the same positions. The ratio is over the base's figure.

    `files`: how many files the positions are of. From one file no interval says anything about others.
    """

    exact_match_difference: Estimate
    bits_per_byte_ratio: NotRequired[Estimate]
    files: NotRequired[int]


class AnsweredPosition(TypedDict):
    """A held-out position, what base and sub-model answer, and the sub-model's time. `offset` is in characters."""

    path: str
    offset: int
    line: str
    truth: str
    answers: dict[str, str]
    milliseconds: float


class SplitFacts(TypedDict):
    """The size of one split of the repository."""

    files: int
    bytes: int
    code_files: int
    code_bytes: int


class LanguageFacts(TypedDict):
    """The size of one language. `bytes` is by split."""

    files: int
    bytes: dict[str, int]
    kind: str


class CorpusFacts(ListingFacts):
    """What the build read of the repository; no path and no text."""

    files: int
    bytes: int
    splits: dict[str, SplitFacts]
    languages: dict[str, LanguageFacts]
    secret_lines: dict[str, int]
    near_duplicates_moved: int
    fingerprint: str


class StageRow(TypedDict):
    """A stage and its time. It is not fresh if an earlier build ran it."""

    name: str
    seconds: float
    is_fresh: NotRequired[bool]


class BuildFolders(TypedDict):
    """Where a build wrote. A fleet keeps no model."""

    model: NotRequired[str]
    bundle: str
    report: str


class BuildReport(TypedDict):
    """What `submodel build --json` prints, and report.json holds."""

    schema: Literal[2]
    models: list[ModelRow]
    base: BaseFacts
    plan: PlanFacts
    calibration: CalibrationFacts
    finetuning: FineTuningFacts
    parity: ParityFacts
    corpus: CorpusFacts
    stages: list[StageRow]
    seconds: float
    peak_rss_bytes: int | None
    paths: BuildFolders
    against_base: NotRequired[dict[str, Comparison]]
    baselines: NotRequired[list[ModelRow]]
    answers: NotRequired[list[AnsweredPosition]]
    is_worse: NotRequired[bool]
    evaluation: NotRequired[dict[str, Any]]


class BuildProgress(TypedDict):
    """A line of `--progress json` of `submodel build`: a stage begins, continues or ends, or a message."""

    kind: Literal["stage", "message"]
    text: NotRequired[str]
    stage: NotRequired[str]
    state: NotRequired[Literal["running", "finished", "kept"]]
    share: NotRequired[float]
    seconds: NotRequired[float]
    seconds_left: NotRequired[float]
    total_share: NotRequired[float]
    total_seconds: NotRequired[float]
    total_seconds_left: NotRequired[float]


ServerState = Literal["starting", "loading", "ready", "unloaded", "paused", "snoozed", "disabled", "failed"]


class PowerFacts(TypedDict):
    """Whether the battery is used, and what follows from it."""

    onBattery: bool | None
    policy: Literal["full", "saving", "off"]


class LatencyFacts(TypedDict):
    """Milliseconds of the last computed completions: how many, median, 95th percentile."""

    count: int
    p50: float | None
    p95: float | None


class ServedBundle(TypedDict):
    """A bundle that the server found. `previous` has the older ones of its workspace, newest first."""

    folder: str
    workspaceFolder: str | None
    state: Literal["loading", "ready", "unloaded", "failed", "untrusted"]
    error: str | None
    build: str | None
    provider: str | None
    base: str | None
    parameters: int | None
    bytes: int | None
    builtAt: str | None
    previous: list[str]


class ServerStatus(TypedDict):
    """The answer to `submodel/status`, and the notification of that name."""

    state: ServerState
    message: str
    version: str
    snoozedUntil: str | None
    isBusy: bool
    power: PowerFacts
    threads: int
    memoryBytes: int | None
    latencyMs: LatencyFacts
    bundles: list[ServedBundle]
