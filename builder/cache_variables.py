"""Variables that name cache folders. Relative folders lie in the current one, which may be a stranger's repository.

It could bring files there that a library takes for its own, such as the weights of a base model. The XDG specification
has relative and empty ones ignored. huggingface_hub does not ignore them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from contract.files.home import expand_home

CACHES: Final = ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_XET_CACHE")


def drop_relative_caches() -> None:
    """Take those out of the environment of this process that name no absolute folder, before a library reads them."""
    for name in CACHES:
        folder = os.environ.get(name)
        if folder is not None and not expand_home(Path(os.path.expandvars(folder))).is_absolute():
            del os.environ[name]
