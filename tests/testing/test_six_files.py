"""Six test files of some ten lines, as anybody writes them: pytest finds the mistake in each, and says which it is."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from .projects import run_pytest

ACKS_FIRST = """
from streamlab.testing import assert_survives

async def bill(client, stream, group, consumer, handler):
    while True:
        for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, count=10, block=100):
            for entry_id, fields in entries:
                await client.xack(stream, group, entry_id)
                await handler(entry_id, fields)

def test_bill():
    assert_survives(bill, faults="kill")
"""

NO_HISTORY = """
from streamlab.testing import assert_survives

async def bill(client, stream, group, consumer, handler):
    while True:
        for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, count=10, block=100):
            for entry_id, fields in entries:
                await handler(entry_id, fields)
                await client.xack(stream, group, entry_id)

def test_bill():
    assert_survives(bill, faults="kill")
"""

EMPTY_PAGE = """
from streamlab.testing import assert_survives

async def bill(client, stream, group, consumer, handler):
    cursor, page = "0-0", []
    while True:
        cursor, page, _ = await client.xautoclaim(stream, group, consumer, 200, cursor if page else "0-0", count=10)
        new = await client.xreadgroup(group, consumer, {stream: ">"}, count=1, block=100)
        for entry_id, fields in page + (new[0][1] if new else []):
            await handler(entry_id, fields)
            await client.xack(stream, group, entry_id)

def test_bill():
    assert_survives(bill, faults="kill")
"""

AT_THE_END = """
from contextlib import suppress
from redis import ResponseError
from streamlab.testing import assert_survives

async def bill(client, stream, group, consumer, handler):
    while True:
        try:
            for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, count=1, block=100):
                await handler(*entries[0])
                await client.xack(stream, group, entries[0][0])
        except ResponseError:  # NOGROUP; and BUSYGROUP, where another was faster
            with suppress(ResponseError):
                await client.xgroup_create(stream, group, id="$")

def test_bill():
    assert_survives(bill, faults="group-destroyed at 0.26s")
"""

RANDOM_NAME = """
import uuid
from streamlab.testing import assert_survives

async def bill(client, stream, group, handler):
    me, start = f"worker-{uuid.uuid4()}", "0"
    while True:
        for _, entries in await client.xreadgroup(group, me, {stream: start}, count=10, block=100):
            start = entries[-1][0] if entries and start != ">" else ">"
            for entry_id, fields in entries:
                await handler(entry_id, fields)
                await client.xack(stream, group, entry_id)

def test_bill():
    assert_survives(bill, faults="kill")
"""

FORGETS_ITS_LOCK = """
from streamlab.testing import assert_survives

async def bill(client, stream, group, consumer, handler):
    start = "0"
    while True:
        async with client.lock("billing"):
            for _, entries in await client.xreadgroup(group, consumer, {stream: start}, count=1, block=10):
                start = entries[-1][0] if entries and start != ">" else ">"
                for entry_id, fields in entries:
                    await handler(entry_id, fields)
                    await client.xack(stream, group, entry_id)

def test_bill():
    assert_survives(bill, faults="kill")
"""

#: What each is told.
WRONG = {
    "acks before its effect": (ACKS_FIRST, "XACK after the effect"),
    "never reads its history": (NO_HISTORY, "read its own history"),
    "stops at an empty page": (EMPTY_PAGE, "a page may be empty before the list has ended"),
    "makes the group again at $": (AT_THE_END, "the group was made again at $"),
    "takes a random name": (RANDOM_NAME, "With a new name in each life"),
    "forgets its lock": (FORGETS_ITS_LOCK, "had taken the lock 'billing'"),
}


def slowness() -> float:
    """Return how many times as long as a quick processor this one takes for a plain loop now; 1 for a quicker one."""
    began = time.process_time()
    for _ in range(5_000_000):
        pass
    return max((time.process_time() - began) / 0.06, 1.0)


@pytest.mark.real_time("counts seconds of a processor")
@pytest.mark.parametrize("name", WRONG)
def test_each_mistake_is_found_with_the_right_hint(name: str, tmp_path: Path) -> None:
    """Within 5 s of a quick processor's time, pytest's own start included; and no other hint is given."""
    outcome = run_pytest(tmp_path, {"test_bill.py": WRONG[name][0]}, "-q")
    assert outcome.status == 1, outcome.said
    hints = re.findall(r"^E +Hint: (.*)", outcome.said, re.MULTILINE)
    assert len(hints) == 1, outcome.said
    assert [of for of, (_, words) in WRONG.items() if words in hints[0]] == [name]
    assert "To see it again:" in outcome.said
    assert 'pytest "test_bill.py::test_bill" --streams-seed ' in outcome.said
    assert outcome.seconds < 5 * slowness()


RIGHT = """
import asyncio
from contextlib import suppress
from redis import ConnectionError, ResponseError
from streamlab.testing import assert_survives

async def work(client, stream, group, handler, entries):
    for entry_id, fields in entries:
        try:
            if fields:
                await handler(entry_id, fields)
        except ConnectionError:
            raise
        except Exception:
            continue
        await client.xack(stream, group, entry_id)

async def bill(client, stream, group, consumer, handler):
    start, cursor = "0", "0-0"
    while True:
        try:
            cursor, left, _ = await client.xautoclaim(stream, group, consumer, 200, cursor, count=10)
            await work(client, stream, group, handler, left)
            for _, entries in await client.xreadgroup(group, consumer, {stream: start}, count=1, block=100):
                start = entries[-1][0] if start != ">" and entries else ">"
                await work(client, stream, group, handler, entries)
        except ConnectionError:
            start = "0"
            await asyncio.sleep(0.1)
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            with suppress(ConnectionError, ResponseError):
                await client.xgroup_create(stream, group, id="0", mkstream=True)

def test_bill():
    assert_survives(bill, schedules=300, entries=60)
"""


@pytest.mark.further("hundreds of schedules")
def test_a_right_consumer_survives_hundreds_of_schedules(tmp_path: Path) -> None:
    outcome = run_pytest(tmp_path, {"test_bill.py": RIGHT}, "-q")
    assert outcome.status == 0, outcome.said
    assert "1 passed" in outcome.said
