"""A repository's own modules must not run in our child processes.

Each attack succeeds on 9201313, where the commands have no `-P`: Python then looks into the current folder first, which
is the repository where `submodel bench` and `submodel replay` are called.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from submodel.bench import run as bench
from submodel.replay import server_session

HOSTILE = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
COMMANDS = {
    "replay": [*getattr(server_session, "SERVE", (sys.executable, "-m", "submodel", "serve", "--stdio")), "--help"],
    "bench": [*getattr(bench, "MODULE", (sys.executable, "-m")), "submodel.bench.bundle_worker", "{}"],
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "json.py").write_text(HOSTILE, "utf-8")
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_a_module_of_the_repository_does_not_run(repository: Path, name: str) -> None:
    subprocess.run(COMMANDS[name], cwd=repository, capture_output=True, check=False, timeout=60)
    assert not (repository / "ran").exists()


@pytest.mark.parametrize("module", ["submodel", "builder", "exporters", "lsp_server"])
def test_every_module_that_a_command_starts_is_started_with_p(module: str) -> None:
    """What is written down here is what is run: a new child process without -P is found."""
    root = Path(__file__).parents[2] / module
    for path in root.rglob("*.py"):
        text = path.read_text("utf-8")
        assert 'sys.executable, "-m"' not in text, path
