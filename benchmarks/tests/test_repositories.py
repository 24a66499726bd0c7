"""What is measured is neither calibrated nor tuned on."""

from benchmarks.measured_repositories import REPORTED, TUNING
from builder.sources.language_sets import LANGUAGE_SETS, TEXT_SET


def test_no_language_set_holds_what_the_recipe_was_tuned_on_or_what_we_report_on() -> None:
    listed = {one.name for chosen in (*LANGUAGE_SETS.values(), TEXT_SET) for one in chosen.distributions}
    assert listed.isdisjoint(one.name for one in (*TUNING, *REPORTED))
