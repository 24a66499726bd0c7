from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lsp_server.session import Pauses


def test_a_snooze_ends_by_itself() -> None:
    pauses = Pauses()
    pauses.snooze(5)
    assert pauses.find_refusal(is_enabled=True, is_invoked=False) is not None
    pauses.snoozed_until = datetime.now(UTC) - timedelta(seconds=1)
    assert pauses.snooze_end is None
    assert pauses.find_refusal(is_enabled=True, is_invoked=False) is None


@pytest.mark.parametrize("is_invoked", [False, True])
def test_what_is_switched_off_is_not_to_be_had_by_hand(is_invoked: bool) -> None:
    refusal = Pauses().find_refusal(is_enabled=False, is_invoked=is_invoked)
    assert refusal is not None
    assert refusal.name == "disabled"
