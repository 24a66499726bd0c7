"""The report.json that an earlier build left, read again: it may be damaged, edited or another program's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from contract.errors import BuildError
from contract.files.untrusted_json import read_json
from submodel.report.render import render_report

_AGAIN = "run `submodel build` again"


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
