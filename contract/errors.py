"""What can go wrong, each as one sentence: what happened, where, what to do next."""

from __future__ import annotations


def first_line(error: BaseException, most: int | None = None) -> str:
    """Return what an error of a library says first, to be put into a sentence; at most so many characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:most]


class SubmodelError(Exception):
    """Base of every error that a user can cause or mend; the command line prints its message and exits with 1."""


class BaseModelError(SubmodelError):
    """A base model can't be found, fetched, trusted or read."""


class CorpusError(SubmodelError):
    """A repository can't be read or is too small to learn from."""


class BuildError(SubmodelError):
    """A stage of the build can't go on, or a folder is not what it should be."""


class EvaluationError(SubmodelError):
    """A measurement can't be made: its data are not as they must be."""


class ExportError(SubmodelError):
    """A checkpoint can't be exported, failed its parity check, or its bundle can't be written."""


class ParityError(ExportError):
    """A quantized graph does not answer as its checkpoint does; `finding` says so, as a clause without advice."""

    def __init__(self, finding: str) -> None:
        super().__init__(finding)
        self.finding = finding

    def __str__(self) -> str:
        return f"{self.finding}, so nothing was exported; run it again with --quantize fp32."


class BundleError(SubmodelError):
    """A bundle is missing, incomplete, changed, or of another kind than its reader expects."""


class NewerBundleError(BundleError):
    """A bundle is of a newer version of submodel than its reader."""


class RegistryError(SubmodelError):
    """A registry of bundles can't be reached, read or written, or is not what its key says."""
