"""Submodel: a smaller code model, fitted to your repository, served to your editor."""

from contract.telemetry import turn_off_telemetry

__version__ = "0.1.0"

turn_off_telemetry()
