"""The worker process of a sweep; started by `laboratory.experiments.workers`, not by people."""

from __future__ import annotations

import os
import sys
import threading
from typing import Final

from contract.errors import SubmodelError
from contract.plain_text import plain
from contract.standard_input import take_stdin
from laboratory.experiments.point import Unprepared, main
from laboratory.experiments.workers import REFUSED, UNPREPARED


def _end_with_the_sweep() -> None:
    """End this worker if the sweep is killed: its end of the worker's standard input then closes."""
    os.read(_INPUT.fileno(), 1)
    os._exit(1)


_INPUT: Final = take_stdin()
threading.Thread(target=_end_with_the_sweep, daemon=True).start()
try:
    main(sys.argv[1:])
except SubmodelError as error:
    print(plain(str(error)), file=sys.stderr)
    sys.exit(UNPREPARED if isinstance(error, Unprepared) else REFUSED)
