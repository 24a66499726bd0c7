"""A command whose pace the program that began it sets."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

from submodel.pace import Pace


def test_it_waits_and_goes_on_as_it_is_told_and_ends_with_its_stream():
    lines: queue.Queue[str | None] = queue.Queue()
    interrupted, rested = threading.Event(), threading.Event()

    def stream() -> Iterator[str]:
        while (line := lines.get()) is not None:
            yield line

    pace = Pace(stream(), interrupt=interrupted.set)
    pace.rest()
    lines.put("wait\n")
    while pace._goes_on.is_set():
        time.sleep(0.01)
    threading.Thread(target=lambda: (pace.rest(), rested.set()), daemon=True).start()
    lines.put("something else\n")
    assert not rested.wait(1.0), "it stands still"
    lines.put("go\n")
    assert rested.wait(10)
    assert not interrupted.is_set()
    lines.put("wait\n")
    lines.put(None)
    assert interrupted.wait(10), "who began it is gone"
    pace.rest()
