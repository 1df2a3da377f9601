"""A verdict on the exercise about watching a service: a function that judges what Redis says of a group.

The replies that it judges are made, not written down: each state is brought about in an embedded server with a clock
of its own, by the commands that would do it at work.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import redis

from streamlab.checks.attempts import call, listed, shown
from streamlab.results.verdict import Objection, Verdict, judged
from streamlab.servers.embedded import EmbeddedServer

#: From when on there is an alarm: entries not delivered, ms since an entry was added, deliveries, ms of silence.
BEHIND, OLD, OFTEN, SILENT = 100, 600_000, 5, 60_000
#: The alarms, in the order in which they are looked at.
ALARMS: Final = ("unknown", "behind", "failing", "dead", "old")

_KEY, _GROUP = "orders", "kitchen"
_FIRST_MS: Final = 1_767_225_600_000  # the beginning of 2026


class _State:
    """A group in a server with a clock of its own, which stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.now_ms = _FIRST_MS
        server = EmbeddedServer(version=(7, 2, 0), now_ms=lambda: self.now_ms)
        self.client: redis.Redis = server.client()
        self.client.xgroup_create(_KEY, _GROUP, id="0", mkstream=True)

    def bring_about(self, steps: str) -> None:
        """Do what a case is made of, step by step; times are in seconds, entries counted from 0."""
        stream, ids = (_KEY, _GROUP), list[str]()
        for step in filter(None, steps.split("; ")):
            match step.split():
                case ["wait", seconds]:
                    self.now_ms += int(seconds) * 1_000
                case ["add", n_entries]:
                    ids += [str(self.client.xadd(_KEY, {"number": i})) for i in range(int(n_entries))]
                case ["delete", nth]:
                    self.client.xdel(_KEY, ids[int(nth)])
                case [consumer, "claims", nth]:
                    self.client.xclaim(*stream, consumer, 0, [ids[int(nth)]])
                case [consumer, "reads", n]:
                    self.client.xreadgroup(_GROUP, consumer, {_KEY: ">"}, int(n))
                case [consumer, "rereads", n]:  # its own history
                    self.client.xreadgroup(_GROUP, consumer, {_KEY: "0"}, int(n))
                case [consumer, "finishes", n]:
                    reply: Any = self.client.xreadgroup(_GROUP, consumer, {_KEY: ">"}, int(n))
                    self.client.xack(*stream, *[entry_id for entry_id, _ in reply[0][1]])
                case _:
                    raise AssertionError(f"no step: {step}")

    def replies(self) -> tuple[Any, Any, Any, int]:
        (group,) = self.client.xinfo_groups(_KEY)
        consumers = self.client.xinfo_consumers(_KEY, _GROUP)
        pending = self.client.xpending_range(_KEY, _GROUP, "-", "+", 1_000)
        return group, consumers, pending, self.now_ms


class _Case(NamedTuple):
    """How a group has come to be as it is, in words and steps; and the alarms that there should be."""

    words: str
    steps: str
    alarm: str = ""

    @property
    def alarms(self) -> set[str]:
        return {*self.alarm.split()}


def _delivered(n_times: int) -> str:
    again = "wait 1; C1 rereads 1; " * (n_times - 1)
    return f"add 4; C1 reads 2; {again}C2 finishes 2; wait 1"


_CASES: Final = (
    _Case("Of a group that is new and has no consumer,", ""),
    _Case("Of a group that has had nothing to do for hours,", "add 8; C1 finishes 4; C2 finishes 4; wait 10800"),
    _Case(
        "Of a group at work, with 38 entries to be read,",
        "add 52; C2 finishes 3; C1 reads 9; wait 20; C2 reads 5; wait 8",
    ),
    _Case(
        "Of a group at work on the last entries of an old stream,",
        "add 30; C1 finishes 30; wait 7200; add 3; C1 reads 3; wait 45",
    ),
    _Case("Of a group with 155 entries to be read,", "add 160; C1 finishes 5; wait 1", "behind"),
    _Case("After XDEL of an entry that nobody had read,", "add 6; C1 finishes 2; delete 4; wait 1", "unknown"),
    _Case(
        "Of an entry that is passed on from one consumer to the next, and that for 40 minutes,",
        "add 3; C1 reads 1; wait 800; C2 claims 0; wait 800; C1 claims 0; wait 800; C2 claims 0; C1 finishes 2; wait 2",
        "old",
    ),
    _Case("Of an entry that was delivered 5 times,", _delivered(5)),
    _Case("Of an entry that was delivered 6 times,", _delivered(6), "failing"),
    _Case(
        "Of a consumer that was last heard of 152 s ago, and holds 3 entries,",
        "add 9; C1 finishes 2; C2 reads 3; C3 finishes 4; wait 150; add 2; C1 finishes 1; C3 finishes 1; wait 2",
        "dead",
    ),
    _Case(
        "Of a consumer that has had one entry for 3 minutes, and asked for another 3 s ago,",
        "add 4; C1 reads 1; wait 180; C1 reads 1; C2 finishes 2; wait 3",
    ),
    _Case(
        "Of a group with an unknown lag, whose only consumer died an hour ago at its seventh try,",
        f"add 300; C1 reads 2; {'wait 1; C1 rereads 2; ' * 6}delete -2; wait 3600",
        "unknown failing dead old",
    ),
)


@judged
def alarms(answer: object) -> Verdict:
    """Check a function that judges a group by what Redis says (``XINFO GROUPS``, ``XINFO CONSUMERS``, ``XPENDING``).

    ``answer(group, consumers, pending, now)`` is given one row of ``xinfo_groups``, all of ``xinfo_consumers`` and of
    ``xpending_range``, as redis-py returns them, and Redis' time in ms. It is to return which of `ALARMS` there are.
    """
    for case in _CASES:
        state = _State()
        state.bring_about(case.steps)
        group, consumers, pending, now = state.replies()
        said = _said(answer, case, group, consumers, pending, now)
        for alarm in ALARMS:
            if (alarm in said) != (alarm in case.alarms):
                raise _objection(alarm, case, group, consumers, pending)
    return Verdict(True, f"{len(_CASES)} states of a group: every alarm where there is reason for it, and no other.")


def _said(answer: object, case: _Case, group: Any, *rest: Any) -> set[str]:
    """Return the alarms that the function sounds; what it may not do is objected to."""
    wanted = f"return a set of words, of these: {', '.join(ALARMS)}; an empty one if all is well."
    try:
        made = call(answer, case.words, group, *rest)
    except Objection as objection:
        if group["lag"] is None and "NoneType" in objection.verdict.words:
            hint = "the lag is None here, since Redis cannot tell it: ask for that before you compare it with a number."
            raise Objection(objection.verdict.words, hint) from None
        raise
    words = listed(made, case.words, 100, wanted)
    unknown = [word for word in words if word not in ALARMS]
    if unknown:
        raise Objection(f"{case.words} {shown(unknown[0])} is none of the alarms.", wanted)
    return set(words)


def _objection(alarm: str, case: _Case, group: Any, consumers: Any, pending: Any) -> Objection:
    """Return what to say of an alarm that was not given, or was given without reason."""
    if alarm in case.alarms:
        return Objection(f"{case.words} there is no alarm {alarm!r}.", _MISSING[alarm])
    n_deliveries = max((row["times_delivered"] for row in pending), default=0)
    silent_ms = max((row["idle"] for row in consumers), default=0)
    needless = {
        "unknown": f"the lag is {group['lag']}, and 0 is known as well: ask whether it `is None`.",
        "behind": f"the lag is {group['lag']}: it counts what was not delivered, and {BEHIND} of these are fine.",
        "failing": f"no entry was delivered more than {n_deliveries} times; more than {OFTEN} are too many.",
        "dead": "a consumer that is silent and holds nothing waits for work: it is dead only with entries pending."
        if silent_ms > SILENT
        else f"no consumer has been silent for more than {silent_ms:,} ms: its idle, in ms, in XINFO CONSUMERS. "
        "XPENDING tells how long ago the entry was delivered.",
        "old": f"nothing that is pending was added more than {OLD:,} ms ago. now is in ms, and so is an id, up to its "
        "hyphen.",
    }
    return Objection(f"{case.words} there is an alarm {alarm!r}.", needless[alarm])


_MISSING: Final = {
    "unknown": "XINFO GROUPS says None for a lag that it cannot tell; that is neither 0 nor a large number.",
    "behind": f"more than {BEHIND} entries that were not delivered are too many: the lag.",
    "failing": f"more than {OFTEN} deliveries are too many: times_delivered, in each row of XPENDING.",
    "dead": f"a consumer is dead that has been silent for more than {SILENT:,} ms and holds entries: idle and pending "
    "in XINFO CONSUMERS. Look at all of them.",
    "old": "idle starts again with each claim, so it does not tell an entry's age. Its id does: up to the hyphen it is "
    "the time when it was added, in ms.",
}
