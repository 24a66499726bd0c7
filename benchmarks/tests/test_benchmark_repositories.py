"""What is measured is neither calibrated nor tuned on."""

import re

from benchmarks.make_code_pieces import specs
from benchmarks.measured_repositories import REPORTED, TUNING
from laboratory.sources.distribution import parse_distribution
from laboratory.sources.language_sets import LANGUAGE_SETS, TEXT_SET

CLONES = {"cobra", "gson", "hono", "httpx"}  # what we report on


def words(package: str) -> set[str]:
    """The words of a package's name: golang-github-spf13-cobra and libjsoup-java have one of a repository."""
    return {part.removeprefix("lib") for part in re.split(r"[^a-z0-9]+", package.lower())}


def test_no_language_set_holds_what_the_recipe_was_tuned_on_or_what_we_report_on() -> None:
    listed = {one.name for chosen in (*LANGUAGE_SETS.values(), TEXT_SET) for one in chosen.distributions}
    assert listed.isdisjoint(one.name for one in (*TUNING, *REPORTED))
    # No figure is of a model of the Go set.
    assert [name for name in listed if words(name) & CLONES] == ["golang-github-spf13-cobra"]


def test_hono_alone_is_reported_on_and_among_the_packages_whose_tokens_are_counted() -> None:
    reported = CLONES | {one.name for one in REPORTED}
    counted = [parse_distribution(spec).name for spec in specs()]
    assert [name for name in counted if name in reported or words(name) & CLONES] == ["hono"]
