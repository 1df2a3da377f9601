"""What a server has not got is said before anything runs."""

from __future__ import annotations

import re
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions

from streamlab.actors import Advice, Recovery, Unsupported
from streamlab.lab.lab import Lab
from streamlab.scenario import ScenarioError, load_scenario
from streamlab.servers.client import ServerUnusable, ask_server, sync_stream_client
from tests.actors.world import collecting, failing, half_dead


def knows(client, *commands):
    """Let a client's server answer to commands that it does not know; return the client, and what was sent."""
    sent, send = [], client.execute_command

    async def execute_command(*args, **options):
        sent.append(" ".join(map(str, args)))
        if args[0] not in commands:
            return await send(*args, **options)
        if len(args) == 1:
            raise redis.exceptions.ResponseError("wrong number of arguments for 'xnack' command")

    client.execute_command = execute_command
    return client, sent


@pytest.mark.parametrize(("strategy", "needed"), [("read-claim", "XREADGROUP … CLAIM"), ("nack", "XNACK")])
@pytest.mark.parametrize("history", [True, False])
def test_a_server_that_has_not_got_it_is_refused_by_name(world, strategy, needed, history):
    """Before anything is read; the words say what is missing, since when there is one, and what to take."""
    tries: list[Any] = []

    async def main():
        client = world.client()
        await half_dead(client, "abcd", 1)
        recovery = Recovery(strategy, history=history)
        error = await world.consume(client, failing(LookupError(), tries), recovery=recovery).error()
        return error, (await client.xpending("s", "g"))["pending"]

    if world.kind == "real" and works_on(world.url, strategy):
        pytest.skip("this server has it")
    error, pending = world.run(main())
    assert isinstance(error, Unsupported)
    name = r"(Redis|Valkey) \d+\.\d+\.\d+"
    assert re.search(rf"{name}.* has no {needed}, which the recovery '{strategy}' needs", str(error))
    assert "take 'autoclaim'" in str(error)
    assert (tries, pending, world.of("delivered")) == ([], 2, [])


def works_on(url, strategy):
    info = ask_server(url)
    return Recovery(strategy).works_on(info.kind, info.version)


def test_a_server_that_has_it_is_asked_once(world):
    """XNACK without arguments: whoever knows the command says what is missing."""

    async def main():
        client, sent = knows(world.client(), "XNACK")
        await world.stream("a", client=client)
        recovery = Recovery("nack", min_idle=5)
        worker = world.consume(client, failing(LookupError(), []), recovery=recovery)
        await client.xadd("s", {"v": "b"}, "2-0")
        await worker.until(lambda: world.errors, "a handler has failed")
        await worker.end()
        return [words for words in sent if "XNACK" in words]

    assert world.run(main()) == ["XNACK", "XNACK s g FAIL IDS 1 2-0"]


def test_who_is_told_to_recover_by_what_is_not_there_says_so(world):
    """Advice is checked as well, as soon as it is heard."""

    async def main():
        advice = Advice()
        worker = world.consume(await world.stream("a"), collecting([]), advice=advice)
        await worker.until(lambda: world.of("acked"), "it was done")
        advice.recover(Recovery("nack"))
        return await worker.error()

    assert isinstance(world.run(main()), Unsupported)


@pytest.mark.parametrize(
    ("strategy", "kind", "version", "works"),
    [
        ("autoclaim", "redis", (6, 2, 0), True), ("autoclaim", "valkey", (7, 2, 4), True),
        ("read-claim", "redis", (8, 3, 9), False), ("read-claim", "redis", (8, 4, 0), True),
        ("read-claim", "valkey", (9, 1, 2), False), ("nack", "redis", (8, 6, 3), False),
        ("nack", "redis", (8, 8, 0), True), ("nack", "valkey", (9, 1, 2), False),
    ],
)  # fmt: skip
def test_which_servers_have_what_a_strategy_needs(strategy, kind, version, works):
    assert Recovery(strategy).works_on(kind, version) == works


def test_a_simulated_lab_says_it_before_it_runs():
    """read-claim is refused on a model that is too old, also when it is switched on; nack is done otherwise."""
    scenario = load_scenario("crash")
    with pytest.raises(ScenarioError, match=r"model of Redis 7\.0\.15 has no XREADGROUP … CLAIM.*redis_version"):
        Lab(scenario.with_recovery("read-claim"))
    with Lab(scenario) as lab, pytest.raises(ScenarioError, match="has no XREADGROUP … CLAIM"):
        lab.set_recovery("read-claim")
    with Lab(scenario.replace(redis_version="8.4.0")) as lab:
        lab.set_recovery("read-claim")
    nack, autoclaim = (Lab(scenario.with_recovery(name)).run() for name in ("nack", "autoclaim"))
    assert nack.server == "model of Redis 7.0.15, without XNACK: nack recovers as autoclaim"
    assert nack.events == autoclaim.events
    assert autoclaim.server == "model of Redis 7.0.15"


@pytest.mark.parametrize("strategy", ["read-claim", "nack"])
def test_a_live_lab_says_it_before_it_runs(redis_url, strategy):
    """In one line, with nothing started and nothing left on the server; also when it is switched on."""
    if works_on(redis_url, strategy):
        pytest.skip("this server has it")
    scenario = load_scenario("crash").with_recovery(strategy)
    with pytest.raises(ServerUnusable, match=f"has no .*which the recovery '{strategy}' needs"):
        Lab(scenario, engine="live", redis_url=redis_url).run()
    with sync_stream_client(redis_url) as client:
        assert client.keys() == []
    with Lab("kill-and-recover", engine="live", redis_url=redis_url) as lab:
        lab.play()
        with pytest.raises(ServerUnusable, match="has no "):
            lab.set_recovery(strategy)
        assert all(consumer.state != "dead" for consumer in lab.snapshot().consumers)
