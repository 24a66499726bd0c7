"""What can go wrong while completions are served, each as one sentence: what happened, where, what to do next."""

from __future__ import annotations

from contract.errors import SubmodelError


class EngineCrash(Exception):
    """A library failed unexpectedly while the model ran, so that the engine's state is unknown."""


class ServeError(SubmodelError):
    """The server can't start or the model can't load or run, or a request's position is outside its file."""
