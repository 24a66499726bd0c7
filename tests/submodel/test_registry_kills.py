"""`publish` and `pull`, killed before each rename: what was there can be used, and the next run goes on."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.bundle.bundle import WORKSPACE_BUNDLE, find_trusted_bundle, read_bundle
from contract.bundle.manifest import build_of
from contract.files import folders
from contract.files.state_folder import VARIABLE
from submodel.registry.pull_run import PullSettings, run_pull
from testbed.registries import make_repository, publish

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and signals are POSIX's")


def test_publish_killed_leaves_the_old_index_or_the_new_one(
    registry: Path, published: tuple[Path, str], newer: Path, tmp_path: Path
) -> None:
    in_own_process("kill_publish", registry, published[1], newer, tmp_path)


def test_pull_killed_leaves_the_old_bundle_or_the_new_one(
    registry: Path, published: tuple[Path, str], newer: Path, tmp_path: Path
) -> None:
    in_own_process("kill_pull", registry, published[1], newer, tmp_path)


def in_own_process(name: str, *arguments: object) -> None:
    """Call a function of this module in a process that has no threads yet, since it forks."""
    call = f"import sys; from tests.submodel.test_registry_kills import {name}; {name}(*sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", call, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def kill_publish(registry: str, key: str, newer: str, folder: str) -> None:
    old, new = build_of_published(registry, key, Path(folder) / "first"), build_of(Path(newer))

    def try_kill(number: int) -> bool:
        place = Path(folder) / f"published{number}"
        copy = Path(shutil.copytree(registry, place / "registry"))
        shutil.copy(Path(registry).with_suffix(".pem"), place)
        is_done = runs_until_killed(number, lambda: publish(Path(newer), copy))
        assert build_of_published(copy, key, place / "reader") in ((new,) if is_done else (old, new))
        publish(Path(newer), copy)
        assert build_of_published(copy, key, place / "later") == new
        return is_done

    kills = next(number for number in itertools.count() if try_kill(number))
    assert kills >= 5, "bundle.json, its document, and three files of the index"


def build_of_published(registry: str | Path, key: str, home: Path) -> str:
    """What somebody gets who pulls for the first time."""
    return pull_into(home, registry, key)


def kill_pull(registry: str, key: str, newer: str, folder: str) -> None:
    home = Path(folder) / "home"
    old, new = pull_into(home, registry, key), build_of(Path(newer))
    publish(Path(newer), Path(registry))

    def try_kill(number: int) -> bool:
        copy = Path(shutil.copytree(home, Path(folder) / f"pulled{number}"))
        is_done = runs_until_killed(number, lambda: pull_into(copy, registry, key))
        target = copy / "clone" / WORKSPACE_BUNDLE
        live_in(copy)
        folders.restore_folder(target)  # a disk that can't exchange two folders
        assert find_trusted_bundle(copy / "clone") == target
        assert read_bundle(target).build in ((new,) if is_done else (old, new))
        assert pull_into(copy, registry, key) == new
        return is_done

    kills = next(number for number in itertools.count() if try_kill(number))
    assert kills >= 9, "four files of the index, bundle.json, the lock, the folder, the older one, and the settings"


def pull_into(home: Path, registry: str | Path, key: str) -> str:
    """Pull into the clone below `home`, with the cache and the state folder there; the build that then lies there."""
    if not home.exists():
        make_repository(home / "clone")
        (home / "state").mkdir(mode=0o700)
    live_in(home)
    return run_pull(PullSettings(folder=home / "clone", address=str(registry), key=key)).build


def live_in(home: Path) -> None:
    os.environ |= {VARIABLE: str(home / "state"), "SUBMODEL_CACHE": str(home / "cache")}


def runs_until_killed(number: int, work: Callable[[], object]) -> bool:
    """Whether `work` ended before the rename that a child process is killed at, counted from 0."""
    child = os.fork()
    if child == 0:
        try:
            kill_before(number)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status == 0


def kill_before(number: int) -> None:
    count = itertools.count()

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments, **options)

        return run

    os.replace, os.link = counted(os.replace), counted(os.link)  # Path.replace calls the first
