"""What `submodel build` needs beyond serving: packages that may be missing, and threads of torch that sleep to wait."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from contract.children import shell_line
from contract.errors import SubmodelError

_MODULES: Final = (
    "gguf",
    "huggingface_hub",
    "jinja2",
    "onnx",
    "onnx_ir",
    "peft",
    "safetensors",
    "torch",
    "transformers",
)
# The module that each extra adds; that of `build` is any that is missing.
_EXTRAS: Final = {"fleet": "ray", "publish": "cryptography", "bench": "llama_cpp"}
_SPINS: Final = "10000"  # of libgomp, before a thread sleeps
# Without it pip's torch on Linux brings GPU libraries of several gigabytes.
_CPU_TORCH: Final = ("--torch-backend", "cpu")


def prepare_to_build(command: str, program: str = "submodel") -> None:
    """Call `limit_spinning`, and raise SubmodelError with the command that installs what is missing."""
    limit_spinning()
    if missing := missing_modules():
        raise SubmodelError(
            f"`{program} {command}` needs {', '.join(missing)}. This installation has what serving needs; add the rest "
            f"with: {install_advice(command, program=program)}"
        )


def limit_spinning() -> None:
    """Let torch's threads wait for each other awake for less than a millisecond, and then asleep.

    Call this before torch is imported. It changes nothing if OMP_WAIT_POLICY is set.
    """
    # Threads that spin for long make a build 1.6 times slower beside two busy processes. Threads that sleep at once
    # make fine-tuning a fifth slower alone: a step has thousands of short products.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": _SPINS}


def missing_modules() -> list[str]:
    """The modules of the build extra that are not installed; none of them is imported."""
    return [name for name in _MODULES if importlib.util.find_spec(name) is None]


def install_command(
    command: str = "build", prefix: Path | None = None, *, extra: str = "build", program: str = "submodel"
) -> str:
    """Return the shell line that adds an extra to the installation at `prefix` (by default this one).

    Some installers replace the whole environment, and other extras with it, so the line names those that are there.
    It uses the installer that made the environment, and the source that submodel was installed from. An
    environment of uvx is never changed; there the line runs the command in another one. If the source is unknown or
    gone, the line is one for a clone: on the package index, that name may be a stranger's until we have released there.
    """
    prefix = prefix or Path(sys.prefix)
    source = _source(_with_present(extra))
    if (prefix / "uv-receipt.toml").is_file():  # uv tool install
        line = ["uv", "tool", "install", *source, *_CPU_TORCH]
    elif (prefix / "pipx_metadata.json").is_file():
        line = ["pipx", "install", "--force", *source]
    elif prefix.parent.name.startswith("archive-v"):  # uvx: an environment in uv's cache
        line = ["uvx", *_CPU_TORCH, "--from", source[-1], program, command]
    elif importlib.util.find_spec("pip") is None:  # uv venv
        line = ["uv", "pip", "install", "--python", str(prefix), *_CPU_TORCH, *source]
    else:
        line = [sys.executable, "-m", "pip", "install", *source]
        needs_quotes = shell_line([sys.executable]) != sys.executable
        if sys.platform == "win32" and needs_quotes:  # PowerShell takes a name in quotes for a text
            line = ["py", "-m", "pip", "--python", sys.executable, "install", *source]
    return shell_line(line)


def install_advice(command: str = "build", *, extra: str = "build", program: str = "submodel") -> str:
    """Return `install_command` as a sentence ends with it: marked as code, and where it has to be run."""
    extra = _with_present(extra)
    where = " in a clone of submodel's repository" if _source(extra) == _of_clone(extra) else ""
    return f"`{install_command(command, extra=extra, program=program)}`{where}"


def _with_present(extra: str) -> str:
    """Add the extras that are installed to a list of them."""
    present = [name for name, module in _EXTRAS.items() if importlib.util.find_spec(module) is not None]
    wanted = {*extra.split(","), *present, *(() if missing_modules() else ("build",))}
    return ",".join(name for name in ("build", *_EXTRAS) if name in wanted)


def _of_clone(extra: str) -> list[str]:
    return [f".[{extra}]"]


def _source(extra: str) -> list[str]:
    """Arguments of an installer: submodel with the extra, from where it was installed (PEP 610), else from a clone."""
    try:
        origin = json.loads(importlib.metadata.distribution("submodel").read_text("direct_url.json") or "{}")
    except importlib.metadata.PackageNotFoundError:  # run from its source, without being installed
        origin = {}
    url = origin.get("url")
    if not url or not _is_still_there(url):
        return _of_clone(extra)
    if "vcs_info" in origin:
        version_control = origin["vcs_info"]
        url = f"{version_control['vcs']}+{url}@{version_control['commit_id']}"
    if origin.get("dir_info", {}).get("editable"):
        return ["--editable", f"{_path_of(url)}[{extra}]"]
    return [f"submodel[{extra}] @ {url}"]


def _is_still_there(url: str) -> bool:
    """Whether a source is not known to be gone, as a wheel that was thrown away or a clone that was moved is."""
    return urlsplit(url).scheme != "file" or Path(_path_of(url)).exists()


def _path_of(url: str) -> str:
    return url2pathname(urlsplit(url).path)
