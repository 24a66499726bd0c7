"""How many threads a session has by default; `contract.processor` counts."""

from contract import processor

default_threads = processor.default_threads
