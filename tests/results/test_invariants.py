"""The invariants, over events written by hand: what breaks each, what does not, and the story that is told."""

from __future__ import annotations

import dataclasses

import pytest

from streamlab import checks
from streamlab.actors import Recovery
from streamlab.results.events import EventLog
from streamlab.results.evidence import Evidence
from streamlab.results.final_state import FinalState
from streamlab.results.invariants import INVARIANTS, NEEDLESS, examine
from streamlab.results.run import Run
from streamlab.scenario import Consumer, Scenario
from tests.events import event

AUTOCLAIM = Recovery("autoclaim", min_idle=0.5)
SCENARIO = Scenario(name="test", consumers=(Consumer("C1", block=1), Consumer("C2", block=1)), recovery=AUTOCLAIM)
NO_SUCH = FinalState()


def events(text: str) -> EventLog:
    """Read events, one a line: time, actor, kind, and an entry's id, and the delivery count, if there is one."""
    log = EventLog()
    for line in text.strip().splitlines():
        at, actor, kind, *rest = line.split()
        entry_id = rest[0] if rest else ""
        count = int(rest[1]) if rest[1:] else int(kind == "delivered")
        log.append(event(float(at), kind, actor, entry_id, count))
    return log


def broken(text: str, final: FinalState = NO_SUCH, **changes: object) -> dict[str, str]:
    """Return what is broken, and the words for it."""
    scenario = SCENARIO.replace(**changes)
    return {v.rule: v.words for v in examine(scenario, events(text), final) if not v}


WELL = """
    0.0 P1 added 1-0
    0.0 C1 delivered 1-0
    1.0 C1 processed 1-0
    1.0 C1 acked 1-0
"""
TAKEN_OVER = """
    0.0 P1 added 1-0
    0.0 C1 delivered 1-0
    0.1 C1 crashed
    0.6 C2 claimed 1-0 2
    0.7 C2 processed 1-0
    0.7 C2 acked 1-0
"""


@pytest.mark.parametrize("text", [WELL, TAKEN_OVER])
def test_nothing_is_wrong_with_a_run_that_went_well(text):
    """Each rule has a verdict, and each says that it holds, or why it was not looked at."""
    verdicts = examine(SCENARIO, events(text), NO_SUCH)
    assert [verdict.rule for verdict in verdicts] == list(INVARIANTS)
    assert all(verdicts)
    words = {verdict.rule: verdict.words for verdict in verdicts}
    assert words["I4"] == "not looked at: acknowledgements are not fenced"


def test_a_lost_entry_and_its_story():
    """The first that is nowhere: everything that happened to it and to who had it, a line each."""
    text = TAKEN_OVER + "0.8 P1 added 2-0\n0.9 C2 delivered 2-0\n1 C2 paused\n1.5 lab group_destroyed\n2 C2 resumed"
    (verdict,) = [v for v in examine(SCENARIO, events(text), NO_SUCH) if v.rule == "I1"]
    assert verdict.words == "1 of 2 entries are lost, the first is 2-0"
    assert verdict.story == (
        "   0.800 s  P1: added it",
        "   0.900 s  C2: was given it (delivery 1)",
        "   1.000 s  C2: was paused",
        "   1.500 s  lab: the group was destroyed",
        "   2.000 s  C2: went on",
        "at the end  it is not pending, and will not be delivered",
    )


@pytest.mark.parametrize(
    ("more", "final"),
    [
        ("1 lab trimmed 2-0", NO_SUCH),
        ("", FinalState(pending={"2-0": "C1"})),
        ("", FinalState(undelivered=("2-0",))),
        ("0.9 C1 delivered 2-0\n1 C1 failed 2-0", FinalState(dead_letters=("2-0",))),
    ],
)
def test_what_is_somewhere_is_not_lost(more, final):
    """Trimmed and reported, pending, still to come, dead-lettered though nobody heard of it."""
    assert "I1" not in broken(WELL + f"0.8 P1 added 2-0\n{more}", final)


def test_what_was_given_up_must_have_been_tried():
    """2-0 waits behind the poisonous 1-0 whenever C1 dies: no handler ever has it."""
    text = "0 P1 added 1-0\n0 P1 added 2-0\n"
    for number in (1, 2):
        text += f"{number} C1 delivered 1-0 {number}\n{number} C1 delivered 2-0 {number}\n{number} C1 crashed\n"
    text += "3 C1 dead_lettered 1-0 3\n3 C1 dead_lettered 2-0 3\n"
    assert broken(text)["I1"] == "entry 2-0 was moved to the dead-letter stream, and no handler ever had it"
    fine = text.replace("2 C1 delivered 1-0 2\n", "")
    assert "I1" not in broken(fine)


def test_the_ledger_says_what_happened():
    """Exactly once by an idempotent sink, at least once by a naive one."""
    for sink, n, wrong in (("idempotent", 1, False), ("idempotent", 2, True), ("naive", 2, False), ("naive", 0, True)):
        found = broken(WELL, FinalState(effects={"1-0": n} if n else {}), sink=sink)
        assert ("I2" in found) == wrong, (sink, n)


ROBBED = """
    0.0 P1 added 1-0
    0.0 C1 delivered 1-0
    0.6 C2 claimed 1-0 2
    0.8 C1 processed 1-0
    0.8 C1 acked 1-0
    1.0 C2 processed 1-0
    1.0 C2 void 1-0
"""


def test_what_is_taken_from_one_who_is_well():
    """min_idle was too short; not so if C1 was paused meanwhile, or slowed. And no run is wrong for it."""
    assert "took 0.8 s, and min_idle is 0.5 s" in broken(ROBBED)[NEEDLESS]
    paused = ROBBED.replace("0.6 C2", "0.1 C1 paused\n0.5 C1 resumed\n0.6 C2")
    assert NEEDLESS not in broken(paused)
    assert NEEDLESS not in broken(ROBBED, faults=SCENARIO.with_faults("slow C1 at 0s for 1s").faults)
    assert Run(SCENARIO, "simulated", "a test", events(ROBBED), NO_SUCH).broken() == []


def test_an_acknowledgement_before_the_effect():
    """It does not matter who had the effect; it must be before."""
    early = WELL.replace("1.0 C1 acked", "0.5 C1 acked").replace("1.0 C1 processed", "1.1 C1 processed")
    lines = sorted(early.strip().splitlines(), key=lambda line: float(line.split()[0]))
    assert "I3" in broken("\n".join(lines))
    assert "I3" not in broken(ROBBED)


def test_a_fence_that_lets_somebody_through():
    """C1's XACK is executed though C2 owns the entry; what C2 tells late does not count."""
    fenced = dataclasses.replace(AUTOCLAIM, fenced=True)
    assert broken(ROBBED, recovery=fenced)["I4"] == "entry 1-0 was acknowledged by C1, and C2 owned it"
    late = """
        0.0 P1 added 1-0
        0.6 C2 claimed 1-0 2
        0.7 C1 delivered 1-0 1
        0.8 C2 processed 1-0
        0.8 C2 acked 1-0
    """
    assert "I4" not in broken(late, recovery=fenced)


def test_a_delivery_count_that_does_not_rise():
    """JUSTID gives an entry without counting; a group that was recreated begins at 1 again, rightly."""
    text = """
        0.0 P1 added 1-0
        0.0 C1 delivered 1-0 1
        0.1 C1 failed 1-0
        0.6 C1 claimed 1-0 1
        0.7 C1 processed 1-0
        0.7 C1 acked 1-0
    """
    assert broken(text)["I5"] == "entry 1-0 was delivered to C1 for the 1st time, after the 1st"
    recreated = text.replace("0.6 C1 claimed", "0.5 C1 recreated 0-0\n0.6 C1 delivered")
    assert "I5" not in broken(recreated)
    other = text.replace("0.6 C1 claimed", "0.6 C2 claimed")
    assert broken(other)["I5"].startswith("entry 1-0 was taken over by C2, and has been delivered once")
    by_hand = text.replace("claimed 1-0 1", "claimed 1-0\n0.6 C1 delivered 1-0 2")
    assert "I5" not in broken(by_hand)


def test_an_entry_is_in_one_place_only():
    """Acknowledged and pending, or twice in the dead-letter stream: the books are wrong."""
    assert "acknowledged and pending at once" in broken(WELL, FinalState(pending={"1-0": "C1"}))["I5"]
    twice = FinalState(dead_letters=("9-0", "9-0"))
    assert broken(WELL, twice)["I5"] == "entry 9-0 is in the dead-letter stream twice"


STUCK = WELL + "1.0 P1 added 2-0\n1.0 C1 delivered 2-0\n1.1 C1 crashed\n60 C2 stopped"


def test_what_stays_pending_for_ever():
    """Long after the last fault, somebody is there, and nobody does it."""
    final = FinalState(pending={"2-0": "C1"})
    assert broken(STUCK, final)["I6"] == ("entry 2-0 is still pending for C1, 58.9 s after all went well again")
    assert "I6" not in broken(STUCK, final, recovery=Recovery())  # nobody promised to
    assert "I6" not in broken(STUCK.replace("60 C2", "2 C2"), final)  # it may still come
    assert "I6" not in broken(STUCK.replace("60 C2 stopped", "60 C2 crashed"), final)  # nobody is left


def test_what_cannot_be_dead_lettered_is_rightly_kept():
    """Over its limit, and the dead-letter key is of another type."""
    text = STUCK + "\n60 C2 claimed 2-0 4\n60 C2 failed 2-0"
    final = FinalState(pending={"2-0": "C2"})
    assert "I6" not in broken(text, final, recovery=dataclasses.replace(AUTOCLAIM, max_deliveries=3))


def test_nobody_is_idle_beside_what_a_dead_consumer_left():
    """C2 looks every 0.25 s, and has nothing to do from 1 to 9 s."""
    text = """
        0.0 P1 added 1-0
        0.0 P1 added 2-0
        0.0 C1 delivered 1-0
        0.0 C2 delivered 2-0
        0.1 C1 crashed
        1.0 C2 processed 2-0
        1.0 C2 acked 2-0
        9.0 C2 claimed 1-0 2
        9.1 C2 processed 1-0
        9.1 C2 acked 1-0
    """
    assert "C2 had nothing to do from 1.000 to 9.000 s" in broken(text)["I6, in time"]
    assert "I6, in time" not in broken(text.replace("9.", "1."))
    down = text.replace("1.0 C2 acked 2-0", "1.0 C2 acked 2-0\n1.1 lab server_down\n8.9 lab server_up")
    assert "I6, in time" not in broken(down)


def test_all_tell_the_same_number():
    """XPENDING, XINFO GROUPS and XINFO CONSUMERS."""
    told = {"XPENDING": 1, "XINFO GROUPS": 2}
    assert "XINFO GROUPS: 2" in broken(WELL, FinalState(pending_by=told))["I7"]
    assert "I7" not in broken(WELL, FinalState(pending_by={"XPENDING": 0}))


def test_a_consumer_that_is_removed_with_what_it_held():
    """2-0 is never heard of again; had somebody claimed it before, C1 would have held nothing."""
    text = STUCK + "\n61 C1 removed"
    lines = text.replace("1.1 C1 crashed", "1.1 C2 started")
    assert broken(lines)["I8"] == "C1 was removed from the group with entry 2-0, which is gone with it"
    assert "I8" not in broken(lines + "\n62 C2 claimed 2-0 2\n63 C2 processed 2-0")


def test_nobody_processes_what_it_was_not_given():
    """A handler's entry comes from a read or a claim."""
    assert "was never given it" in broken("0 P1 added 1-0\n1 C1 processed 1-0")["given"]


def test_one_verdict_on_a_run():
    """`checks.invariants` names the first that is broken, the others, and tells the story; as HTML too."""
    run = Run(SCENARIO, "simulated", "a test", events("0 P1 added 1-0\n1 C1 acked 1-0"), NO_SUCH)
    verdict = checks.invariants(run)
    assert not verdict
    assert verdict.words == "I1: 1 of 1 entries are lost, the first is 1-0 (also broken: I3)"
    assert "P1: added it" in repr(verdict)
    assert "<pre>" in verdict._repr_html_()
    assert run.broken() == [
        "1 of 1 entries are lost, the first is 1-0",
        "entry 1-0 was acknowledged before it was processed",
    ]
    assert checks.invariants(Run(SCENARIO, "simulated", "a test", events(WELL), NO_SUCH))


def test_a_long_story_is_cut_in_the_middle():
    """A tired reader sees how it began, and how it ended."""
    text = "0 P1 added 1-0\n" + "".join(f"{n} C1 delivered 1-0 {n}\n{n} C1 crashed\n" for n in range(1, 90))
    run = Run(SCENARIO, "simulated", "a test", events(text), NO_SUCH)
    story = checks.invariants(run).story
    assert len(story) < 50
    assert any("more" in line for line in story)


def test_nobody_is_well_until_it_may_have_found_the_server_again():
    """Whoever tries in vain backs off: for a second and a half after an outage it may not have noticed."""
    evidence = Evidence(SCENARIO, events("1.0 lab server_down\n2.0 lab server_up"), NO_SUCH)
    well = {at: evidence.was_well("C1", at, at + 0.1) for at in (0.5, 1.5, 2.1, 3.4, 3.6)}
    assert well == {0.5: True, 1.5: False, 2.1: False, 3.4: False, 3.6: True}
