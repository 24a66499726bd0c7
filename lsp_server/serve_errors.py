"""What can go wrong while completions are served, each as one sentence: what happened, where, what to do next."""

from __future__ import annotations

from contract.errors import SubmodelError


class EngineCrash(Exception):
    """A library failed while the model ran, in a way that it has no error for: the engine's state is unknown."""


class ServeError(SubmodelError):
    """A completion can't be computed: the model does not load or run, or the request has no sense in its file."""
