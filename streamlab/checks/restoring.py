"""Verdict on the exercise about a server that came back with less than it had: what is missing is added again."""

from __future__ import annotations

from collections import Counter
from typing import Final

from streamlab.checks.mishaps import KEY, Fields, Streams, call
from streamlab.results.verdict import Objection, Verdict, judged

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
