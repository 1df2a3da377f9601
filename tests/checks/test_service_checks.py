"""The verdict on a function that watches a group: each mistake is found, and told what it is."""

from __future__ import annotations

from typing import Any

import pytest

from streamlab import checks
from streamlab.checks.services import _CASES, BEHIND, OFTEN, OLD, SILENT, _State


def judge(group: Any, consumers: Any, pending: Any, now: int, *, but: str = "") -> set[str]:
    """Judge a group rightly; or with one mistake."""
    lag = group["lag"]
    found = set()
    if lag is None or (but == "zero" and not lag):
        found.add("unknown")
    elif lag > BEHIND or (but == "pending too" and lag + group["pending"] > 40):
        found.add("behind")
    silent = {c["name"] for c in consumers if c["idle"] > SILENT}
    if but == "entry's":
        silent = {row["consumer"] for row in pending if row["time_since_delivered"] > SILENT}
    if any(c["name"] in silent and (c["pending"] or but == "resting") for c in consumers):
        found.add("dead")
    if any(row["times_delivered"] > OFTEN - (but == "often") for row in pending):
        found.add("failing")
    age = {row["message_id"]: now - int(row["message_id"].partition("-")[0]) for row in pending}
    if but == "idle":
        age = {row["message_id"]: row["time_since_delivered"] for row in pending}
    if any(ms > OLD for ms in age.values()):
        found.add("old")
    return found


def test_a_right_one_passes() -> None:
    assert checks.alarms(judge)


def test_each_alarm_is_asked_for_and_not_only_that() -> None:
    """A function that always says the same is wrong, whatever it says."""
    alarms = {alarm for case in _CASES for alarm in case.alarms}
    assert len(alarms) == 5
    for always in (set(), *({alarm} for alarm in alarms), alarms):
        assert not checks.alarms(lambda *_, always=always: always)


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        ("zero", "`is None`"),
        ("pending too", "what was not delivered"),
        ("resting", "waits for work"),
        ("often", "more than 5 are"),
        ("idle", "starts again with each claim"),
        ("entry's", "how long ago the entry was delivered"),
    ],
)
def test_a_mistake_gets_its_hint(mistake: str, says: str) -> None:
    verdict = checks.alarms(lambda *args: judge(*args, but=mistake))
    assert not verdict
    assert says in verdict.hint


def test_a_lag_that_is_none_is_no_number() -> None:
    verdict = checks.alarms(lambda group, *_: {"behind"} if group["lag"] > 100 else set())
    assert "TypeError" in verdict.words
    assert "the lag is None here" in verdict.hint


@pytest.mark.parametrize("answer", [None, 7, lambda *_: None, lambda *_: "old", lambda: set()])
def test_what_is_no_answer(answer: object) -> None:
    assert not checks.alarms(answer)


def test_the_stub_is_no_answer_yet() -> None:
    assert "There is no answer yet" in checks.alarms(...).words
    assert "There is no answer yet" in checks.alarms(lambda *_: ...).words


def test_states_are_what_their_words_say() -> None:
    """The replies come from a server, and so is the time that is told with them."""
    for case in _CASES:
        state = _State()
        state.bring_about(case.steps)
        group, consumers, pending, now = state.replies()
        assert judge(group, consumers, pending, now) == case.alarms, case.words
        assert group["pending"] == len(pending) == sum(c["pending"] for c in consumers)
