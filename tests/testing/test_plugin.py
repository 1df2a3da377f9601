"""The pytest plugin: what it offers, and that whoever does not ask for it does not notice it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .projects import run_pytest

MARKED = """
import pytest

async def bill(client, stream, group, consumer, handler):
    while True:
        for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, count=1, block=100):
            await client.xack(stream, group, entries[0][0])
            await handler(*entries[0])

@pytest.mark.streams(schedules=4, faults="kill", entries=40)
def test_bill(streams):
    streams.assert_survives(bill)
"""


def test_a_marked_test_is_given_a_schedule_each(tmp_path: Path) -> None:
    """Each is a test of its own, named by its seed; those that fail tell how to run them alone."""
    outcome = run_pytest(tmp_path, {"test_bill.py": MARKED}, "-q", "-rA")
    for seed in range(1, 5):
        assert f" test_bill.py::test_bill[seed-{seed}]" in outcome.said
    assert "bill, with seed 1: " in outcome.said
    assert 'pytest "test_bill.py::test_bill[seed-1]" --streams-seed 1' in outcome.said
    alone = run_pytest(tmp_path, {}, "-q", "test_bill.py::test_bill[seed-1]", "--streams-seed", "1")
    assert (alone.status, "1 failed" in alone.said) == (1, True)


def test_a_seed_and_a_number_of_schedules_can_be_asked_for(tmp_path: Path) -> None:
    """For all the tests of a run: that schedule only, or so many."""
    text = MARKED + "\ndef test_all():\n    from streamlab.testing import assert_survives\n    assert_survives(bill)\n"
    outcome = run_pytest(tmp_path, {"test_bill.py": text}, "-q", "--streams-seed", "7")
    assert "test_bill[seed-7]" in outcome.said
    assert "bill, with seed 7: " in outcome.said
    assert "2 failed" in outcome.said
    outcome = run_pytest(tmp_path, {}, "-q", "--co", "--streams-schedules", "9", "-k", "test_bill")
    assert "test_bill[seed-9]" in outcome.said
    assert "test_bill[seed-10]" not in outcome.said


ELSEWHERE = """
from unittest.mock import patch
from streamlab.testing import assert_survives, surviving

async def bill(client, stream, group, consumer, handler):
    pass

def test_all():
    with patch.object(surviving, "first_failure", return_value=None) as asked:
        assert_survives(bill, jobs=1)
    assert asked.call_args.kwargs == {"jobs": 3, "dask": "tcp://there:8786"}
"""


def test_processes_and_a_cluster_can_be_asked_for(tmp_path: Path) -> None:
    """For all the tests of a run, whatever they say."""
    options = ["--streams-jobs", "3", "--streams-dask", "tcp://there:8786"]
    outcome = run_pytest(tmp_path, {"test_bill.py": ELSEWHERE}, "-q", *options)
    assert (outcome.status, "1 passed" in outcome.said) == (0, True), outcome.said


SERVERS = """
import asyncio, pytest
import redis, redis.asyncio

def test_in_virtual_time(simulated_redis):
    async def an_hour():
        client = simulated_redis.client()
        await client.set("lock", "mine", nx=True, ex=1800)
        await asyncio.sleep(3600)
        return await client.get("lock")
    assert simulated_redis.run(an_hour()) is None
    assert simulated_redis.now >= 3600

async def test_as_a_coroutine(simulated_redis):
    with simulated_redis.in_place():
        client = redis.asyncio.Redis()
        await client.xadd("orders", {"n": 1})
        assert await client.xreadgroup.__self__.xlen("orders") == 1
        await asyncio.sleep(3600)
        assert await client.xrange("orders", count=1) == await client.xrange("orders")
        assert (await client.xrange("orders"))[0][1] == {b"n": b"1"}

def test_embedded(embedded_redis):
    assert embedded_redis.client().xadd("orders", {"n": 1})
    with redis.Redis.from_url(embedded_redis.url) as other:
        assert other.xlen("orders") == 1
"""

OF_ANOTHER = """
import pytest

@pytest.mark.anyio
async def test_in_real_time(simulated_redis):
    raise AssertionError("it was run")
"""


def test_an_async_test_that_another_plugin_runs_is_refused(tmp_path: Path) -> None:
    """It would wait for an hour in real time."""
    ini = "[pytest]\nmarkers = anyio: of another plugin\n"
    outcome = run_pytest(tmp_path, {"test_other.py": OF_ANOTHER, "pytest.ini": ini}, "-q")
    assert (outcome.status, "1 error" in outcome.said) == (1, True), outcome.said
    assert "make it an ordinary one that calls simulated_redis.run(" in outcome.said


REAL = """
import redis

def test_real(private_redis):
    with redis.Redis.from_url(private_redis.url) as client:
        assert client.info("server")["redis_version"]
        assert client.dbsize() == 0
"""


def test_servers_are_there_for_the_asking(tmp_path: Path) -> None:
    outcome = run_pytest(tmp_path, {"test_servers.py": SERVERS}, "-q")
    assert (outcome.status, "3 passed" in outcome.said) == (0, True), outcome.said


@pytest.mark.redis
def test_a_real_server_is_there_for_the_asking(tmp_path: Path) -> None:
    outcome = run_pytest(tmp_path, {"test_real.py": REAL}, "-q")
    assert (outcome.status, "1 passed" in outcome.said) == (0, True), outcome.said


def test_without_a_server_program_the_test_steps_aside(tmp_path: Path) -> None:
    """And says what is missing."""
    outcome = run_pytest(tmp_path, {"test_real.py": REAL}, "-q", "-rs", PATH="/nowhere")
    assert (outcome.status, "1 skipped" in outcome.said) == (0, True), outcome.said
    assert "private_redis: no redis-server or valkey-server" in outcome.said


OURS = """
import pytest

@pytest.fixture
def streams():
    return "ours"

@pytest.mark.streams("of our own")
def test_ours(streams):
    assert streams == "ours"
"""
THEIR_INI = "[pytest]\nmarkers = streams(what): of our own\naddopts = --strict-markers --strict-config\n"


def test_a_project_s_own_names_are_its_own(tmp_path: Path) -> None:
    """Its fixture and its marker of the same names are not touched."""
    outcome = run_pytest(tmp_path, {"test_ours.py": OURS, "pytest.ini": THEIR_INI}, "-q")
    assert (outcome.status, "1 passed" in outcome.said) == (0, True), outcome.said


UNCONCERNED = """
import sys

def test_nothing_is_imported():
    ours = [name for name in sys.modules if name.split(".")[0] == "streamlab"]
    assert sorted(ours) == [
        "streamlab", "streamlab.actors", "streamlab.actors.on_demand", "streamlab.testing", "streamlab.testing.asked",
        "streamlab.testing.plugin", "streamlab.version",
    ]
    assert not {"redis", "fakeredis", "attrs", "numpy", "matplotlib", "asyncio"} & sys.modules.keys()
"""


def test_whoever_does_not_ask_for_it_does_not_notice_it(tmp_path: Path) -> None:
    """Nothing is imported for it but seven small modules."""
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p streamlab.testing.plugin"}
    outcome = run_pytest(tmp_path, {"test_unconcerned.py": UNCONCERNED}, "-q", **alone)
    assert (outcome.status, "1 passed" in outcome.said) == (0, True), outcome.said
