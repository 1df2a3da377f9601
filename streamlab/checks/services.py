"""A verdict on the exercise about watching a service: a function that judges what Redis says of a group.

The replies that it judges are made, not written down: each state is brought about in an embedded server with a clock
of its own, by the commands that would do it at work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import redis

from streamlab.checks.attempts import call, listed, returned, shown
from streamlab.results.verdict import Objection, Verdict, judged
from streamlab.servers.embedded import EmbeddedServer

#: From when on there is an alarm: entries not delivered, ms since an entry was added, deliveries, ms of silence.
BEHIND, OLD, OFTEN, SILENT = 100, 600_000, 5, 60_000
#: The alarms, in the order in which they are looked at.
ALARMS: Final = ("unknown", "behind", "failing", "dead", "old")

_KEY, _GROUP = "orders", "kitchen"
_SECOND: Final = 1_000
_FIRST_MS: Final = 1_767_225_600_000  # the beginning of 2026


class _State:
    """A group in a server with a clock of its own, which stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.now_ms = _FIRST_MS
        server = EmbeddedServer(version=(7, 2, 0), now_ms=lambda: self.now_ms)
        self.client: redis.Redis = server.client()
        self.client.xgroup_create(_KEY, _GROUP, id="0", mkstream=True)

    def wait(self, seconds: float) -> None:
        self.now_ms += round(seconds * _SECOND)

    def add(self, n_entries: int) -> list[str]:
        return [str(self.client.xadd(_KEY, {"number": n})) for n in range(n_entries)]

    def read(self, consumer: str, n_entries: int = 1) -> list[str]:
        """Let a consumer have new entries (``XREADGROUP … >``)."""
        reply: Any = self.client.xreadgroup(_GROUP, consumer, {_KEY: ">"}, n_entries)
        return [entry_id for _, entries in reply for entry_id, _ in entries]

    def finish(self, consumer: str, n_entries: int = 1) -> None:
        """Let a consumer have new entries, and acknowledge them."""
        self.client.xack(_KEY, _GROUP, *self.read(consumer, n_entries))

    def replies(self) -> tuple[Any, Any, Any, int]:
        (group,) = self.client.xinfo_groups(_KEY)
        consumers = self.client.xinfo_consumers(_KEY, _GROUP)
        pending = self.client.xpending_range(_KEY, _GROUP, "-", "+", 1_000)
        return group, consumers, pending, self.now_ms


@dataclass(frozen=True, slots=True)
class _Case:
    """How a group has come to be as it is, in words and commands; and the alarms that there should be."""

    words: str
    bring_about: Callable[[_State], None]
    alarms: frozenset[str]


def _nothing_yet(state: _State) -> None:
    """Nobody has read anything, and there is nothing to read."""


def _resting(state: _State) -> None:
    state.add(8)
    state.finish("C1", 4)
    state.finish("C2", 4)
    state.wait(3 * 3600)


def _at_work(state: _State) -> None:
    state.add(52)
    state.finish("C2", 3)
    state.read("C1", 9)
    state.wait(20)
    state.read("C2", 5)
    state.wait(8)


def _busy_for_hours(state: _State) -> None:
    """An old stream, whose entries were all acknowledged but for the last ones."""
    state.add(30)
    state.finish("C1", 30)
    state.wait(7200)
    state.add(3)
    state.read("C1", 3)
    state.wait(45)


def _far_behind(state: _State) -> None:
    state.add(160)
    state.finish("C1", 5)
    state.wait(1)


def _deleted_unread(state: _State) -> None:
    ids = state.add(6)
    state.finish("C1", 2)
    state.client.xdel(_KEY, ids[4])
    state.wait(1)


def _passed_on(state: _State) -> None:
    """Each claim has reset the idle time of an entry that has been pending for 40 minutes."""
    state.add(3)
    (entry_id,) = state.read("C1")
    for consumer in ("C2", "C1", "C2"):
        state.wait(800)
        state.client.xclaim(_KEY, _GROUP, consumer, 0, [entry_id])
    state.finish("C1", 2)
    state.wait(2)


def _tried_again(n_deliveries: int) -> Callable[[_State], None]:
    def bring_about(state: _State) -> None:
        state.add(4)
        state.read("C1", 2)
        for _ in range(n_deliveries - 1):
            state.wait(1)
            state.client.xreadgroup(_GROUP, "C1", {_KEY: "0"}, 1)
        state.finish("C2", 2)
        state.wait(1)

    return bring_about


def _one_is_gone(state: _State) -> None:
    state.add(9)
    state.finish("C1", 2)
    state.read("C2", 3)
    state.finish("C3", 4)
    state.wait(150)
    state.add(2)
    state.finish("C1")
    state.finish("C3")
    state.wait(2)


def _long_work(state: _State) -> None:
    state.add(4)
    state.read("C1")
    state.wait(180)
    state.read("C1")
    state.finish("C2", 2)
    state.wait(3)


def _everything(state: _State) -> None:
    ids = state.add(300)
    state.read("C1", 2)
    for _ in range(6):
        state.wait(1)
        state.client.xreadgroup(_GROUP, "C1", {_KEY: "0"})
    state.client.xdel(_KEY, ids[-2])
    state.wait(3600)


_CASES: Final = (
    _Case("Of a group that is new and has no consumer,", _nothing_yet, frozenset()),
    _Case("Of a group that has had nothing to do for hours,", _resting, frozenset()),
    _Case("Of a group at work, with 38 entries to be read,", _at_work, frozenset()),
    _Case("Of a group at work on the last entries of an old stream,", _busy_for_hours, frozenset()),
    _Case("Of a group with 155 entries to be read,", _far_behind, frozenset({"behind"})),
    _Case("After XDEL of an entry that nobody had read,", _deleted_unread, frozenset({"unknown"})),
    _Case(
        "Of an entry that is passed on from one consumer to the next, and that for 40 minutes,",
        _passed_on,
        frozenset({"old"}),
    ),
    _Case("Of an entry that was delivered 5 times,", _tried_again(5), frozenset()),
    _Case("Of an entry that was delivered 6 times,", _tried_again(6), frozenset({"failing"})),
    _Case("Of a consumer that was last heard of 152 s ago, and holds 3 entries,", _one_is_gone, frozenset({"dead"})),
    _Case(
        "Of a consumer that has had one entry for 3 minutes, and asked for another 3 s ago,", _long_work, frozenset()
    ),
    _Case(
        "Of a group with an unknown lag, whose only consumer died an hour ago at its seventh try,",
        _everything,
        frozenset({"unknown", "failing", "dead", "old"}),
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
        case.bring_about(state)
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
            raise Objection(
                objection.verdict.words,
                "the lag is None here, since Redis cannot tell it: ask for that before you compare it with a number.",
            ) from None
        raise
    if made is None or isinstance(made, str | Mapping) or not isinstance(made, Iterable):
        raise returned(made, case.words, wanted)
    words = listed(made, case.words, 100)
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

__all__ = ["ALARMS", "alarms"]
