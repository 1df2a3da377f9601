"""What a server has forgotten, told as events: each entry by its id, and from where each group goes on."""

from __future__ import annotations

import itertools

from streamlab.actors.events import ADDED, LOST, SET_BACK, STREAM_DELETED, TRIMMED
from streamlab.lab.stage import Left
from streamlab.results.events import EventLog
from streamlab.scenario.action import LAB
from streamlab.scenario.groups import Groups
from streamlab.scenario.shards import place_of


def report_forgotten(left: Left, heard: int, at: float, log: EventLog, groups: Groups) -> None:
    """Report each entry that had been added and is not there any more; then where each group is now.

    Of the log, so many events had been heard when the server was asked: what was added later it need not have.
    """
    known: dict[str, None] = {}
    for event in itertools.islice(log, heard):
        if event.kind == ADDED and place_of(event.id)[0] in left.places:
            known[event.id] = None
        elif event.kind in (TRIMMED, LOST):
            known.pop(event.id, None)
        elif event.kind == STREAM_DELETED:
            known.clear()
    lost = [entry_id for entry_id in known if entry_id not in left.ids]
    for entry_id in lost:
        log.report(LOST, LAB, entry_id, at=at)
    if lost or left.is_set_back:
        for group, place in itertools.product(groups, left.places):
            log.report(SET_BACK, groups.by_hand(group), place + left.positions.get(place + group, ""), at=at)
