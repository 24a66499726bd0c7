"""What a bundle is, and the rules that building and serving share.

It covers the manifest, the prompt format, languages, secrets, the reading of a repository, errors and files that are
replaced as a whole. It imports none of the other packages and loads nothing heavy: no torch, transformers or onnx.
"""

from contract.telemetry import turn_off_telemetry

turn_off_telemetry()
