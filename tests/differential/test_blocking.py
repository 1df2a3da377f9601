"""Blocked readers: who is woken, by what, and with which reply; on the server as in the model.

Every step is done on both sides, and `Pair` compares all replies. The tests say what they are.
"""

from __future__ import annotations

import re
import time

import pytest

from streamlab.model.commands import CommandError, StreamCommands, Waiter

from .compare import Pair, Step
from .wire import Answer

pytestmark = pytest.mark.redis

GROUP_READ = "XREADGROUP GROUP g {} BLOCK 0 STREAMS s >"
NO_GROUP = "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option"


def do(pair: Pair, *lines: str) -> None:
    """Execute commands on the main connection; several in a line, with ``;``, are a transaction."""
    for line in lines:
        pair.do(Step(tuple(tuple(part.split()) for part in line.split(";"))))


def block(pair: Pair, reader: int, line: str) -> None:
    """Execute a command on the connection of a reader."""
    pair.do(Step((tuple(line.split()),), reader))


def entry(entry_id: str, key: str = "s") -> Answer:
    """Return the reply that gives one entry, of field ``f`` and value ``1``."""
    return [[key, [[entry_id, ["f", "1"]]]]]


def error_of(pair: Pair, reader: int) -> str:
    answer = pair.woken[reader]
    assert isinstance(answer, CommandError)
    return str(answer)


def group_with_readers(pair: Pair, n: int) -> None:
    do(pair, "XGROUP CREATE s g 0 MKSTREAM")
    for reader in range(n):
        block(pair, reader, GROUP_READ.format(f"c{reader}"))


def test_first_come_first_served(pair: Pair) -> None:
    """Readers that wait are served in the order in which they began to wait."""
    group_with_readers(pair, 3)
    do(pair, "XADD s 1-1 f 1", "XADD s 1-2 f 1", "XADD s 1-3 f 1")
    assert pair.woken == {0: entry("1-1"), 1: entry("1-2"), 2: entry("1-3")}


def test_who_waits_again_waits_behind_the_others(pair: Pair) -> None:
    """A reader that was served and waits again is served after those who have waited on."""
    group_with_readers(pair, 2)
    do(pair, "XADD s 1-1 f 1")
    block(pair, 0, GROUP_READ.format("c0"))
    do(pair, "XADD s 1-2 f 1", "XADD s 1-3 f 1")
    assert pair.woken == {1: entry("1-2"), 0: entry("1-3")}


def test_another_key_wakes_nobody(pair: Pair) -> None:
    """A reader is woken by its own key only."""
    group_with_readers(pair, 1)
    do(pair, "XADD other 1-1 f 1")
    assert pair.woken == {}


def test_any_of_several_keys_wakes(pair: Pair) -> None:
    """A reader of several keys is woken by the first that has something, and is given that."""
    do(pair, "XGROUP CREATE s g 0 MKSTREAM", "XGROUP CREATE t g 0 MKSTREAM")
    block(pair, 0, "XREADGROUP GROUP g c BLOCK 0 STREAMS s t > >")
    do(pair, "XADD t 1-1 f 1")
    assert pair.woken == {0: entry("1-1", "t")}


def test_who_was_woken_by_one_key_waits_for_none(pair: Pair) -> None:
    """A reader of several keys takes nothing more once it was served."""
    do(pair, "XGROUP CREATE s g 0 MKSTREAM", "XGROUP CREATE t g 0 MKSTREAM")
    block(pair, 0, "XREADGROUP GROUP g c0 BLOCK 0 STREAMS s t > >")
    block(pair, 1, "XREADGROUP GROUP g c1 BLOCK 0 STREAMS s t > >")
    do(pair, "XADD t 1-1 f 1", "XADD s 1-1 f 1")
    assert pair.woken == {0: entry("1-1", "t"), 1: entry("1-1", "s")}


def test_xread_wakes_all_xreadgroup_one(pair: Pair) -> None:
    """An entry goes to every XREAD that waits, but to one consumer of a group."""
    group_with_readers(pair, 2)
    block(pair, 2, "XREAD BLOCK 0 STREAMS s $")
    do(pair, "XADD s 1-1 f 1")
    assert pair.woken == {0: entry("1-1"), 2: entry("1-1")}


def test_every_group_is_given_the_entry(pair: Pair) -> None:
    """Each group with a reader that waits is given the entry."""
    group_with_readers(pair, 1)
    do(pair, "XGROUP CREATE s h 0")
    block(pair, 1, "XREADGROUP GROUP h c BLOCK 0 STREAMS s >")
    do(pair, "XADD s 1-1 f 1")
    assert pair.woken == {0: entry("1-1"), 1: entry("1-1")}


def test_count_limits_what_a_woken_reader_is_given(pair: Pair) -> None:
    """COUNT holds for a reader that waited: the next one is given the rest."""
    do(pair, "XGROUP CREATE s g 0 MKSTREAM")
    block(pair, 0, "XREADGROUP GROUP g c0 COUNT 1 BLOCK 0 STREAMS s >")
    block(pair, 1, "XREADGROUP GROUP g c1 COUNT 5 BLOCK 0 STREAMS s >")
    do(pair, "XADD s 1-1 f 1 ; XADD s 1-2 f 1")
    assert pair.woken == {0: entry("1-1"), 1: entry("1-2")}


def test_transaction_wakes_at_its_end(pair: Pair) -> None:
    """Readers are served when a transaction is over, so they see nothing that it took back."""
    do(pair, "XGROUP CREATE s g $ MKSTREAM")
    block(pair, 0, "XREAD BLOCK 0 STREAMS s 0")
    do(pair, "XADD s 1-1 f 1 ; DEL s")
    assert pair.woken == {}


def test_entry_added_and_deleted_in_a_transaction(pair: Pair) -> None:
    """Before 7.2 a reader is woken with nothing; from 7.2 on it goes on waiting."""
    group_with_readers(pair, 1)
    do(pair, "XADD s 1-1 f 1 ; XDEL s 1-1")
    is_old = pair.server.as_redis < (7, 2, 0)
    assert pair.woken == ({0: [["s", []]]} if is_old else {})


def test_history_does_not_wait(pair: Pair) -> None:
    """An id other than ``>`` gives the consumer's history, at once, whatever BLOCK says."""
    do(pair, "XGROUP CREATE s g 0 MKSTREAM")
    block(pair, 0, "XREADGROUP GROUP g c BLOCK 0 STREAMS s 0")
    assert pair.waiters[0] is None


def test_backlog_does_not_wait(pair: Pair) -> None:
    """A read that finds something returns it at once."""
    do(pair, "XGROUP CREATE s g 0 MKSTREAM", "XADD s 1-1 f 1")
    block(pair, 0, GROUP_READ.format("c"))
    assert pair.waiters[0] is None


def test_inside_multi_nothing_blocks(pair: Pair) -> None:
    """In a transaction, BLOCK is ignored."""
    do(pair, "XGROUP CREATE s g 0 MKSTREAM", "PING ; XREADGROUP GROUP g c BLOCK 0 STREAMS s >")
    assert pair.waiters == [None] * len(pair.waiters)


@pytest.mark.parametrize("command", ["DEL s", "UNLINK s", "FLUSHALL"])
def test_stream_goes(pair: Pair, command: str) -> None:
    """When the stream goes, XREADGROUP ends with UNBLOCKED, or from 7.2 on with NOGROUP."""
    group_with_readers(pair, 1)
    do(pair, command)
    is_old = pair.server.as_redis < (7, 2, 0)
    assert error_of(pair, 0) == ("UNBLOCKED the stream key no longer exists" if is_old else NO_GROUP)


def test_stream_is_overwritten(pair: Pair) -> None:
    """When another value takes the stream's place, XREADGROUP ends, from 7.2 on with WRONGTYPE."""
    group_with_readers(pair, 1)
    do(pair, "SET s text")
    is_old = pair.server.as_redis < (7, 2, 0)
    assert error_of(pair, 0).split()[0] == ("UNBLOCKED" if is_old else "WRONGTYPE")


def test_group_goes(pair: Pair) -> None:
    """When its group goes, XREADGROUP ends with NOGROUP; the text differs before 7.2."""
    group_with_readers(pair, 2)
    do(pair, "XGROUP DESTROY s g")
    gone = "NOGROUP the consumer group this client was blocked on no longer exists"
    expected = gone if pair.server.as_redis < (7, 2, 0) else NO_GROUP
    assert [error_of(pair, 0), error_of(pair, 1)] == [expected, expected]


@pytest.mark.parametrize("command", ["DEL s", "FLUSHALL", "SET s text"])
def test_xread_waits_for_the_stream_to_come_back(pair: Pair, command: str) -> None:
    """XREAD goes on waiting when its stream goes."""
    do(pair, "XADD s 1-1 f 1")
    block(pair, 0, "XREAD BLOCK 0 STREAMS s $")
    do(pair, command, "DEL s", "XADD s 2-1 f 1")
    assert pair.woken == {0: entry("2-1")}


def test_a_new_group_of_the_same_name(pair: Pair) -> None:
    """A reader does not survive its group, even if one of the same name follows it."""
    group_with_readers(pair, 1)
    do(pair, "XGROUP DESTROY s g", "XGROUP CREATE s g 0", "XADD s 1-1 f 1")
    assert error_of(pair, 0).startswith("NOGROUP")


def test_time_is_up(model_pair: Pair) -> None:
    """BLOCK ends with nil; who holds the waiter of the model tells it so, and it is served no more."""
    do(model_pair, "XGROUP CREATE s g 0 MKSTREAM")
    command = ["XREADGROUP", "GROUP", "g", "c", "BLOCK", "20", "STREAMS", "s", ">"]
    reply = model_pair.readers[0].ask(*command)
    waiter = model_pair.model.execute(command, 0)
    assert isinstance(waiter, Waiter)
    model_pair.model.cancel(waiter)
    assert (reply, waiter.timeout_ms, model_pair.model.is_blocked(waiter)) == (None, 20, False)


def test_claim_wakes_when_an_entry_is_old_enough(model_pair: Pair) -> None:
    """XREADGROUP CLAIM that waits claims an entry as soon as it has been idle for long enough."""
    if model_pair.server.as_redis < (8, 4, 0):
        pytest.skip("XREADGROUP CLAIM came with Redis 8.4")
    do(model_pair, "XGROUP CREATE s g 0 MKSTREAM", "XADD s 1-1 f 1", "XREADGROUP GROUP g a STREAMS s >")
    started = time.monotonic()
    command = ["XREADGROUP", "GROUP", "g", "b", "BLOCK", "0", "CLAIM", "100", "STREAMS", "s", ">"]
    reply = model_pair.readers[0].ask(*command)
    waited = time.monotonic() - started

    model = StreamCommands(version=model_pair.server.as_redis)
    for line in ("XGROUP CREATE s g 0 MKSTREAM", "XADD s 1-1 f 1", "XREADGROUP GROUP g a STREAMS s >"):
        model.execute(line.split(), 1000)
    answers: list[object] = []
    waiter = model.execute(command, 1040)
    assert isinstance(waiter, Waiter)
    waiter.on_ready = answers.append
    assert waiter.retry_at_ms == 1100
    model.retry(waiter, 1100)

    assert answers == [[["s", [["1-1", ["f", "1"], 100, 1]]]]]
    found = re.fullmatch(r"\[\['s', \[\['1-1', \['f', '1'\], (\d+), 1\]\]\]\]", str(reply))
    assert found is not None, reply
    assert 100 <= int(found[1]) < 5000  # the server looks now and then, on a busy machine later
    assert 0.05 < waited < 5
