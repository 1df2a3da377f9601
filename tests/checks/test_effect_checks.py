"""Verdicts on effects that happen once and on dead letters, and the processes that die on the way to them.

Right answers of all styles, and wrong ones with their hints: tests/checks/answers/lesson_10.py and lesson_11.py.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from streamlab import checks
from streamlab.checks import Verdict
from streamlab.checks.effects import _Shop
from streamlab.checks.mishaps import GROUP, KEY, MOST_STEPS, Died, Streams, call, dies_at, each_step
from streamlab.results.verdict import Objection

CHECKS: list[Callable[[object], Verdict]] = [checks.books_once, checks.adds_once, checks.gives_up, checks.puts_back]


# ---- no answer, or nonsense ------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("answer", [..., lambda *_: ...])
def test_the_stub_is_no_answer_yet(check: Callable[[object], Verdict], answer: object) -> None:
    assert check(answer).words == "There is no answer yet."


@pytest.mark.parametrize("check", CHECKS)
def test_what_ends_the_program_or_never_ends_is_told_in_words(check: Callable[[object], Verdict]) -> None:
    def leaves(*_: object) -> None:
        raise SystemExit

    def asks_for_ever(client: Any, *rest: Any) -> None:
        while True:
            client.execute("SELECT 1") if hasattr(client, "execute") else client.ping()

    assert "it ended the whole program" in check(leaves).words
    assert f"After {MOST_STEPS} commands it was still going on." in check(asks_for_ever).words


# ---- processes that die ----------------------------------------------------------------------------


def test_a_process_can_die_before_and_after_each_step() -> None:
    assert [*itertools.islice(each_step(), 4)] == [
        (1, "before"), (1, "after"), (2, "before"), (2, "after"),
    ]  # fmt: skip
    for nth, when in itertools.islice(each_step(), 6):
        streams = Streams()
        client = streams.process(dies_at(nth, when))
        with pytest.raises(Died):
            [client.xadd(KEY, {"number": n}) for n in range(3)]
        assert len(streams.entries()) == nth - (when == "before")


def test_no_handler_of_errors_catches_a_death_and_the_dead_send_nothing() -> None:
    streams = Streams()
    client = streams.process(dies_at(1, "before"))

    def catches() -> None:
        with contextlib.suppress(Exception):
            client.xadd(KEY, {"number": 1})

    for _ in range(2):
        with pytest.raises(Died):
            catches()
    assert streams.entries() == []


@pytest.mark.parametrize("transaction", [True, False])
def test_a_pipeline_dies_before_or_after_all_of_it(transaction: bool) -> None:
    for when, n_added in (("before", 0), ("after", 2)):
        streams = Streams()
        pipe = streams.process(dies_at(1, when)).pipeline(transaction=transaction)
        pipe.xadd(KEY, {"number": 1})
        pipe.xadd(KEY, {"number": 2})
        with pytest.raises(Died):
            pipe.execute()
        assert len(streams.entries()) == n_added


def test_a_lost_reply_is_an_error_and_no_death() -> None:
    def loses(when: str, words: str) -> None:
        if when == "after" and words.startswith("XADD"):
            raise redis.ConnectionError("lost")

    streams = Streams()
    client = streams.process(loses)
    with pytest.raises(redis.ConnectionError):
        client.xadd(KEY, {"number": 1})
    assert client.xlen(KEY) == 1


def test_an_objection_is_not_swallowed_with_the_errors() -> None:
    """Whoever waits is told so, even if the function catches whatever is raised."""

    def waits(client: Any) -> None:
        try:
            client.xread({KEY: "$"}, block=1)
        except Exception:
            return

    with pytest.raises(Objection, match="It waits for entries"):
        call(waits, "Once,", Streams().process())


def test_errors_pass_if_they_may_and_others_are_told_with_a_hint_of_the_exercise() -> None:
    def adds(client: Any) -> None:
        client.xadd(KEY, {"number": 1}, id="5-0")
        client.xadd(KEY, {"number": 2}, id="4-0")

    with pytest.raises(redis.ResponseError):
        call(adds, "Once,", Streams().process(), may_raise=redis.ResponseError)
    with pytest.raises(Objection, match="Once, it raised ResponseError") as caught:
        call(adds, "Once,", Streams().process())
    assert "let Redis give the id" in caught.value.verdict.hint


def test_what_cannot_be_looked_at_any_more_is_told_in_words() -> None:
    streams = Streams()
    streams.client.set(KEY, "x")
    with pytest.raises(Objection, match="WRONGTYPE"):
        streams.entries()
    with pytest.raises(Objection, match="WRONGTYPE"):
        streams.pending()
    streams.client.delete(KEY)
    streams.client.xgroup_create(KEY, GROUP, mkstream=True)
    assert (streams.entries(), streams.pending()) == ([], {})


# ---- a database whose process dies -----------------------------------------------------------------


def book(db: Any, entry_id: str, order: dict[str, str]) -> None:
    with db:
        if db.execute("INSERT OR IGNORE INTO booked VALUES (:number)", order).rowcount:
            add = "UPDATE accounts SET total = total + :amount WHERE customer = :customer"
            db.execute(add, order)


def test_what_was_not_committed_at_the_death_is_undone(tmp_path: Path) -> None:
    for nth, when in itertools.islice(each_step(), 4):
        shop = _Shop(str(tmp_path))
        assert not shop.deliver(book, "Once,", mishap=dies_at(nth, when))
        assert shop.totals() == {"mia": 0, "tom": 0}
    assert shop.deliver(book, "Once,", mishap=dies_at(3, "before"))
    assert shop.totals() == {"mia": 40, "tom": 0}


def test_the_dead_commit_nothing_though_they_catch_their_death(tmp_path: Path) -> None:
    def catches(db: Any, entry_id: str, order: dict[str, str]) -> None:
        with db:
            try:
                book(db, entry_id, order)
                db.execute("UPDATE accounts SET total = 99")
            except BaseException:
                return

    shop = _Shop(str(tmp_path))
    assert not shop.deliver(catches, "Once,", mishap=dies_at(2, "after"))
    assert shop.totals() == {"mia": 0, "tom": 0}


def test_the_dead_hold_no_lock(tmp_path: Path) -> None:
    """A cursor that is not yet at its end would hold one, as long as the traceback of the death is there."""

    def reads(db: Any, entry_id: str, order: dict[str, str]) -> None:
        rows = db.execute("SELECT * FROM accounts")
        assert rows.fetchone()
        book(db, entry_id, order)

    shop = _Shop(str(tmp_path))
    deaths = []

    def dies(when: str, sql: str) -> None:
        if when == "after" and sql.startswith("UPDATE"):
            deaths.append(Died())
            raise deaths[0]

    assert not shop.deliver(reads, "Once,", mishap=dies)
    assert deaths[0].__traceback__ is not None
    assert shop.deliver(book, "Again,")
    assert shop.totals()["mia"] == 40


def test_what_the_living_forgot_to_commit_is_undone_and_locks_nothing(tmp_path: Path) -> None:
    kept: list[Any] = []

    def keeps(db: Any, entry_id: str, order: dict[str, str]) -> None:
        kept.append(db.execute("SELECT * FROM accounts"))
        kept.append(db.execute("UPDATE accounts SET total = 99"))

    shop = _Shop(str(tmp_path))
    assert shop.deliver(keeps, "Once,")
    assert shop.deliver(book, "Again,")
    assert shop.totals() == {"mia": 40, "tom": 0}


@pytest.mark.parametrize("how", ["connection", "cursor", "many", "script"])
def test_each_way_to_execute_a_statement_is_a_step(how: str, tmp_path: Path) -> None:
    def counts(db: Any, entry_id: str, order: dict[str, str]) -> None:
        sql = "UPDATE accounts SET total = total + 1 WHERE customer = 'tom'"
        {
            "connection": lambda: db.execute(sql),
            "cursor": lambda: db.cursor().execute(sql),
            "many": lambda: db.executemany(sql, [()]),
            "script": lambda: db.executescript(sql),
        }[how]()
        db.commit()

    seen: list[tuple[str, str]] = []
    shop = _Shop(str(tmp_path))
    assert shop.deliver(counts, "Once,", mishap=lambda when, sql: seen.append((when, sql[:6])))
    assert seen == [("before", "UPDATE"), ("after", "UPDATE"), ("before", "COMMIT"), ("after", "COMMIT")]
    assert shop.totals()["tom"] == 1


# ---- verdicts --------------------------------------------------------------------------------------


def test_a_verdict_says_how_much_was_tried_and_is_the_same_each_time() -> None:
    """Two statements: killed before and after each."""
    assert "killed at 4 places" in checks.books_once(book).words
    assert repr(checks.books_once(book)) == repr(checks.books_once(book))


def test_a_database_error_in_a_race_is_no_objection_and_another_error_is() -> None:
    """Of two who book at once, one may be refused; what it does wrong besides is told."""

    def refuses(db: Any, entry_id: str, order: dict[str, str]) -> None:
        try:
            book(db, entry_id, order)
        except sqlite3.OperationalError:
            raise KeyError("locked") from None

    assert checks.books_once(book)
    verdict = checks.books_once(refuses)
    assert not verdict
    assert "KeyError" in verdict.words


def test_entries_that_a_producer_deletes_again_may_have_been_read() -> None:
    def repairs(client: Any, key: str, order: dict[str, str]) -> None:
        client.xadd(key, order)
        for entry_id, fields in client.xrange(key)[:-1]:
            if fields == order:
                client.xdel(key, entry_id)

    assert "somebody may have read them" in checks.adds_once(repairs).hint
