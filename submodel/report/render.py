"""The report of a build: its `--json` document as one HTML file that opens offline, and the document read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, Template, TemplateError, select_autoescape
from markupsafe import Markup

from builder.evaluation.charts import Bar, Line, columns, interval_bars, line_chart
from builder.evaluation.metrics import is_exact
from builder.evaluation.scores import is_of_one_file
from builder.evaluation.wording import change, compared, points
from contract.documents import SUB_MODEL
from contract.errors import BuildError, SubmodelError
from contract.files.seals import open_sealed, seal_key
from contract.files.untrusted_json import read_bytes, read_json
from submodel.build.paths import BuildPaths

_AGAIN = "run `submodel build` again"
EVALUATION: Final = "evaluation"  # the purpose of its MAC (`contract.files.seals`)
REPORT_SCHEMA: Final = 2  # of the document below; raised when a key that the page needs changes its meaning
SHOWN = 4  # completions side by side: one of each kind


def render_report(document: Mapping[str, Any], *, title: str) -> str:
    """HTML from the document of `submodel.build.pipeline.run_build`; figures that it lacks leave their part out."""
    scored = [model for model in document["models"] if "positions" in model]
    return template("report.html.j2").render(
        title=title,
        document=document,
        scored=scored,
        time_a_line=_median_time(document.get("answers", ())),
        verdict=_verdict(scored, document.get("against_base", {})),
        exact_match=_exact_match([*scored, *document.get("baselines", ())]),
        curve=_curve(document.get("finetuning", {}).get("curve", ())),
        layers=_layers(document["plan"].get("layer_output_error", ())),
        examples=choose_examples(document.get("answers", ())),
        is_exact=is_exact,
    )


def render_beside_evaluation(document: Mapping[str, Any], paths: BuildPaths, graph: object, *, title: str) -> str:
    """`render_saved` of a build's document, with what this user's `submodel eval` has kept beside it, if anything.

    graph: what the manifest says of the served graph; figures of another one are marked as such.
    """
    try:
        kept = open_sealed(seal_key(), EVALUATION, paths.evaluation.name, read_bytes(paths.evaluation))
        if kept is not None:
            kept["is_of_another"] = kept.get("graph") != graph
            return render_saved({**document, "evaluation": kept}, paths.evaluation, title=title)
    except (OSError, ValueError, SubmodelError):  # none that can be read
        pass
    return render_saved(document, paths.figures, title=title)


def choose_examples(answers: Sequence[Mapping[str, Any]], count: int = SHOWN) -> list[Mapping[str, Any]]:
    """A few positions, of each kind one where there is one: what was gained, lost, right in both, wrong in both.

    Not the best ones: a report that shows only those is an advertisement.
    """
    kinds: dict[tuple[bool, bool], list[Mapping[str, Any]]] = {}
    for answer in answers:
        ours = answer["answers"].get(SUB_MODEL, "")
        kind = is_exact(answer["answers"].get("base", ""), answer["truth"]), is_exact(ours, answer["truth"])
        kinds.setdefault(kind, []).append(answer)
    chosen: list[Mapping[str, Any]] = []
    while len(chosen) < min(count, len(answers)):
        for kind in ((False, True), (True, False), (True, True), (False, False)):
            if kinds.get(kind) and len(chosen) < count:
                chosen.append(kinds[kind].pop(0))
    return chosen


def _median_time(answers: Sequence[Mapping[str, Any]]) -> str | None:
    """Of the sub-model's answers, with its unit, where they were timed."""
    times = [answer["milliseconds"] for answer in answers if "milliseconds" in answer]
    if not times:
        return None
    milliseconds = median(times)
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _verdict(scored: Sequence[Mapping[str, Any]], against_base: Mapping[str, Any]) -> str:
    if len(scored) < 2:
        return "Nothing was scored, so how good the sub-model is was not measured."
    base, ours = scored[0], scored[1]
    figures = against_base[ours["name"]]
    difference, ratio = figures["exact_match_difference"], figures["bits_per_byte_ratio"]
    size = f"{ours['parameters'] / base['parameters']:.0%} of the base's parameters."
    if is_of_one_file(figures):
        return f"{size} How good it is can't be said from the one file that was held out: {compared(figures)}."
    if ratio["low"] <= 1 <= ratio["high"]:
        bits = "about as many bits a byte as its base, within chance"
    else:
        share = abs(ratio["value"] - 1)
        many = f"{share:.1%}" if share >= 0.0005 else f"{share:.2%}"
        bits = f"{many} {'fewer' if ratio['value'] < 1 else 'more'} bits a byte than its base"
    sentence = f"{size} On files that it never saw it needs {bits}"
    if difference["low"] > 0:
        reported = "more lines exactly than the base"
    elif difference["high"] < 0:
        reported = "fewer lines exactly than the base; a larger --size or more --minutes may make a better one"
    else:
        reported = "about as many lines exactly as the base: the difference is within what chance does on so few lines"
    return f"{sentence}, and it completes {reported}."


def _exact_match(scored: Sequence[Mapping[str, Any]]) -> Markup | None:
    if not scored:
        return None
    return interval_bars(
        [Bar(model["name"], model["fim_exact_match"], *model["fim_exact_match_interval"]) for model in scored]
    )


def _exact(figures: Mapping[str, Any]) -> str:
    """The share of lines that were completed exactly, its interval if it has one, and how many were asked."""
    low_and_high = figures.get("fim_exact_match_interval")
    interval = " ({:.0%} to {:.0%})".format(*low_and_high) if low_and_high else ""
    return f"{figures['fim_exact_match']:.1%}{interval} of {figures['positions']}"


def _curve(curve: Sequence[Mapping[str, Any]]) -> Markup | None:
    if len(curve) < 2:
        return None
    points = [(entry["seconds"] / 60, entry["validation"]) for entry in curve]
    training = [(entry["seconds"] / 60, entry["training"]) for entry in curve if "training" in entry]
    lines = [Line("validation", points), *([Line("training", training)] if len(training) > 1 else [])]
    return line_chart(lines, x_label="minutes", y_label="weighted loss, nats a token")


def _layers(errors: Sequence[float]) -> Markup | None:
    return columns(errors, label="Output lost a layer") if errors else None


@cache
def template(name: str, package: str = "submodel.report") -> Template:
    """Return a template of a package, which may include those that lie here."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("submodel.report", ".")]),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["millions"] = lambda value: f"{value / 1e6:,.0f} M"
    environment.filters["megabytes"] = lambda value: f"{value / 1e6:,.0f} MB"
    environment.filters["percent"] = lambda value: f"{value:.1%}"
    environment.filters["exact"] = _exact
    environment.filters["points"] = points
    environment.filters["change"] = change
    environment.filters["compared"] = compared
    return environment.get_template(name)


def read_saved(path: Path) -> dict[str, Any]:
    """The document of a report.json, of any schema; raises BuildError if it is none."""
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} can't be read ({error}); {_AGAIN}.") from error
    if not isinstance(document, dict):
        raise BuildError(f"{path} holds no report; {_AGAIN}.")
    return document


def render_saved(document: Mapping[str, Any], path: Path, *, title: str) -> str:
    """The HTML of a document that was read from `path`; raises BuildError where its figures are no figures."""
    try:
        return render_report(document, title=title)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, TemplateError) as error:
        raise BuildError(f"{path} lacks or misstates a figure of the report ({error!r}); {_AGAIN}.") from error
