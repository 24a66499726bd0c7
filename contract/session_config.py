"""The configuration of each session of ONNX Runtime: the export checks and times the kernels that the server runs.

This module does not load ONNX Runtime.
"""

from __future__ import annotations

from contract.processor import saturates

SPIN_US = 20  # bridges the gaps between operators; longer ones gain little and take more from other programs
SPIN_BOUNDED_SINCE = (1, 26)  # the version of ONNX Runtime that knows session.intra_op.spin_duration_us


def session_config(version: str) -> dict[str, str]:
    """Return the configuration entries of a session on the processor; `version` is ONNX Runtime's."""
    # Threads wait actively from one operator to the next, for SPIN_US at most, and never after a run: by default they
    # would keep the cores busy for a second after each request. If this ONNX Runtime can't bound the time, they don't
    # wait actively: beside another program's thread that would cost more than it gains (dev/LOG.md).
    can_bound = tuple(map(int, version.split(".")[:2])) >= SPIN_BOUNDED_SINCE
    entries = {
        "session.intra_op.allow_spinning": "1" if can_bound else "0",
        "session.intra_op.spin_duration_us": str(SPIN_US),
        "session.force_spinning_stop": "1",
        # Denormal numbers become zero, which the runtime can do on x86 alone: softmax meets them in a prompt's
        # attention, where each takes a hundred cycles, and without them attention takes half the time (dev/LOG.md).
        # The runtime does so in each session's pool, and in the thread that opens the first session of the process. In
        # the server that thread runs all of them until it is stuck: the thread in its place has denormal numbers again,
        # so that its own part of attention is slower.
        "session.set_denormal_as_zero": "1",
    }
    if saturates():
        entries["session.x64quantprecision"] = "1"
    return entries
