"""The worker process of a sweep; started by `submodel.experiments.workers`, not by people."""

from __future__ import annotations

import sys

from builder.errors import SubmodelError
from submodel.experiments.point import main

try:
    main(sys.argv[1:])
except SubmodelError as error:
    print(error, file=sys.stderr)
    sys.exit(1)
