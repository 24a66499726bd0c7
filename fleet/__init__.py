"""Sub-models of many repositories on a Ray cluster, and the registry's publisher.

The product (`builder`, `exporters`, `lsp_server`, `submodel`) imports nothing of this package.
"""

from contract.telemetry import turn_off_telemetry

turn_off_telemetry()
