"""Submodel: a smaller code model, fitted to your repository, served to your editor."""

__version__ = "0.1.0"
