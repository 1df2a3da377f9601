"""Faults are texts and back; what makes no sense is refused in words."""

from __future__ import annotations

import random
from typing import Any

import pytest

from streamlab.scenario import Scenario, ScenarioError, actions
from streamlab.scenario.action import Action, ActionError
from streamlab.scenario.action_texts import parse_action
from streamlab.scenario.actions import FAULTS, CrashBeforeAck, Fail, Kill, LostReply, Pause, SetRecovery, Slow
from streamlab.scenario.failing import ServerDown
from streamlab.scenario.random_faults import Weights, random_faults, random_kills, steady_faults

DRAWN: dict[str, Any] = dict(consumers=["C1", "C2"], producers=["P1"], duration=10.0, entries=1000)


@pytest.mark.parametrize("kind", FAULTS.values())
def test_its_form_is_read_and_written(kind):
    """What the error messages tell one to write is what `parse_action` reads; brackets may be left out."""
    full = parse_action(kind.form.replace("[", "").replace("]", ""))
    assert type(full) is kind
    assert parse_action(str(full)) == full
    short = parse_action(" ".join(kind.form.split("[")[0].split()))
    assert parse_action(str(short)) == short


@pytest.mark.parametrize("seed", range(40))
def test_random_ones_survive_their_text(seed):
    """Whatever is drawn can be pasted into a file."""
    faults = random_faults(random.Random(seed), **DRAWN)
    assert 1 <= len(faults) <= 6
    assert tuple(parse_action(str(fault)) for fault in faults) == faults
    assert Scenario(consumers=Scenario().with_consumers(2).consumers).with_faults(*faults).faults == faults


def test_the_same_seed_draws_the_same_faults():
    """And another one others; only kinds that have a weight are drawn."""
    drawn = [random_faults(random.Random(seed), **DRAWN) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    only = random_faults(random.Random(3), **DRAWN, weights=Weights({Kill: 1.0}))
    assert {type(fault) for fault in only} == {Kill}


def test_a_kill_every_second():
    """At 1, 2 … seconds, not at the end."""
    kills: Any = random_kills(random.Random(1), consumers=["C1", "C2"], every=1.0, duration=4.0)
    assert [kill.at for kill in kills] == [1, 2, 3]
    assert {kill.target for kill in kills} <= {"C1", "C2"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("kill C2 at 3s", Kill("C2", 3.0)),
        ("KILL C2 at 250ms", Kill("C2", 0.25)),
        ("pause C2 for 2min at 3", Pause("C2", 3.0, 120.0)),
        ("slow C1 at 1s factor 3", Slow("C1", 1.0, factor=3.0)),
        ("crash-before-ack C1", CrashBeforeAck("C1", 1)),
        ("fail C1 nth 5 times 2", Fail("C1", 5, 2)),
        ("lost-reply C1 xack nth 3", LostReply("C1", "XACK", 3)),
        ("set-recovery strategy claim at 1s", SetRecovery((("strategy", "claim"),), 1.0)),
        ("set-recovery claim dead-letter dead", SetRecovery((("strategy", "claim"), ("dead_letter", "dead")))),
    ],
)
def test_ways_to_write_one(text, fault):
    """Units, order and capital letters as one likes."""
    assert parse_action(text) == fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "unknown action '': known are kill, pause"),
        ("explode C1", "unknown action 'explode C1': known are kill"),
        ("kill", "'kill' names no target: write kill C2 at 3s"),
        ("lost-reply C1", "names no command: write lost-reply C1 XACK nth 3"),
        ("kill C2 at", "cannot read 'kill C2 at'"),
        ("kill C2 at soon", "'soon' is not a time: write 3s, 250ms or 2min"),
        ("kill C2 at -1s", "'-1s' is not a time"),
        ("kill C2 at 1s at 2s", "'at' does not belong into"),
        ("kill C2 nth 3", "'nth' does not belong into"),
        ("fail C1 nth x", "nth 'x' is not a number: write fail C1 nth 5"),
        ("fail C1 nth 0", "fail: nth is 0: a whole number of at least 1"),
        ("pause C2 at 1s for 0s", "pause: duration is 0.0: more than 0"),
        ("slow C2 at 1s factor inf", "slow: factor is inf: more than 0"),
        ("set-recovery at 3s", "'set-recovery at 3s' lacks changes: write set-recovery autoclaim"),
        ("lost-reply C1 XINFO", "lost-reply: XINFO is none of XREADGROUP, XACK"),
    ],
)
def test_what_is_none_is_refused_in_words(text, words):
    """Each message says what to write instead."""
    with pytest.raises(ActionError) as caught:
        parse_action(text)
    assert words in str(caught.value)


def test_values_that_no_text_has():
    """Made by hand, they are checked as well."""
    with pytest.raises(ActionError, match="the target is ''"):
        Kill("", 1.0)
    with pytest.raises(ActionError, match="nth is True"):
        CrashBeforeAck("C1", True)
    with pytest.raises(ActionError, match="at is True: at least 0"):
        Kill("C1", True)
    with pytest.raises(ActionError, match="at is nan: at least 0"):
        Kill("C1", float("nan"))


def test_a_fault_aimed_at_nobody():
    """A scenario knows its actors; poison is a producer's, a kill a consumer's."""
    with pytest.raises(ScenarioError, match="kill: there is no 'C7': there are C1, P1"):
        Scenario().with_faults("kill C7 at 1s")
    with pytest.raises(ScenarioError, match="'kill C1', which says not when: write kill C2 at 3s"):
        Scenario().with_faults("kill C1")
    with pytest.raises(ScenarioError, match="poison: there is no producer 'C1': there are P1"):
        Scenario().with_faults("poison C1 nth 3")


def test_steady_faults_come_for_as_long_as_a_run_lasts() -> None:
    """About one every so often, at its moment, the same by the same seed; only of kinds that befall any program."""

    def drawn(seed: int, **options: bool) -> tuple[Action[Any], ...]:
        return steady_faults(random.Random(seed), consumers=["C1", "C2"], duration=600, every=2, **options)

    faults = drawn(1)
    assert faults == drawn(1) != drawn(2)
    assert 240 < len(faults) < 340
    times = [fault.when for fault in faults]
    assert times == sorted(times)
    assert times[-1] > 500
    assert all(0 < at < 600 for at in times)
    assert not [fault for fault in faults if isinstance(fault, actions.OURS_ALONE)]
    assert {type(fault) for fault in faults} > {actions.Kill, actions.CrashBeforeAck, ServerDown}
    assert {getattr(fault, "target", "C1") for fault in faults} == {"C1", "C2"}
    assert max(getattr(fault, "duration", 0) for fault in faults) <= 2
    assert not [fault for fault in drawn(1, server=False) if isinstance(fault, ServerDown)]
    for fault in faults:
        assert parse_action(str(fault)) == fault
