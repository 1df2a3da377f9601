"""Verdicts on functions that read streams, and on the state of a group: right in any way, and words for the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from streamlab import checks
from streamlab.checks import Verdict
from streamlab.servers.embedded import EmbeddedServer

# ---- no answer, or nonsense ------------------------------------------------------------------------

CHECKS: list[Callable[[object], Verdict]] = [checks.pages, checks.bookmark, checks.worker]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("answer", [..., lambda *_: ...])
def test_the_stub_is_no_answer_yet(check: Callable[[object], Verdict], answer: object) -> None:
    assert check(answer).words == "There is no answer yet."


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_no_function_is_told_so(check: Callable[[object], Verdict]) -> None:
    assert check(7).words == "7 is not a function."


@pytest.mark.parametrize("check", CHECKS)
def test_an_error_in_the_answer_is_told_in_words(check: Callable[[object], Verdict]) -> None:
    verdict = check(lambda *_: [][0])
    assert "it raised IndexError: list index out of range" in verdict.words
    assert "there is nothing" in verdict.hint


# ---- pages -----------------------------------------------------------------------------------------


def right_pages(client: Any, key: str, size: int) -> Iterator[list[Any]]:
    page = client.xrange(key, count=size)
    while page:
        yield page
        page = client.xrange(key, f"({page[-1][0]}", count=size)


def pages_by_xread(client: Any, key: str, size: int) -> list[list[Any]]:
    pages, last_id = [], "0"
    while reply := client.xread({key: last_id}, count=size):
        pages.append(reply[0][1])
        last_id = reply[0][1][-1][0]
    return pages


@pytest.mark.parametrize("answer", [right_pages, pages_by_xread])
def test_pages(answer: object) -> None:
    assert checks.pages(answer)


def includes_the_last(client: Any, key: str, size: int) -> Iterator[list[Any]]:
    page = client.xrange(key, count=size)
    while page:
        yield page
        page = client.xrange(key, page[-1][0], count=size)


def for_ever(client: Any, key: str, size: int) -> list[list[Any]]:
    pages = []
    while page := client.xrange(key, count=size):
        pages.append(page)
    return pages


def all_at_once(client: Any, key: str, size: int) -> list[list[Any]]:
    entries = client.xrange(key)
    return [entries[i : i + size] for i in range(0, len(entries), size)]


def skips_the_same_millisecond(client: Any, key: str, size: int) -> Iterator[list[Any]]:
    page = client.xrange(key, count=size)
    while page:
        yield page
        page = client.xrange(key, int(page[-1][0].split("-")[0]) + 1, count=size)


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        (includes_the_last, "comes twice", "unless ( stands before it"),
        (for_ever, "it was still asking", "begin after the last id"),
        (all_at_once, "it fetched 7 entries at once", "count"),
        (skips_the_same_millisecond, "was due", "oldest"),
        (lambda client, key, size: [client.xrange(key, count=size)], "is missing", "go on"),
        (lambda client, key, size: [*right_pages(client, key, size), []], "is empty", "stop"),
        (lambda *_: None, "it returned None", "yield"),
        (lambda *_: ["ab"], "no list of entries", "XRANGE"),
    ],
)
def test_pages_missed(answer: object, words: str, hint: str) -> None:
    verdict = checks.pages(answer)
    assert not verdict
    assert words in verdict.words
    assert hint in verdict.hint


# ---- bookmark --------------------------------------------------------------------------------------


def read_new(client: Any, key: str, last_id: str) -> tuple[list[Any], str]:
    reply = client.xread({key: last_id})
    entries = reply[0][1] if reply else []
    return entries, entries[-1][0] if entries else last_id


def read_by_range(client: Any, key: str, last_id: str) -> tuple[list[Any], str]:
    entries = client.xrange(key, f"({last_id}")
    return entries, (entries or [(last_id, {})])[-1][0]


@pytest.mark.parametrize("answer", [read_new, read_by_range])
def test_bookmark(answer: object) -> None:
    assert checks.bookmark(answer)


def with_dollar(client: Any, key: str, last_id: str) -> tuple[list[Any], str]:
    return [], "$"


def mind_nothing(client: Any, key: str, last_id: str) -> tuple[list[Any], str]:
    entries = client.xread({key: last_id})[0][1]
    return entries, entries[-1][0]


def never_moves(client: Any, key: str, last_id: str) -> tuple[list[Any], str]:
    return read_new(client, key, last_id)[0], last_id


def reads_some(client: Any, key: str, last_id: str) -> tuple[list[Any], str]:
    reply = client.xread({key: last_id}, count=1)
    return (reply[0][1], reply[0][1][-1][0]) if reply else ([], last_id)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (with_dollar, "returned no entry, and '$' as the new bookmark"),
        (mind_nothing, "raised IndexError"),
        (never_moves, "the new bookmark is '0'; the last entry was"),
        (reads_some, "is missing"),
        (lambda client, key, last_id: client.xread({key: last_id}, block=5), "waits for entries"),
        (lambda *_: [], "it returned []"),
    ],
)
def test_bookmark_missed(answer: object, words: str) -> None:
    verdict = checks.bookmark(answer)
    assert not verdict
    assert words in verdict.words


# ---- what is pending -------------------------------------------------------------------------------

EXPECTED = {"alice": ["3-0"], "bob": ["5-0"]}


@pytest.fixture
def six() -> redis.Redis:
    """A stream of six entries with a group that was given nothing."""
    client = EmbeddedServer().client()
    client.xgroup_create("s", "g", id="0", mkstream=True)
    for n in range(1, 7):
        client.xadd("s", {"number": n}, id=f"{n}-0")
    return client


def test_pending_exactly(six: redis.Redis) -> None:
    assert checks.pending_exactly(six, "s", "g", EXPECTED).words == "There is no answer yet."
    assert checks.pending_exactly(six, "s", "x", EXPECTED).words == "The stream s has no group x."
    assert "no such key" in checks.pending_exactly(six, "t", "g", EXPECTED).words
    six.xreadgroup("g", "alice", {"s": ">"}, count=3)
    assert checks.pending_exactly(six, "s", "g", EXPECTED).words == "5-0 is not pending."
    six.xreadgroup("g", "bob", {"s": ">"}, count=2)
    assert "1-0 is pending, too, for alice" in checks.pending_exactly(six, "s", "g", EXPECTED).words
    six.xack("s", "g", "1-0", "2-0", "4-0")
    verdict = checks.pending_exactly(six, "s", "g", EXPECTED)
    assert verdict.words == "1 entry from 6-0 on still undelivered."
    six.xreadgroup("g", "carol", {"s": ">"}, noack=True)
    verdict = checks.pending_exactly(six, "s", "g", EXPECTED)
    assert verdict
    assert "3-0 for alice; 5-0 for bob" in verdict.words


def test_pending_for_another(six: redis.Redis) -> None:
    six.xreadgroup("g", "bob", {"s": ">"})
    verdict = checks.pending_exactly(six, "s", "g", EXPECTED)
    assert verdict.words == "3-0 is pending for bob; alice was asked for."


def test_what_is_deleted_is_not_done(six: redis.Redis) -> None:
    """XDEL leaves nothing undelivered, and nothing acknowledged either."""
    six.xreadgroup("g", "alice", {"s": ">"}, count=4)
    six.xreadgroup("g", "bob", {"s": ">"}, count=1)
    six.xack("s", "g", "1-0", "2-0", "4-0")
    six.xdel("s", "6-0")
    verdict = checks.pending_exactly(six, "s", "g", EXPECTED)
    assert verdict.words == "6-0 was deleted from the stream."


def test_pending_by_claim_is_right_too(six: Any) -> None:
    six.xreadgroup("g", "bob", {"s": ">"}, noack=True)
    for name, ids in EXPECTED.items():
        six.xclaim("s", "g", name, 0, ids, force=True)
    assert checks.pending_exactly(six, "s", "g", EXPECTED)


# ---- a consumer that comes back --------------------------------------------------------------------


def entries_of(reply: Any) -> list[Any]:
    return list(reply[0][1]) if reply else []


def work(
    client: Any, key: str, group: str, consumer: str, handle: Any,
    *, positions: tuple[str, ...] = ("0", ">"), early: bool = False, ack: bool = True, **options: Any
) -> None:  # fmt: skip
    for position in positions:
        while entries := entries_of(client.xreadgroup(group, consumer, {key: position}, **options)):
            for entry_id, fields in entries:
                if early:
                    client.xack(key, group, entry_id)
                handle(entry_id, fields)
                if ack and not early:
                    client.xack(key, group, entry_id)


def in_batches(client: Any, key: str, group: str, consumer: str, handle: Any) -> None:
    """One XACK for all that a read gave."""
    for position in ("0", ">"):
        while entries := entries_of(client.xreadgroup(group, consumer, {key: position}, count=4)):
            for entry_id, fields in entries:
                handle(entry_id, fields)
            client.xack(key, group, *[entry_id for entry_id, _ in entries])


def tries_again(client: Any, key: str, group: str, consumer: str, handle: Any) -> None:
    """Catch the error, and try the same entry again."""

    def persist(entry_id: str, fields: dict[str, str]) -> None:
        try:
            handle(entry_id, fields)
        except Exception:
            persist(entry_id, fields)

    in_batches(client, key, group, consumer, persist)


def swallows(client: Any, key: str, group: str, consumer: str, handle: Any, *, done: bool) -> None:
    """Go on after a failure; `done`: as if it had not been one. Read on by the id, as nothing may be acked."""
    last_id = "0"
    while True:
        entries = entries_of(client.xreadgroup(group, consumer, {key: last_id}))
        if not entries and last_id == ">":
            return
        for entry_id, fields in entries:
            try:
                handle(entry_id, fields)
            except Exception:
                if not done:
                    continue
            client.xack(key, group, entry_id)
        last_id = entries[-1][0] if entries and last_id != ">" else ">"


def by_pipeline(client: Any, key: str, group: str, consumer: str, handle: Any) -> None:
    """Acknowledgements in a pipeline."""
    for position in ("0", ">"):
        while entries := entries_of(client.xreadgroup(group, consumer, {key: position}, count=3)):
            pipe = client.pipeline()
            for entry_id, fields in entries:
                handle(entry_id, fields)
                pipe.xack(key, group, entry_id)
            pipe.execute()


def translates(client: Any, key: str, group: str, consumer: str, handle: Any) -> None:
    """End by an error of its own when the handler fails."""
    try:
        work(client, key, group, consumer, handle)
    except Exception as error:
        raise SystemExit(f"cannot go on: {error}") from error


def variant(function: Callable[..., None] = work, **settings: Any) -> Callable[..., None]:
    return lambda *args: function(*args, **settings)


@pytest.mark.parametrize(
    "answer",
    [
        variant(count=1),
        variant(count=3),
        variant(count=100),
        variant(block=10),
        variant(swallows, done=False),
        in_batches,
        tries_again,
        by_pipeline,
        translates,
    ],
)
def test_worker(answer: object) -> None:
    assert checks.worker(answer)


def take_all(client: Any, key: str, group: str, consumer: str, handle: Any) -> None:
    work(client, key, group, consumer, handle)
    client.xack(key, group, *[entry_id for entry_id, _ in client.xrange(key)])


def batch_before_work(client: Any, key: str, group: str, consumer: str, handle: Any) -> None:
    for position in ("0", ">"):
        while entries := entries_of(client.xreadgroup(group, consumer, {key: position})):
            pipe = client.pipeline()
            pipe.xack(key, group, *[entry_id for entry_id, _ in entries])
            pipe.execute()
            for entry_id, fields in entries:
                handle(entry_id, fields)


def all_the_batch(client: Any, key: str, group: str, consumer: str, handle: Any) -> None:
    """Acknowledge the whole batch, and with it what has failed."""
    for position in ("0", ">"):
        while entries := entries_of(client.xreadgroup(group, consumer, {key: position})):
            for entry_id, fields in entries:
                with contextlib.suppress(Exception):
                    handle(entry_id, fields)
            client.xack(key, group, *[entry_id for entry_id, _ in entries])


def catches_everything(client: Any, key: str, group: str, consumer: str, handle: Any) -> None:
    """Swallow also what is to end it."""
    while True:
        try:
            client.xreadgroup(group, consumer, {key: "0"}, count=1)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        (variant(early=True), "before handle had returned", "XACK after the work"),
        (batch_before_work, "before handle had returned", "XACK after the work"),
        (variant(noack=True, positions=(">",)), "not pending for the consumer", "NOACK"),
        (variant(positions=(">",)), "was due", "XREADGROUP with 0"),
        (variant(positions=("0",)), "is missing", "go on with >"),
        (variant(ack=False), "handled twice", "XACK it when it is done"),
        (variant(ack=False, positions=(">",)), "was due", "XREADGROUP with 0"),
        (variant(block=0), "waits for ever", "end"),
        (variant(swallows, done=True), "acknowledged all the same", "leave it pending"),
        (all_the_batch, "acknowledged all the same", "leave it pending"),
        (take_all, "which is pending for bob", "bob's work"),
        (catches_everything, "still asking", "XREADGROUP with 0 gives again"),
        (lambda *_: None, "sent no command", "XREADGROUP"),
        (lambda client, *_: client.xlen("orders"), "is missing", "call handle"),
    ],
)
def test_worker_missed(answer: object, words: str, hint: str) -> None:
    verdict = checks.worker(answer)
    assert not verdict
    assert words in verdict.words
    assert hint in verdict.hint
