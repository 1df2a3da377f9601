"""Where fakeredis, as shipped, differs from a real server in what this course is about; the embedded server does not.

Each test runs on the embedded server, on a real one, and, as a strict expected failure, on fakeredis as it is: until
that has mended it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from importlib import metadata
from typing import Any

import pytest
import redis
from packaging.version import Version

from tests.conftest import Eventually
from tests.redis_targets import Client, Target, as_shipped, embedded, real

#: What fakeredis 2.41 has mended.
MENDED = {
    "test_a_read_with_count_blocks",
    "test_a_read_without_count_gives_what_is_there",
    "test_another_key_wakes_nobody",
    "test_count_0",
    "test_xack_with_a_bad_id",
}


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.redis), "fakeredis"])
def target(request: pytest.FixtureRequest) -> Target:
    if request.param == "real":
        return real(request.getfixturevalue("redis_url"))
    if request.param == "embedded":
        return embedded()
    if Version(metadata.version("fakeredis")) < Version("2.41") or request.function.__name__ not in MENDED:
        request.applymarker(pytest.mark.xfail(strict=True, reason="as shipped"))
    return as_shipped()


@pytest.fixture
def clients(target: Target) -> Iterator[Callable[[], Client]]:
    """Make clients that are closed at the end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(target.connect())


@pytest.fixture
def client(clients: Callable[[], Client]) -> Client:
    return clients()


def one_pending(client: Client) -> None:
    """Add entry 1-1, create a group and deliver the entry to c1."""
    client.xadd("s", {"f": "1"}, id="1-1")
    client.xgroup_create("s", "g", id="0")
    client.xreadgroup("g", "c1", {"s": ">"})


def in_background(call: Callable[[], Any]) -> Future[Any]:
    """Call in a thread, which nobody waits for at the end."""
    result: Future[Any] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result


def blocked_reader(target: Target, client: Client, eventually: Eventually, consumer: str = "c") -> Future[Any]:
    """Let a consumer of group g wait for an entry of s, for 2 s at the most."""
    before = target.n_blocked()
    reading = in_background(lambda: client.xreadgroup("g", consumer, {"s": ">"}, count=1, block=2000))
    eventually(lambda: target.n_blocked() == before + 1, f"{consumer} should be blocked")
    return reading


# ---- blocking ----------------------------------------------------------------------------------


def test_a_read_with_count_blocks(client: Client) -> None:
    """XREADGROUP COUNT 1 BLOCK 300 waits 300 ms on an empty stream; fakeredis returns at once."""
    client.xgroup_create("s", "g", mkstream=True)
    started = time.monotonic()
    assert client.xreadgroup("g", "c", {"s": ">"}, count=1, block=300) == []
    assert 0.29 < time.monotonic() - started < 2


def test_a_read_without_count_gives_what_is_there(client: Client) -> None:
    """XREADGROUP BLOCK 300 without COUNT returns the entries; fakeredis returns nothing, and they are pending."""
    client.xadd("s", {"f": "1"}, id="1-1")
    client.xgroup_create("s", "g", id="0")
    assert client.xreadgroup("g", "c", {"s": ">"}, block=300) == [["s", [("1-1", {"f": "1"})]]]
    assert client.xpending("s", "g")["pending"] == 1


def test_another_key_wakes_nobody(target: Target, clients: Callable[[], Client], eventually: Eventually) -> None:
    """A blocked reader stays blocked when another key is written; in fakeredis it wakes with nil."""
    client = clients()
    client.xgroup_create("s", "g", mkstream=True)
    client.xgroup_create("t", "g", mkstream=True)
    reading = blocked_reader(target, clients(), eventually)
    client.set("other", "1")
    client.xadd("t", {"f": "1"})
    with pytest.raises(TimeoutError):  # there is no event to wait for: that nothing comes is the point
        reading.result(0.2)
    client.xadd("s", {"f": "1"}, id="1-1")
    assert reading.result(1) == [["s", [("1-1", {"f": "1"})]]]


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("XGROUP DESTROY s g", "NOGROUP|consumer group"),
        ("DEL s", "UNBLOCKED|NOGROUP"),
        ("FLUSHALL", "UNBLOCKED|NOGROUP"),
        ("SET s text", "UNBLOCKED|WRONGTYPE"),
    ],
)
def test_what_it_waits_for_goes(
    target: Target, clients: Callable[[], Client], eventually: Eventually, command: str, error: str
) -> None:
    """A blocked reader is told when its group or its stream goes; in fakeredis it gets nil."""
    client = clients()
    client.xgroup_create("s", "g", mkstream=True)
    reading = blocked_reader(target, clients(), eventually)
    client.execute_command(*command.split())
    with pytest.raises(redis.ResponseError, match=error):
        reading.result(1)


def test_first_come_first_served(target: Target, clients: Callable[[], Client], eventually: Eventually) -> None:
    """Five blocked readers are given five entries in the order in which they came; fakeredis keeps no order."""
    client = clients()
    client.xgroup_create("s", "g", mkstream=True)
    for round_ in range(1, 5):  # by chance fakeredis may be right, but not again and again
        readings = [blocked_reader(target, clients(), eventually, consumer) for consumer in "abcde"]
        for n in range(1, 6):
            client.xadd("s", {"f": "1"}, id=f"{round_}-{n}")
        ids = [reading.result(1)[0][1][0][0] for reading in readings]
        assert ids == [f"{round_}-{n}" for n in range(1, 6)]


# ---- errors ------------------------------------------------------------------------------------


def test_a_missing_stream(client: Client) -> None:
    """XREADGROUP on a missing stream says NOGROUP; fakeredis leaves the code out."""
    with pytest.raises(redis.ResponseError, match=r"^NOGROUP No such key 's' or consumer group 'g'"):
        client.xreadgroup("g", "c", {"s": ">"})


def test_a_string(client: Client) -> None:
    """XREADGROUP on a string says WRONGTYPE; fakeredis has an AttributeError."""
    client.set("s", "text")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.xreadgroup("g", "c", {"s": ">"})


def test_count_0(client: Client) -> None:
    """COUNT 0 means everything; in fakeredis it means nothing."""
    client.xadd("s", {"f": "1"}, id="1-1")
    client.xgroup_create("s", "g", id="0")
    reply = client.execute_command("XREADGROUP", "GROUP", "g", "c", "COUNT", 0, "STREAMS", "s", ">")
    assert reply == [["s", [("1-1", {"f": "1"})]]]


def test_xack_with_a_bad_id(client: Client) -> None:
    """XACK of a good and a bad id is an error, and acknowledges nothing; fakeredis acknowledges the good one."""
    one_pending(client)
    with pytest.raises(redis.ResponseError, match="Invalid stream ID"):
        client.xack("s", "g", "1-1", "bad")
    assert client.xpending("s", "g")["pending"] == 1


# ---- pending entries ---------------------------------------------------------------------------


def test_autoclaim_removes_a_ghost(client: Client) -> None:
    """XAUTOCLAIM drops and lists a deleted entry, whatever its idle time; in fakeredis it stays pending."""
    one_pending(client)
    client.xdel("s", "1-1")
    assert client.xautoclaim("s", "g", "c2", min_idle_time=999999) == ["0-0", [], ["1-1"]]
    assert client.xpending("s", "g")["pending"] == 0


def test_claim_removes_a_ghost(client: Client) -> None:
    """XCLAIM drops a deleted entry, whatever its idle time; in fakeredis it stays pending."""
    one_pending(client)
    client.xdel("s", "1-1")
    assert client.xclaim("s", "g", "c2", min_idle_time=999999, message_ids=["1-1"]) == []
    assert client.xpending("s", "g")["pending"] == 0


def many_pending(client: Client, n: int) -> None:
    client.xgroup_create("s", "g", mkstream=True)
    with client.pipeline(transaction=False) as pipeline:
        for number in range(1, n + 1):
            pipeline.xadd("s", {"f": "1"}, id=f"1-{number}")
        pipeline.xreadgroup("g", "c1", {"s": ">"}, count=n)
        pipeline.execute()


def test_autoclaim_gives_the_cursor(client: Client) -> None:
    """XAUTOCLAIM's cursor is the next pending entry; that of fakeredis is the next one idle for long enough."""
    many_pending(client, 3)
    client.xclaim("s", "g", "c1", 0, ["1-1", "1-3"], idle=60_000)
    cursor, claimed, _ = client.xautoclaim("s", "g", "c2", 30_000, count=1)
    assert ([entry_id for entry_id, _ in claimed], cursor) == (["1-1"], "1-2")


def test_autoclaim_has_empty_pages(client: Client) -> None:
    """XAUTOCLAIM looks at ten entries for each one of COUNT: a page may be empty, with a cursor to go on."""
    many_pending(client, 25)
    client.xclaim("s", "g", "c1", 0, ["1-25"], idle=60_000)
    pages: list[Any] = []
    cursor = "0-0"
    while cursor != "0-0" or not pages:
        cursor, found, _ = client.xautoclaim("s", "g", "c2", 30_000, start_id=cursor, count=1)
        pages.append([entry_id for entry_id, _ in found])
    assert pages == [[], [], ["1-25"]]


@pytest.mark.parametrize("count", [0, -1])
def test_autoclaim_refuses_no_count(client: Client, count: int) -> None:
    """XAUTOCLAIM COUNT must be positive; fakeredis fails with an IndexError, or takes it."""
    one_pending(client)
    with pytest.raises(redis.ResponseError, match="COUNT must be > 0"):
        client.execute_command("XAUTOCLAIM", "s", "g", "c2", 0, "0", "COUNT", count)


def test_autoclaim_from_behind_an_id(client: Client) -> None:
    """XAUTOCLAIM begins behind an id that is written with a bracket."""
    many_pending(client, 3)
    reply = client.execute_command("XAUTOCLAIM", "s", "g", "c2", 0, "(1-1")
    assert [entry_id for entry_id, _ in reply[1]] == ["1-2", "1-3"]


def test_history_resets_the_idle_time(client: Client) -> None:
    """Reading one's history makes an entry as good as just delivered; in fakeredis it stays as idle as it was."""
    one_pending(client)
    client.xclaim("s", "g", "c1", 0, ["1-1"], idle=60_000, justid=True)
    client.xreadgroup("g", "c1", {"s": "0"})
    (pending,) = client.xpending_range("s", "g", "-", "+", 10)
    assert pending["time_since_delivered"] < 30_000
    assert pending["times_delivered"] == 2


def test_history_does_not_count_a_ghost(client: Client) -> None:
    """Reading one's history raises the delivery count, but not that of a deleted entry; in fakeredis also that."""
    one_pending(client)
    client.xdel("s", "1-1")
    assert client.xreadgroup("g", "c1", {"s": "0"}) == [["s", [("1-1", {})]]]
    (pending,) = client.xpending_range("s", "g", "-", "+", 10)
    assert pending["times_delivered"] == 1


def test_pending_with_idle_0(client: Client) -> None:
    """XPENDING IDLE 0 lists all that is pending; fakeredis leaves out what was delivered this millisecond."""
    one_pending(client)
    with client.pipeline(transaction=False) as pipeline:
        for _ in range(50):  # some of them within a millisecond
            pipeline.xclaim("s", "g", "c1", 0, ["1-1"])
            pipeline.xpending_range("s", "g", "-", "+", 10, idle=0)
        listed = pipeline.execute()[1::2]
    assert [len(each) for each in listed] == [1] * 50


def test_claim_gives_the_order_asked_for(client: Client) -> None:
    """XCLAIM returns entries in the order of the ids it was given; fakeredis sorts them."""
    many_pending(client, 3)
    claimed = client.xclaim("s", "g", "c2", 0, ["1-3", "1-1", "1-2"], justid=True)
    assert claimed == ["1-3", "1-1", "1-2"]


def test_claim_moves_the_last_id(client: Client) -> None:
    """XCLAIM LASTID moves what the group was given last; fakeredis ignores it."""
    one_pending(client)
    client.execute_command("XCLAIM", "s", "g", "c2", 0, "1-1", "LASTID", "7-0")
    assert client.xinfo_groups("s")[0]["last-delivered-id"] == "7-0"


@pytest.mark.parametrize("target", ["embedded", pytest.param("real", marks=pytest.mark.redis)], indirect=True)
def test_claim_with_force_takes_from_the_owner(client: Client) -> None:
    """XCLAIM FORCE of a pending entry takes it from its owner (by 2.40, fakeredis has that right)."""
    one_pending(client)
    client.xclaim("s", "g", "c2", 0, ["1-1"], force=True)
    counts = {each["name"]: each["pending"] for each in client.xinfo_consumers("s", "g")}
    assert counts == {"c1": 0, "c2": 1}


def test_names_are_sorted(client: Client) -> None:
    """XPENDING and XINFO sort consumers and groups by name; fakeredis gives them as they came."""
    client.xgroup_create("s", "z", mkstream=True)
    client.xgroup_create("s", "g")
    for consumer in "cab":
        client.xadd("s", {"f": "1"})
        client.xreadgroup("g", consumer, {"s": ">"}, count=1)
    assert [each["name"] for each in client.xpending("s", "g")["consumers"]] == ["a", "b", "c"]
    assert [each["name"] for each in client.xinfo_consumers("s", "g")] == ["a", "b", "c"]
    assert [each["name"] for each in client.xinfo_groups("s")] == ["g", "z"]
