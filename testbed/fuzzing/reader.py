"""What the fuzzer feeds: one reader of files or messages, with valid seeds to change."""

from __future__ import annotations

from pathlib import Path

from testbed.fuzzing.mutation import Shape


class Reader:
    """One reader, entered with a folder of its own. `seeds` are valid inputs, `shape` says how they are changed."""

    shape: Shape = "binary"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seeds: list[bytes] = []

    def __enter__(self) -> Reader:
        self.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self) -> None:
        """Make the seeds."""

    def read(self, data: bytes) -> None:
        """Read one input as the program would; raises a SubmodelError where that refuses it."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop what runs."""
