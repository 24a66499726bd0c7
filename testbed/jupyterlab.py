"""JupyterLab with the extension Notebook Intelligence, in an environment of its own and driven in headless Chromium.

`JUPYTERLAB=1 make test-tools` installs it. Without the variable it does not: the environment has 1.1 GB.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

from contract.children import find_program, python_module
from testbed import runtimes

PLACE = Path(platformdirs.user_cache_dir("submodel")) / "tools" / "jupyterlab"
PACKAGES = ("jupyterlab==4.6.6", "notebook-intelligence==6.2.0")
STAMP = PLACE / " ".join(PACKAGES)  # written last, so that a broken installation is repeated
START_S = 300.0  # on a busy machine
# No news and no updates are fetched.
QUIET = {"fetchNews": "false", "checkForUpdates": False}


def why_missing() -> str:
    """Return a sentence if JupyterLab, Chromium or Node is not here; "" if all are."""
    if not STAMP.exists():
        return "JupyterLab is not here: JUPYTERLAB=1 make test-tools"
    if runtimes.find_chromium() is None or find_program("node") is None:
        return "Chromium or Node is not here: make test-tools"
    return ""


def install() -> None:
    """Install the packages into PLACE, unless they are there."""
    if not STAMP.exists():
        subprocess.run([*python_module("venv"), "--clear", PLACE], check=True)
        pip = [str(PLACE / "bin" / "python"), "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
        subprocess.run([*pip, *PACKAGES], check=True)
        STAMP.touch()


def write_notebook(path: Path, cells: list[str]) -> None:
    """Write a notebook for Python with these cells."""
    empty: dict[str, Any] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    written = [{**empty, "id": f"cell-{at}", "source": text} for at, text in enumerate(cells)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    document = {"cells": written, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(document), "utf-8")


@contextmanager
def serving_jupyterlab(notebook: Path, home: Path, settings: str) -> Iterator[str]:
    """Serve a notebook's folder from JupyterLab, with a home that holds the extension's settings; give its address.

    `settings` is the text of the extension's config.json. Raises TimeoutError if JupyterLab doesn't start.
    """
    files = {
        ".jupyter/nbi/config.json": settings,
        ".jupyter/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings": json.dumps(QUIET),
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text, "utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "XDG_", "PYTHON"))}
    options = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--port={port}", "--port-retries=0"]
    server = subprocess.Popen(
        [PLACE / "bin" / "jupyter-lab", *options, f"--ServerApp.root_dir={notebook.parent}"],
        env={**kept, "HOME": str(home), "JUPYTER_TOKEN": token, "NBI_TOUR_DISABLED": "true"},
        stdout=subprocess.DEVNULL,
        stderr=(home / "jupyterlab.log").open("wb"),
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", home / "jupyterlab.log")
        yield f"http://127.0.0.1:{port}/doc/tree/{notebook.name}?token={token}"
    finally:
        server.terminate()  # it ends its kernels
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def accept_suggestion(address: str, typed: str, picture: Path) -> dict[str, Any]:
    """Type at the end of the last cell of the notebook at an address, wait for grey text, accept it with Tab, and save.

    Returns `shown`, the grey text; a picture is taken of it. Raises CalledProcessError if nothing is shown; then the
    picture is of what is there instead.
    """
    runtimes.install_packages()
    shutil.copyfile(runtimes.JAVASCRIPT / "jupyterlab.mjs", runtimes.PLACE / "jupyterlab.mjs")
    done = subprocess.run(
        [str(find_program("node")), "jupyterlab.mjs", address, str(runtimes.find_chromium()), str(picture)],
        cwd=runtimes.PLACE,
        input=json.dumps({"typed": typed}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def _wait_for(address: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(address, timeout=10).close()
            return
        except OSError:
            time.sleep(0.3)
    raise TimeoutError(f"JupyterLab did not start; it has said:\n{log.read_text('utf-8', 'replace')[-2000:]}")
