"""Studies of the product: published pruning methods, sweeps, benches and replays.

The product (`builder`, `exporters`, `lsp_server`, `submodel`) imports nothing of this package.
"""

from contract.telemetry import turn_off_telemetry

turn_off_telemetry()
