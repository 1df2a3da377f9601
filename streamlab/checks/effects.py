"""Verdicts on the exercises about effects that happen once: in a database, and in the stream that a producer writes."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import redis

from streamlab.checks.mishaps import (
    KEY,
    Fields,
    Life,
    Mishap,
    MortalClient,
    Streams,
    call,
    comes_through,
    dies_at,
    each_step,
    no_mishap,
)
from streamlab.results.verdict import Objection, Verdict, judged
from streamlab.servers.processes import GuardedFolder

# ---- an effect in a database -----------------------------------------------------------------------

_TABLES: Final = """
CREATE TABLE booked (number TEXT PRIMARY KEY);
CREATE TABLE accounts (customer TEXT PRIMARY KEY, total INTEGER);
INSERT INTO accounts VALUES ('mia', 0), ('tom', 0);
"""
_ORDER: Final = {"number": "7", "customer": "mia", "amount": "40"}
_ORDERS: Final = (
    _ORDER,
    {"number": "8", "customer": "mia", "amount": "30"},
    {"number": "9", "customer": "tom", "amount": "5"},
    {"number": "10", "customer": "mia", "amount": "40"},
)


class _MortalCursor(sqlite3.Cursor):
    """A cursor whose statements are steps of its connection's life."""

    def execute(self, sql: str, *args: Any) -> Any:
        return self._step(sql, super().execute, sql, *args)

    def executemany(self, sql: str, *args: Any) -> Any:
        return self._step(sql, super().executemany, sql, *args)

    def executescript(self, sql: str) -> Any:
        return self._step(sql, super().executescript, sql)

    def _step(self, sql: str, do: Callable[..., Any], *args: Any) -> Any:
        db = self.connection
        assert isinstance(db, _MortalDatabase)
        db.cursors.append(self)
        return db.life.step(sql, lambda: do(*args), db.undo)


class _MortalDatabase(sqlite3.Connection):
    """A connection for the learner's function. What it has not committed when it dies is undone, as by SQLite."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.life = Life()
        self.cursors: list[sqlite3.Cursor] = []

    def undo(self) -> None:
        """Forget what is not committed, and hold no lock any more."""
        for cursor in self.cursors:
            cursor.close()
        self.rollback()

    def cursor(self, factory: Any = _MortalCursor) -> Any:
        return super().cursor(factory)

    def execute(self, *args: Any) -> Any:
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> Any:
        return self.cursor().executemany(*args)

    def executescript(self, *args: Any) -> Any:
        return self.cursor().executescript(*args)

    def commit(self) -> None:
        self.life.step("COMMIT", super().commit, self.undo)


class _Shop:
    """A database in a file. Each order that is delivered is booked by a process of its own."""

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder) / "shop.db"
        self._path.unlink(missing_ok=True)
        with closing(sqlite3.connect(self._path)) as db:
            db.executescript(f"PRAGMA synchronous = OFF; {_TABLES}")  # nobody pulls the plug

    def deliver(
        self, answer: object, case: str, entry_id: str = "1000-0", order: Fields = _ORDER, mishap: Mishap = no_mishap
    ) -> bool:
        """Have an order booked; return whether the process came through alive."""
        # No waiting for a lock: whoever holds it is in this same thread.
        with closing(sqlite3.connect(self._path, timeout=0, factory=_MortalDatabase)) as db:
            sqlite3.Connection.execute(db, "PRAGMA synchronous = OFF")
            db.life.mishap = mishap
            try:
                return comes_through(answer, case, db.life, db, entry_id, dict(order))
            finally:
                db.undo()

    def totals(self) -> dict[str, int]:
        """Return what each customer has been charged, as another process sees it."""
        with closing(sqlite3.connect(self._path)) as db:
            return dict(db.execute("SELECT customer, total FROM accounts"))


@judged
def books_once(answer: object) -> Verdict:
    """Check an effect that happens once for each order, whatever is delivered, and wherever its process dies.

    ``answer(db, entry_id, order)`` is to add ``order["amount"]`` to the total of ``order["customer"]`` in the table
    ``accounts``, once for each ``order["number"]``; the table ``booked`` is there to remember the numbers.
    """
    with closing(GuardedFolder()) as folder:
        _check_deliveries(answer, _Shop(folder.path))
        n_deaths = _check_deaths(answer, folder.path)
        _check_races(answer, folder.path)
    words = f"Delivered twice, sent twice, killed at {n_deaths} places, booked by two at once: each order counts once."
    return Verdict(True, words)


def _check_deliveries(answer: object, shop: _Shop) -> None:
    expected = {"mia": 0, "tom": 0}
    for n, order in enumerate(_ORDERS, 1):
        shop.deliver(answer, f"Given order {order['number']},", f"{n}000-0", order)
        expected[order["customer"]] += int(order["amount"])
        if shop.totals() != expected:
            raise _wrong_totals(order, shop.totals(), expected)
    shop.deliver(answer, "Given an entry again,", "1000-0")
    if shop.totals() != expected:
        raise Objection(
            f"Order 7 was delivered twice, by the entry 1000-0: the totals are {shop.totals()}, not {expected}.",
            "INSERT its number into booked together with the effect. If it is there already (OR IGNORE and a rowcount "
            "of 0, or an IntegrityError) there must be no effect.",
        )
    shop.deliver(answer, "Given an order under a second entry id,", "9000-0")
    if shop.totals() != expected:
        words = f"Order 7 came again under another entry id, 9000-0: the totals are {shop.totals()}, not {expected}."
        raise Objection(words, "a producer that sends twice makes two entries: remember order['number'], not entry_id.")


def _wrong_totals(order: Fields, totals: dict[str, int], expected: dict[str, int]) -> Objection:
    number, customer = order["number"], order["customer"]
    if not any(totals.values()):
        hint = "UPDATE accounts, and commit (with db: does it at its end). What is not committed is undone."
        return Objection(f"Order {number} was booked and the connection closed: {customer}'s total is 0.", hint)
    hint = "add the amount to what was there, of this customer only: SET total = total + ? WHERE customer = ?"
    if totals[customer] == expected[customer] - int(order["amount"]):
        hint = "customer and amount may be the same again: it is the number that tells orders apart."
    return Objection(f"After order {number} the totals are {totals}, not {expected}.", hint)


def _check_deaths(answer: object, folder: Path) -> int:
    """Let it die before and after each of its statements; return at how many places."""
    shop = _Shop(folder)
    shop.deliver(answer, "In another database,")
    if shop.totals()["mia"] == 0:
        hint = "what a process remembers dies with it: remember the number in the database, in booked."
        raise Objection("In another database, which does not know order 7, it was not booked.", hint)
    for n_deaths, (nth, when) in enumerate(each_step()):
        shop = _Shop(folder)
        survived = shop.deliver(answer, "Before it was killed,", mishap=dies_at(nth, when))
        shop.deliver(answer, "Called again after it was killed,")
        total = shop.totals()["mia"]
        if total != 40:
            wrong = "remembered and not booked" if total < 40 else "booked and not remembered"
            words = f"It was killed {when} statement {nth}; the entry came again, and mia's total is {total}, not 40."
            hint = f"{wrong}: do both in one transaction (with db: around the two), and commit nothing in between."
            raise Objection(words, hint)
        if survived:
            return n_deaths
    raise AssertionError("counting does not end")


def _check_races(answer: object, folder: Path) -> None:
    """Let another consumer book the same order after each of its statements: a zombie is never far."""
    for nth in itertools.count(1):
        shop = _Shop(folder)
        race = _Race(lambda: _may_be_refused(lambda: shop.deliver(answer, "At once,")), nth)  # noqa: B023
        _may_be_refused(lambda: shop.deliver(answer, "At once,", mishap=race))  # noqa: B023
        if race.n_statements < nth:
            return
        shop.deliver(answer, "Called again,")
        total = shop.totals()["mia"]
        if total != 40:
            raise Objection(
                f"After its statement {nth} another consumer booked the same order: mia's total is {total}, not 40.",
                "to look and then to book is two steps, and a zombie comes between them. INSERT into booked first: its "
                "PRIMARY KEY lets only one of two succeed.",
            )


class _Race:
    """A mishap: after the nth statement somebody else gets a turn."""

    def __init__(self, other: Callable[[], object], nth: int) -> None:
        self._other = other
        self._nth = nth
        self.n_statements = 0

    def __call__(self, when: str, words: str) -> None:
        if when == "after":
            self.n_statements += 1
            if self.n_statements == self._nth:
                self._other()


def _may_be_refused(do: Callable[[], object]) -> None:
    """Of two who book at once one may meet a lock, or an IntegrityError: it will be called again."""
    try:
        do()
    except Objection as objection:
        if not isinstance(objection.__cause__, sqlite3.Error):
            raise


# ---- a producer whose replies are lost -------------------------------------------------------------

#: What befalls the first XADD, and the commands that follow it; and how that is told.
_LOSSES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("Where nothing is lost,", ()),
    ("XADD was executed and its reply lost; called again,", ("after",)),
    ("XADD was lost on its way to the server; called again,", ("before",)),
    ("XADD was executed and its reply lost, and the next command as well; called again,", ("after", "before")),
    ("XADD's reply was lost, and the next one as well; called again,", ("after", "after")),
)


@judged
def adds_once(answer: object) -> Verdict:
    """Check a producer's function that adds each order once, though replies are lost (``XADD``, ``XRANGE``).

    ``answer(client, key, order)`` is to add the entry `order`, whose field ``number`` no other has. Each of its
    commands may raise ``redis.ConnectionError``, whether the server has executed it or not; then it is called again.
    """
    for case, losses in _LOSSES:
        _check_losses(answer, case, losses, n_others=0)
    for case, losses in _LOSSES[1:]:
        _check_losses(answer, case, losses, n_others=3)
    n_orders = sum(_check_random_losses(answer, seed) for seed in range(3))
    return Verdict(True, f"{n_orders} orders, with many commands or their replies lost: each is in the stream once.")


def _check_losses(answer: object, case: str, losses: tuple[str, ...], n_others: int) -> None:
    """Let the first XADD be lost, and what follows; meanwhile another producer adds its orders."""
    streams, left = Streams(), list(losses)

    def mishap(when: str, words: str) -> None:
        has_begun = len(left) < len(losses) or words.startswith(("XADD", "EXEC"))
        if left and when == left[0] and has_begun:
            left.pop(0)
            for i in range(n_others):
                streams.client.xadd(KEY, {"number": f"x{i}", "amount": "40"})
            raise redis.ConnectionError("the connection was lost")

    orders = [{"number": "1", "amount": "40"}, {"number": "2", "amount": "40"}]
    for order in orders:
        _until_it_returns(answer, case, streams.process(mishap), order)
    for order in orders:
        _count(streams, case, order, is_lossy=bool(losses), has_others=bool(n_others))


def _check_random_losses(answer: object, seed: int) -> int:
    """Add orders while many commands fail, executed or not, and another producer adds its own."""
    rng, streams, left = random.Random(seed), Streams(), 0

    def mishap(when: str, words: str) -> None:
        nonlocal left
        if left and rng.random() < 1 / 3:
            left -= 1
            raise redis.ConnectionError("the connection was lost")

    case = "With many commands lost, or their replies,"
    orders = [{"number": str(n), "amount": str(rng.choice((20, 40)))} for n in range(1, 21)]
    for order in orders:
        left = rng.randint(0, 4)
        _until_it_returns(answer, case, streams.process(mishap), order)
        streams.client.xadd(KEY, {"number": f"x{order['number']}", "amount": order["amount"]})
    for order in orders:
        _count(streams, case, order, is_lossy=True, has_others=True)
    return len(orders)


def _until_it_returns(answer: object, case: str, client: MortalClient, order: Fields) -> None:
    """Call the function, and again whenever it raised a ConnectionError, as a producer does."""
    for _ in range(30):
        client.life.n_steps = 0
        try:
            call(answer, case, client, KEY, dict(order), may_raise=redis.ConnectionError)
        except redis.ConnectionError:
            continue
        return
    raise Objection(f"{case} it raised ConnectionError 30 times running.", "let the command's own error pass.")


def _count(streams: Streams, case: str, order: Fields, *, is_lossy: bool, has_others: bool) -> None:
    """Object unless an order is in the stream once, as it was given."""
    number = order["number"]
    found = [fields for fields in streams.orders() if fields.get("number") == number]
    if not found:
        hint = "add it: client.xadd(key, order)."
        if is_lossy:
            hint = "an error does not say that XADD was executed: look in the stream (XRANGE), and add what is missing."
        raise Objection(f"{case} order {number} is not in the stream.", hint)
    if streams.has_deletions():
        hint = "somebody may have read them by then: look before XADD, so that there is never a second one."
        raise Objection(f"{case} it deletes entries again.", hint)
    if len(found) > 1:
        hint = "look for its number (a text) in the stream (XRANGE) before XADD, at the beginning of every call."
        if has_others:
            hint += " In all of it: other producers have added theirs meanwhile."
        raise Objection(f"{case} order {number} is in the stream {len(found)} times.", hint)
    if found[0] != order:
        raise Objection(f"{case} the entry is {found[0]}, not {order}.", "add the fields as given.")
