from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lsp_server.switches import Switches


def test_a_snooze_ends_by_itself() -> None:
    switches = Switches()
    switches.snooze(5)
    assert switches.find_refusal(is_enabled=True, is_invoked=False) is not None
    switches.snoozed_until = datetime.now(UTC) - timedelta(seconds=1)
    assert switches.snooze_end is None
    assert switches.find_refusal(is_enabled=True, is_invoked=False) is None


@pytest.mark.parametrize("is_invoked", [False, True])
def test_what_is_switched_off_is_not_to_be_had_by_hand(is_invoked: bool) -> None:
    refusal = Switches().find_refusal(is_enabled=False, is_invoked=is_invoked)
    assert refusal is not None
    assert refusal.name == "disabled"
