"""`assert_survives`: how a consumer is called and gets its client, and what is said of one that fails."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import random
import re
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import redis.asyncio

from streamlab import Panel
from streamlab.checks import grading
from streamlab.lab import how_far
from streamlab.testing import ConsumerFailed, assert_survives, replay, replay_lab, trying
from streamlab.testing.trying import Trial
from tests.checks.own_consumers import MISTAKES, RIGHT, consumer_of, no_claim
from tests.testing import shop

CONSUME = consumer_of()
#: Fails where another program holds many entries: at the fourth seed.
CARELESS = MISTAKES["until an empty page"].consumer
FEW: dict[str, Any] = {"faults": "crash-before-effect", "entries": 60}
#: How many trials are made to find the smallest schedule that fails, where nothing else is said.
USUAL_EFFORT = trying._EFFORT


@pytest.fixture(autouse=True)
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make no failure as small as it gets, where that is not what is tried: it takes a second or two each time."""
    monkeypatch.setattr(trying, "_EFFORT", 5)


def failure(consumer: Any, **options: Any) -> ConsumerFailed:
    """Return what is said of a consumer that does not survive."""
    with pytest.raises(ConsumerFailed) as caught:
        assert_survives(consumer, **options)
    return caught.value


# ---- how it is called, and gets its client -----------------------------------------------------------


async def by_name(consumer: str, handler: Any, group: str, client: Any, stream: str, stop: Any) -> None:
    await CONSUME(client, stream, group, consumer, handler, stop)


async def by_other_names(r: Any, key: str, group_name: str, *, name: str, process: Any, stopping: Any) -> None:
    await CONSUME(r, key, group_name, name, process, stopping)


async def in_six_places(a: Any, b: str, c: str, d: str, e: Any, f: Any) -> None:
    await CONSUME(a, b, c, d, e, f)


async def with_a_factory(
    get_client: Callable[[], Any], consumer: str, handler: Any, stop: Any, group: str = "", count: int = 1
) -> None:
    await CONSUME(get_client(), "orders", group, consumer, handler, stop)


class Service:
    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name

    async def run(self, handler: Any, stop: Any) -> None:
        await CONSUME(self.client, "orders", "workers", self.name, handler, stop)


async def with_its_own_client(stream: str, group: str, consumer: str, handler: Any, stop: Any) -> None:
    client = redis.asyncio.from_url("redis://nowhere.invalid:1", decode_responses=True, retry=None)
    await CONSUME(client, stream, group, consumer, handler, stop)


async def for_ever(client: Any, stream: str, group: str, consumer: str, handler: Any) -> None:
    await CONSUME(client, stream, group, consumer, handler, asyncio.Event())


@pytest.mark.parametrize(
    "consumer",
    [
        by_name, by_other_names, in_six_places, with_a_factory, RIGHT["an object"], RIGHT["wrapped"], for_ever,
        lambda client, consumer, handler, stop: Service(client, consumer).run(handler, stop),
        functools.partial(by_name, stream="orders"),
    ],
)  # fmt: skip
def test_a_consumer_is_called_as_it_wants(consumer: Any) -> None:
    """By name, by place, with a factory, as an object; with or without `stop`."""
    assert_survives(consumer, schedules=10)


def test_one_that_does_not_ask_for_stop_finishes_what_it_is_at() -> None:
    """It is ended before its next entry, at the end of the run and when it is started again."""
    assert_survives(for_ever, faults="restart", schedules=30)

    async def never_claims(client: Any, stream: str, group: str, consumer: str, handler: Any) -> None:
        await consumer_of(claim=no_claim)(client, stream, group, consumer, handler, asyncio.Event())

    assert "nothing starts it again" in failure(never_claims, faults=["restart", "kill"]).hint


def test_a_client_of_its_own_reaches_the_simulation() -> None:
    """Also one of bytes that was made at import, with retries of redis-py's own; and its pipelines."""
    assert_survives(with_its_own_client, schedules=10)
    entries = [{"order": 1000 + n, "total": n % 7} for n in range(200)]
    options: dict[str, Any] = {"handler": shop.charge, "stream": "shop", "group": "billing", "entries": entries}
    assert_survives(shop.bill, schedules=10, **options)
    found = failure(shop.bill_hastily, faults="kill", **options)
    assert "acknowledged before it was processed" in str(found)
    assert found.hint.startswith("XACK after the effect")


def test_outside_a_trial_clients_are_as_they_were() -> None:
    """Nothing is left replaced: neither redis-py's methods, nor the function that does the work, nor chance."""
    before = [vars(redis.asyncio.Redis)[name] for name in ("execute_command", "pipeline", "pubsub")]
    before += [vars(redis.Redis)["execute_command"], shop.charge, random.getstate()]
    failure(shop.bill_hastily, handler="tests.testing.shop.charge", stream="shop", group="billing", faults="kill")
    after = [vars(redis.asyncio.Redis)[name] for name in ("execute_command", "pipeline", "pubsub")]
    after += [vars(redis.Redis)["execute_command"], shop.charge, random.getstate()]
    assert after == before


async def nameless(client: Any, handler: Any, tenant: str) -> None:
    """Ask for what nobody knows."""


async def without_work(client: Any, stream: str, group: str, consumer: str) -> None:
    """Do nothing that could be seen."""


def in_order(client: Any, handler: Any) -> None:
    """Be no coroutine."""


async def hands_out(client: Any, handler: Any) -> Any:
    yield client


def work_in_order(order: int) -> None:
    """Be no coroutine."""


@pytest.mark.parametrize(
    ("consumer", "options", "words"),
    [
        (nameless, {}, "has a parameter tenant that cannot be filled: known are client, connect, stream"),
        (without_work, {}, "nothing tells when without_work has done an entry: give it a parameter handler"),
        (hands_out, {}, "hands_out has a yield in it"),
        (Service, {}, "Service is a class"),
        (7, {}, "7 is no async function"),
        (by_name, {"handler": "shop.nothing"}, "handler: there is no 'shop.nothing'"),
        (by_name, {"handler": work_in_order}, "handler: work_in_order is no async function"),
        (by_name, {"handler": 7}, "handler: 7 is no function"),
        (by_name, {"entries": 0}, "entries is 0: give how many"),
        (by_name, {"entries": [1, 2]}, "entries: give a number, a list of dicts"),
        (by_name, {"schedules": 0}, "schedules is 0"),
        (by_name, {"faults": "kil"}, "faults: there is no kind 'kil': known are kill"),
        (by_name, {"faults": "failover"}, "faults: there is no kind 'failover': known are kill"),  # no replica
        (by_name, {"faults": []}, "faults is empty"),
        (by_name, {"faults": ["kill", "kill C1 at 1s"]}, "not both"),
        (by_name, {"faults": "kill C9 at 1s"}, "C9"),
        (by_name, {"version": "seven"}, "redis_version"),
    ],
)  # fmt: skip
def test_what_cannot_be_tried_is_refused_in_words(consumer: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(words)):
        assert_survives(consumer, **options)


def test_a_coroutine_is_no_function() -> None:
    with pytest.raises(TypeError, match="without brackets"):
        assert_survives(without_work(1, "", "", ""))


# ---- what is said ------------------------------------------------------------------------------------


async def made_again(client: Any, stream: str, group: str, handler: Any) -> None:
    await client.xgroup_create(stream, group, id="0", mkstream=True)


async def elsewhere(client: Any, consumer: str, handler: Any) -> None:
    await client.xreadgroup("billing", consumer, {"shop": ">"})


async def asks_for_settings(client: Any, handler: Any) -> None:
    await client.config_get()


async def never_waits(client: Any, stream: str, group: str, consumer: str, handler: Any) -> None:
    while True:
        await client.xreadgroup(group, consumer, {stream: ">"})


async def stumbles(client: Any, stream: str, group: str, consumer: str, handler: Any) -> None:
    raise ArithmeticError("of its own")


async def by_one_name(client: Any, stream: str, group: str, handler: Any, stop: Any) -> None:
    await consumer_of(claim=no_claim)(client, stream, group, "worker", handler, stop)


async def locks_for_long(client: Any, stream: str, group: str, consumer: str, handler: Any) -> None:
    while True:
        async with client.lock("billing", timeout=60):
            for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, 1, 10):
                await handler(*entries[0])
                await client.xack(stream, group, entries[0][0])


async def stops_the_loop(stream: str, group: str, consumer: str, handler: Any) -> None:
    redis.Redis().xreadgroup(group, consumer, {stream: ">"})


async def reads_on(stream: str, group: str, consumer: str, handler: Any) -> None:
    """By a client that sends again what was lost, without a word: what the lost reply brought stays pending."""
    client: Any = redis.asyncio.Redis(decode_responses=True)
    start = "0"
    while True:
        for _, entries in await client.xreadgroup(group, consumer, {stream: start}, count=1, block=100):
            start = entries[-1][0] if entries and start != ">" else ">"
            for entry_id, fields in entries:
                await handler(entry_id, fields)
                await client.xack(stream, group, entry_id)


HINTS = {
    made_again: "BUSYGROUP is no error",
    elsewhere: "assert_survives(…, stream='shop', group='billing')",
    asks_for_settings: "CONFIG: the simulated server does not have it",
    never_waits: "XREADGROUP without BLOCK returns at once",
    stumbles: "an error that a consumer lets pass ends it",
    by_one_name: "consumers read by one name, worker",
    locks_for_long: "and it expires only in ",
    in_order: "it has to be a coroutine",
    reads_on: "lost its connection while a reply was on its way",
    stops_the_loop: "there are no sockets, threads",
}


@pytest.mark.parametrize("consumer", HINTS)
def test_each_is_told_what_happened_and_nothing_else(consumer: Any) -> None:
    found = failure(consumer, faults="lost-reply" if consumer is reads_on else "kill")
    assert [of for of, words in HINTS.items() if words in found.hint] == [consumer]


def test_an_error_of_ones_own_is_shown_as_the_cause() -> None:
    """With its traceback, as pytest shows a cause."""
    found = failure(stumbles)
    assert repr(found.__cause__) == "ArithmeticError('of its own')"
    assert "in the line 'raise ArithmeticError" in found.words


def test_a_failure_tells_the_smallest_schedule_the_story_and_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setattr(trying, "_EFFORT", USUAL_EFFORT)
    found = failure(consumer_of(claim=no_claim), faults=["kill", "pause"], seed=2)
    assert str(found).splitlines() == [
        "my_consumer, with seed 4: entry 1767225600050-6 is still pending for C1 at the end.",
        f"  Hint: {found.hint}",
        "",
        "What goes wrong in this schedule (as small as it gets: 1 of 3 faults, 9 of 200 entries, 2 of 4 consumers):",
        "  - at 0.080 s C1 is killed (SIGKILL)",
        "What happened to the entry:",
        "     0.050 s  P1: added it",
        "     0.074 s  C1: was given it (delivery 1)",
        "     0.080 s  C1: died",
        "  at the end  it is pending for C1",
        "To see it again:",
        "  assert_survives(my_consumer, seed=4, schedules=1, faults=['kill', 'pause'])",
        "As a picture, and in the control panel of a notebook:",
        "  from streamlab import Panel, plots; from streamlab.testing import replay, replay_lab",
        """  plots.recovery(replay(my_consumer, seed=4, faults=['kill', 'pause']), "1767225600050-6")"""
        """.savefig("seed-4.png")""",
        "  Panel(replay_lab(my_consumer, seed=4, faults=['kill', 'pause']))",
    ]


def test_a_failure_is_made_as_small_on_a_slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be told otherwise there, or where coverage is measured, and not be what `replay` shows."""
    monkeypatch.setattr(trying, "_EFFORT", USUAL_EFFORT)
    told = str(failure(CARELESS, **FEW))
    now = itertools.count(step=2.0)
    slow = SimpleNamespace(**dict.fromkeys(("process_time", "monotonic", "perf_counter", "time"), lambda: next(now)))
    for name, module in [*sys.modules.items()]:
        if name.startswith("streamlab.testing") and hasattr(module, "time"):
            monkeypatch.setattr(module, "time", slow)
    assert str(failure(CARELESS, **FEW)) == told


@pytest.mark.parametrize("on", [lambda: None, lambda: time.sleep(0.01)], ids=["works", "waits"])
def test_what_hangs_is_tried_once(on: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it works or waits meanwhile: to make it smaller would take a minute."""
    monkeypatch.setattr(grading, "_TIME_LIMIT", 0.1)
    made: list[Trial] = []
    trial = trying.trial

    def counted(*arguments: Any) -> Trial:
        made.append(trial(*arguments))
        return made[-1]

    monkeypatch.setattr(trying, "trial", counted)

    async def hangs(client: Any, stream: str, group: str, consumer: str, handler: Any) -> None:
        while True:
            on()

    assert "it was still running after 0.1 s" in str(failure(hangs, seed=1))
    assert len(made) == 1


def test_only_within_pytest_it_is_said_how_pytest_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not in a process that a test has started, such as a notebook's: it has that test in its environment."""
    assert 'pytest "tests/testing/test_surviving.py::test_only_within_' in str(failure(CARELESS, **FEW))
    monkeypatch.delitem(sys.modules, "pytest")
    assert "pytest" not in str(failure(CARELESS, **FEW))


def test_the_same_seed_says_the_same() -> None:
    """Also if the consumer draws its name by chance: chance is the seed's."""

    async def named_by_chance(client: Any, stream: str, group: str, handler: Any, stop: Any) -> None:
        await consumer_of(claim=no_claim)(client, stream, group, f"w{random.random()}", handler, stop)

    one = failure(named_by_chance, faults="kill")
    random.random()
    assert str(failure(named_by_chance, faults="kill")) == str(one)


# ---- seen again --------------------------------------------------------------------------------------


def test_a_schedule_is_seen_again() -> None:
    """As a run; and in a lab, which goes through the same events, forth and back, and is shown by a panel."""
    careless = MISTAKES["until an empty page"].consumer
    found = failure(careless)
    run = replay(careless, seed=found.seed)
    assert found.run is not None
    assert [event.to_json() for event in run.events] == [event.to_json() for event in found.run.events]
    assert found.entry in run.final.pending
    lab = replay_lab(careless, seed=found.seed)
    try:
        panel = Panel(lab)
        panel.close()
        assert [e.to_json() for e in lab.run().events] == [e.to_json() for e in run.events]
        lab.go_to(0.5)
        assert [e.to_json() for e in lab.run().events] == [e.to_json() for e in run.events]
    finally:
        lab.close()


def test_what_has_no_end_has_no_run() -> None:
    with pytest.raises(RuntimeError, match="never waited"):
        replay(never_waits, seed=1)
    with pytest.raises(TypeError, match="there is no option schedules"):
        replay(never_waits, seed=1, schedules=1)


# ---- several processes -------------------------------------------------------------------------------


@pytest.fixture
def all_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No schedule is tried here before other processes are asked, which are given two at once."""
    monkeypatch.setattr(trying, "_HERE", 0)
    monkeypatch.setattr(trying, "_AT_ONCE", 2)


def test_several_processes_find_the_same(all_elsewhere: None) -> None:
    """The first seed that fails, with the same story; and all is well where it is."""
    assert str(failure(CARELESS, jobs=2, **FEW)) == str(failure(CARELESS, **FEW))
    assert_survives(CONSUME, schedules=5, jobs=2, **FEW)


def test_what_fails_soon_needs_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of schedule is tried here before."""
    monkeypatch.setitem(sys.modules, "joblib", None)
    assert failure(CARELESS, jobs=2, **FEW).seed == 4


def test_what_goes_wrong_in_another_process_only_is_told(all_elsewhere: None) -> None:
    """It is no success that it goes well here; and it is said that it does."""
    here = os.getpid()

    async def moody(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: Any) -> None:
        if os.getpid() == here:
            await CONSUME(client, stream, group, consumer, handler, stop)

    found = failure(moody, schedules=4, jobs=2)
    assert found.words.startswith("C1 returned at once")
    assert "here, the same schedule goes well" in found.hint


def test_how_far_several_processes_are_is_shown(
    all_elsewhere: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal, by the process that asks."""
    monkeypatch.setattr(how_far, "_PATIENCE", 0.0)
    monkeypatch.setattr(how_far, "_EVERY", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert_survives(CONSUME, schedules=6, jobs=2, **FEW)
    shown = capsys.readouterr().err.split("\r")
    assert [line.partition(" |")[0] for line in shown if line.strip()] == [f"{n} of 6 schedules" for n in (0, 2, 4, 6)]
    assert shown[-1] == ""


def test_without_joblib_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'consumer-group-lab\[jobs\]'"):
        assert_survives(CONSUME, jobs=2)
