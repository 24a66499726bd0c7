"""Makes a server, and starts it over stdio.

stdout belongs to the protocol; everything else goes to stderr.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import BinaryIO, cast

from contract.standard_input import take_stdin
from lsp_server.bounded_streams import BoundedInput
from lsp_server.handlers import register_handlers, register_own_methods
from lsp_server.options import ServerOptions
from lsp_server.server import CompletionServer
from lsp_server.server_log import log_to_stderr

log = logging.getLogger(__name__)

END_WITHIN_S = 2.0  # wait for native code after the client has left


def create_server(options: ServerOptions, version: str) -> CompletionServer:
    """Return a server whose defaults are `options`; what the client sends with `initialize` overrides them."""
    server = CompletionServer(options, version)
    register_handlers(server)
    register_own_methods(server)
    return server


def serve_stdio(options: ServerOptions, version: str) -> None:
    """Serve the client at stdin and stdout until it leaves."""
    log_to_stderr()
    # Whatever else writes to stdout, a library's print or native code, must not get between the messages.
    protocol_output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    protocol_input = take_stdin()
    server = create_server(options, version)
    try:
        server.start_io(stdin=cast(BinaryIO, BoundedInput(protocol_input)), stdout=protocol_output)
    finally:
        server.close()
        server.service.end_process_if_busy(END_WITHIN_S)
