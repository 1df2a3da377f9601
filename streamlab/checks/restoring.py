"""Verdicts on the exercises about a server that may forget: who asks for a copy, and who adds again what is missing."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from streamlab.checks.mishaps import KEY, Fields, MortalClient, Streams, call
from streamlab.checks.watched import text_of
from streamlab.results.verdict import Objection, Verdict, judged
from streamlab.servers.embedded import EmbeddedServer

#: How many orders there were, of which the stream has lost all after so many.
_CASES: Final = ((6, 6), (6, 4), (6, 0), (0, 0), (40, 15))


@judged
def restores(answer: object) -> Verdict:
    """Check a function that adds again what a server has lost (``XRANGE``, ``XADD``).

    ``answer(client, key, kept)`` is to add each order of the list `kept` that the stream lacks, in their order, and
    to return how many these are. An order is known by its field ``number``. It may be called again.
    """
    for n_orders, n_left in _CASES:
        _check(answer, n_orders, n_left, others=0)
        _check(answer, n_orders, n_left, others=3)
    return Verdict(True, f"{len(_CASES) * 2} crashes: each order is in the stream once, also if it is called again.")


def _check(answer: object, n_orders: int, n_left: int, others: int) -> None:
    streams = Streams()
    kept: list[Fields] = [{"number": str(n), "amount": "40"} for n in range(1, n_orders + 1)]
    for order in kept[:n_left]:
        streams.client.xadd(KEY, order)
    for n in range(others):
        streams.client.xadd(KEY, {"number": f"x{n}", "amount": "40"})
    before = streams.entries()
    n_lost = n_orders - n_left
    case = f"With {n_orders} orders kept, of which the stream has lost {n_lost},"
    _call(answer, case, streams, kept, n_lost)
    now = streams.entries()
    if now[: len(before)] != before:
        hint = "add what is missing, and delete nothing: somebody may have read it."
        raise Objection(f"{case} entries that were still there are gone, or are others.", hint)
    added = [fields for _, fields in now[len(before) :]]
    _look_at(case, added, kept[n_left:])
    again = f"{case} and called once more,"
    _call(answer, again, streams, kept, 0)
    if len(streams.entries()) > len(now):
        hint = "what it added has got a new id: look for the number of an order, not for an id."
        raise Objection(f"{again} it added orders again that are there by now.", hint)


def _call(answer: object, case: str, streams: Streams, kept: list[Fields], n_lost: int) -> None:
    said = call(answer, case, streams.process(), KEY, [dict(order) for order in kept])
    if isinstance(said, bool) or said != n_lost:
        raise Objection(f"{case} it returned {said!r}, not {n_lost}.", "return how many orders it has added.")


def _look_at(case: str, added: list[Fields], missing: list[Fields]) -> None:
    """Object unless just what was missing has been added, in its order."""
    wanted = [order["number"] for order in missing]
    numbers = Counter(fields.get("number", "") for fields in added)
    for number in wanted:
        if numbers[number] != 1:
            hint = "each order whose number is in no entry of the stream is to be added, once."
            raise Objection(f"{case} order {number} was added {numbers[number]} times.", hint)
    if len(added) > len(missing):
        hint = "the numbers of the orders that are there are in XRANGE: those are to be left out."
        raise Objection(f"{case} it added {len(added)} orders.", hint)
    if [fields.get("number") for fields in added] != wanted:
        raise Objection(f"{case} they are in another order than before.", "go through the list from its beginning.")
    if added != missing:
        raise Objection(f"{case} it added {added[0]}, not {missing[0]}.", "add the fields as they were kept.")


# ---- WAIT --------------------------------------------------------------------------------------------

_ORDER: Final = {"number": "7", "amount": "40"}


@judged
def asks_for_copy(answer: object) -> Verdict:
    """Check a function that adds an entry and tells whether a replica has it (``XADD``, ``WAIT``).

    ``answer(client, key, order)`` is to add `order` once, to wait for one replica for 50 ms at the most, and to return
    whether one has it.
    """
    for n_copies in (1, 0, 2):
        _check_copy(answer, n_copies)
    return Verdict(True, "With no replica, one and two: added once, and it is told whether a replica has it.")


class _WithReplicas(MortalClient):
    """A client of a server with replicas, of which so many have what was written."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.n_copies = 0
        self.names: list[str] = []
        #: For how many replicas, and how many ms, WAIT was asked; and how many entries there were then.
        self.waits: list[tuple[int, int, int]] = []

    def execute_command(self, *args: Any, **options: Any) -> Any:
        words = " ".join(map(text_of, args)).upper().split()
        self.names.append(words[0])
        if words[0] != "WAIT":
            return super().execute_command(*args, **options)
        self.waits.append((int(words[1]), int(words[2]), super().execute_command("XLEN", KEY)))
        return self.n_copies


def _check_copy(answer: object, n_copies: int) -> None:
    client = EmbeddedServer().client(_WithReplicas)
    assert isinstance(client, _WithReplicas)
    client.n_copies = n_copies
    case = f"With {n_copies} {'replica that has' if n_copies == 1 else 'replicas that have'} it,"
    said = call(answer, case, client, KEY, dict(_ORDER))
    added: list[Any] = client.xrange(KEY) or []
    if "XDEL" in client.names:
        raise Objection(f"{case} it deletes the entry again.", "somebody may have read it by then: tell, and leave it.")
    if not added:
        raise Objection(f"{case} the order is not in the stream.", "add it: client.xadd(key, order).")
    if len(added) > 1:
        hint = "WAIT undoes nothing: the entry is on the primary, whatever it answers."
        raise Objection(f"{case} the order is in the stream {len(added)} times.", hint)
    n_wanted, limit, n_there = client.waits[-1] if client.waits else (0, 0, 0)
    if not n_there:
        hint = "client.wait(1, 50), after XADD: it answers how many replicas have what this client has written before."
        raise Objection(f"{case} it does not ask for a copy after XADD.", hint)
    if n_wanted != 1 or not 0 < limit <= 50:
        hint = "client.wait(1, 50): one replica, and 50 ms; with 0 it would wait for ever."
        raise Objection(f"{case} it asks for WAIT {n_wanted} {limit}.", hint)
    if said is not (n_copies >= 1):
        hint = "return True if WAIT answers 1 or more, else False."
        raise Objection(f"{case} it returned {said!r}, not {n_copies >= 1}.", hint)
