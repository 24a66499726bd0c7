from builder.cache_variables import drop_relative_caches
from contract.telemetry import turn_off_telemetry

turn_off_telemetry()
drop_relative_caches()
