"""What a server of a cluster has forgotten: of its own shards only."""

from __future__ import annotations

from streamlab.actors.events import ACKED, ADDED, CLAIMED, DELIVERED, LOST, PROCESSED, SET_BACK, EventKind
from streamlab.lab.forgotten import report_forgotten
from streamlab.lab.stage import Left
from streamlab.results.events import Event, EventLog
from streamlab.results.final_state import FinalState
from streamlab.results.forgotten import Forgotten
from streamlab.results.ledger import Ledger
from streamlab.results.recent import Recent
from streamlab.scenario import load_scenario

SHARDED = load_scenario("sharded")


def told(*rows: tuple[float, EventKind, str, str, int]) -> EventLog:
    return EventLog.of(Event(*row) for row in rows)


def test_only_its_own_shards_are_set_back() -> None:
    """What is acknowledged or pending in another shard stays so, and what was added there is not looked for."""
    log = told(
        *((0.1, ADDED, "P1", f"{place}/{n}-0", 0) for place in "01" for n in (1, 2, 3)),
        *((0.2, DELIVERED, "C1", f"{place}/{n}-0", 1) for place in "01" for n in (1, 2)),
        *((0.3, kind, "C1", f"{place}/1-0", 0) for place in "01" for kind in (PROCESSED, ACKED)),
        (0.9, ADDED, "P1", "0/4-0", 0),  # it is heard of only after the server was asked
    )
    left = Left(frozenset({"0/1-0", "0/2-0"}), {"0/workers": "0-0"}, is_set_back=True, places=("0/",))
    report_forgotten(left, len(log) - 1, 1.0, log, SHARDED.groups)
    assert [event for event in log if event.at == 1.0] == [
        Event(1.0, LOST, "lab", "0/3-0"),
        Event(1.0, SET_BACK, "lab", "0/0-0"),
    ]
    ledger = Ledger(SHARDED)
    for event in log:
        ledger.apply(event)
    assert [*ledger.pending] == ["1/2-0"]
    assert sorted(ledger.backlog.first(9)) == ["0/1-0", "0/2-0", "0/4-0", "1/3-0"]
    assert ledger.backlog.size == 4
    again = [Event(2.0, DELIVERED, "C2", f"{place}/1-0", 2) for place in "01"]
    forgotten = Forgotten.of([*log, *again], FinalState())
    assert forgotten == (("0/3-0",), ("0/3-0",), ("0/1-0",))


def test_what_is_seen_meanwhile_does_not_go_by_what_is_heard_first() -> None:
    """Workers tell of what they are given before the lab has found out what a server lacks: see also `Recent`."""
    events = [
        *(Event(0.1, ADDED, "P1", f"{place}/{n}-0") for place in "01" for n in (1, 2, 3)),
        *(Event(0.2, DELIVERED, "C1", f"{place}/{n}-0", 1) for place in "01" for n in (1, 2, 3)),
        *(Event(0.3, kind, "C1", f"{place}/{n}-0") for place in "01" for n in (1, 2) for kind in (PROCESSED, ACKED)),
        Event(0.5, CLAIMED, "C2", "0/2-0", 2),  # somebody thought that it was pending still: nothing was lost
        Event(1.0, LOST, "lab", "0/3-0"),
        Event(1.0, SET_BACK, "lab", "0/0-0"),
        Event(1.2, DELIVERED, "C2", "0/1-0", 2),
        Event(1.3, DELIVERED, "C2", "1/1-0", 2),  # of another server, which has lost nothing
        Event(1.4, ACKED, "C2", "0/1-0"),
    ]
    at_last = Forgotten.of(events, FinalState())
    assert at_last == (("0/3-0",), ("0/3-0",), ("0/1-0",))
    late = [event for event in events if event.actor != "lab"] + [event for event in events if event.actor == "lab"]
    for heard in (events, late):
        recent = Recent(SHARDED, is_live=True)
        recent.read(heard, until=2.0)
        assert recent.servers is not None
        assert recent.servers.forgotten({"workers": recent.ledger}) == at_last
