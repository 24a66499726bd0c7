"""What the pages name is there: paths, functions, constants, contracts, keys of the protocol."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsp_server.acceptance import Statistics
from lsp_server.suggestion.refine import FILTERS, STOPS
from lsp_server.suggestion.steps import Step
from lsp_server.trace import Trace
from tests.test_release import needs_all_files

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = [ARCHITECTURE, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text("utf-8")
_FOLDER = re.compile(r"[\w.-]+(?:/[\w.-]+)*/")
_FILE = re.compile(r"(?:[\w.-]+/)*[\w.-]+\.(?:py|ts|md|toml|npz)|vscode-extension/[\w./-]+\.json")
_MADE_BY_A_BUILD = {
    ".submodel/",
    "pruned/",
    "model/",
    "bundle/",
    "previous/",
    "stages/",
    "next/",
}
_NAME = re.compile(r"([A-Za-z_]\w*(?:\.\w+)?)\(\)|([A-Z]\w+)")  # a call, a constant, a class
_NO_NAME = re.compile(r"SUBMODEL_\w+|PIP_\w+|Makefile")
_WITHOUT_NAMES = {"SECURITY.md"}  # it names files alone
_LAST = "\n## Phrases that the pages don't use\n"  # of CONTRIBUTING.md: its table names pages that are not there


def prose(page: Path) -> str:
    """The page without its fenced blocks and its table of phrases."""
    return re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8").partition(_LAST)[0])


def blocks(page: Path) -> list[str]:
    """Paragraphs, list items and rows of tables."""
    return re.split(r"\n(?=\s*(?:-|\d+\.)\s|\||\n)", prose(page))


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def is_path(token: str) -> bool:
    return bool(_FOLDER.fullmatch(token) or _FILE.fullmatch(token)) and token not in _MADE_BY_A_BUILD


def names_in(path: Path) -> set[str]:
    """What a Python file defines: functions, classes, methods as Class.method, and constants."""
    return set(_names(ast.parse(path.read_text("utf-8")), ""))


def _names(node: ast.AST, prefix: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield child.name
            yield from _names(child, f"{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name
            yield from _names(child, prefix)
        elif isinstance(child, ast.Assign | ast.AnnAssign):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            yield from (prefix + one.id for one in targets if isinstance(one, ast.Name))


@needs_all_files
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_path_exists(page: Path) -> None:
    paths = {token for token in quoted(prose(page)) if is_path(token)}
    assert len(paths) > 10
    folders = [ROOT, ROOT / "tests" / "attacks"] if page.name == "SECURITY.md" else [ROOT]  # as that page says
    assert [path for path in sorted(paths) if not any((folder / path).exists() for folder in folders)] == []


def test_each_folder_of_the_readme_exists() -> None:
    tree = (ROOT / "README.md").read_text("utf-8").partition("## Folders\n\n```\n")[2].partition("```")[0]
    paths, parent = [], ROOT
    for line in tree.splitlines():
        names = re.split(r"\s{2,}", line.strip())[0].split()
        is_below = line.startswith(" ")
        paths += [(parent if is_below else ROOT) / name for name in names]
        parent = parent if is_below else ROOT / names[0]
    assert len(paths) > 10
    assert [path for path in paths if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_name_is_defined_in_a_file_that_stands_beside_it(page: Path) -> None:
    names, missing = [], []
    for block in blocks(page):
        tokens = quoted(block)
        files = [ROOT / token for token in tokens if is_path(token) and token.endswith(".py")]
        defined = {name for file in files if file.exists() for name in names_in(file)}
        wanted = [match.group(1) or match.group(2) for token in tokens if (match := _NAME.fullmatch(token))]
        wanted = [name for name in wanted if not _NO_NAME.fullmatch(name)]
        names += wanted
        missing += [name for name in wanted if name not in defined]
    assert names or page.name in _WITHOUT_NAMES
    assert missing == []


def test_each_import_contract_is_reported() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = [contract["name"] for contract in document["tool"]["importlinter"]["contracts"]]
    page = " ".join(ARCHITECTURE.read_text("utf-8").split())
    assert contracts
    assert [name for name in contracts if name not in page] == []


def test_each_package_is_typed() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = document["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages
    assert [name for name in packages if not (ROOT / name / "py.typed").is_file()] == []


def test_the_protocol_lists_each_rule_that_explain_names() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "lsp_server").rglob("*.py"))
    named = set(re.findall(r"(?:\brefuse\(|\brule=)\"([a-z-]+)\"", sources)) - {"cancelled"}  # nobody sees that one
    rules = {name.replace("_", "-") for name in (*STOPS, *FILTERS)} | named
    table = PROTOCOL.partition("| rule |")[2].partition("\n\n")[0]
    listed = {name for row in table.splitlines() for name in re.findall(r"`([a-z-]+)`", row.split("|")[1:2][0])}
    assert listed == rules


def test_the_protocol_lists_the_keys_of_explain_and_statistics() -> None:
    step = Step(name="dedent", kind="stop", action="cut", detail="")
    trace = Trace(
        id=1, uri="", line=0, character=0, language=None, is_invoked=False, bundle=None, started_s=0.0, steps=(step,)
    )
    block = PROTOCOL.partition("## `submodel/explain`")[2].split("```")[1]
    assert _keys_listed(block) == _keys_in({"decisions": [trace.to_json()]})
    statistics = Statistics().to_json()
    block = PROTOCOL.partition("\nsubmodel.statistics:\n")[2].partition("```")[0]
    assert _keys_listed(block) == _keys_in(statistics)


def _keys_listed(block: str) -> set[str]:
    without_remarks = re.sub(r"(?<=\S) {2,}.*", "", block)
    return set(re.findall(r'"(\w+)":', without_remarks))


def _keys_in(value: object) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_keys_in, value))
    return set(value).union(*map(_keys_in, value.values())) if isinstance(value, dict) else set()
