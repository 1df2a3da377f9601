"""Faults on the live engine alone: real signals, lost replies, a server that was given."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from typing import Any

import pytest
import redis.asyncio

from streamlab.actors import consume, ensure_group, produce
from streamlab.cli import main
from streamlab.lab.both import run_both
from streamlab.lab.lab import Lab, LabError
from streamlab.lab.live import LiveEngine
from streamlab.lab.live_process import LiveProcess
from streamlab.results.comparison import Agreement
from streamlab.servers.client import stream_client, sync_stream_client
from streamlab.servers.proxy import Proxy
from tests.lab.test_faults import BUSY
from tests.process_table import runs

pytestmark = [pytest.mark.real_time("kills processes at given times"), pytest.mark.redis]


def state(pid: int) -> str:
    """Return the state of a process, as `ps` shows it."""
    listing = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return listing.stdout.strip()[:1]


def test_both_engines_agree_on_a_crash():
    """`crash`: recovery time and redeliveries within 10 %, shares within 2 points, nothing lost."""
    comparison = run_both("crash")
    print(comparison)
    assert comparison.one.redelivered == comparison.other.redelivered == 2
    rows = {row.what: row.agreement for row in comparison.rows() if "sojourn" not in row.what}
    assert rows.keys() >= {"recovery (ms)", "redelivered", "duplicates", "share of C1", "share of C4"}
    assert Agreement.DIFFERS not in rows.values(), f"\n{comparison}"


def test_a_server_that_was_given_is_not_killed(redis_url):
    """The fault server-down is for a private server only."""
    with pytest.raises(LabError, match="on a private one only"):
        Lab(BUSY.with_faults("server-down at 1s"), engine="live", redis_url=redis_url).run()


def test_a_paused_worker_stands_still_and_a_killed_one_is_gone(eventually):
    """SIGSTOP, SIGCONT and SIGKILL arrive at the very process."""
    scenario = BUSY.replace(duration=1.5)

    async def main() -> int:
        async with LiveEngine(scenario) as engine:
            running = asyncio.create_task(engine.run())
            async with asyncio.timeout(30):
                while not any(e.actor == "C1" and e.kind == "processed" for e in engine.log):
                    await asyncio.sleep(0.01)
            worker = engine.course.processes["C1"]
            assert isinstance(worker, LiveProcess)
            process = worker.process
            assert process is not None
            engine.course.pause("C1")
            eventually(lambda: state(process.pid) == "T", "the process is stopped")
            engine.course.resume("C1")
            eventually(lambda: state(process.pid) != "T", "the process goes on")
            engine.course.pause("C1")
            engine.course.kill("C1")
            await running
            return process.pid

    assert not runs(asyncio.run(main()))


# ---- what redis-py does by itself, and what ours do --------------------------------------------------


async def _plain(proxy: Proxy) -> redis.asyncio.Redis:
    """A client with redis-py's defaults, as one gets by naming a socket or a host."""
    path = proxy.url.removeprefix("unix://")
    return redis.asyncio.Redis(unix_socket_path=path, decode_responses=True)


def test_lost_replies_with_plain_redis_py_and_with_ours(redis_url, capsys):
    """Plain: an entry is added twice, another is orphaned. Ours: neither."""
    arrivals: list[Any] = [(0.0, {"n": str(n)}) for n in range(20)]

    async def plain() -> tuple[int, int]:
        async with Proxy(redis_url) as proxy:
            client = await _plain(proxy)
            await client.xgroup_create("plain", "g", id="0", mkstream=True)
            proxy.lose_reply("XADD", 5)
            for _, fields in arrivals:
                await client.xadd("plain", fields)
            proxy.lose_reply("XREADGROUP", 5)
            while reply := await client.xreadgroup("g", "C1", {"plain": ">"}, count=1):
                by_stream: Any = reply.items() if isinstance(reply, dict) else reply
                [[_, [(entry_id, _)]]] = by_stream
                await client.xack("plain", "g", entry_id)
            assert proxy.n_lost == 2
            left = await client.xpending("plain", "g")
            n_added = await client.xlen("plain")
            await client.aclose()
            return n_added, left["pending"]

    async def ours() -> tuple[int, int, Counter[str]]:
        handled: Counter[str] = Counter()
        stop = asyncio.Event()

        async def handle(entry_id: str, fields: dict[str, str]) -> None:
            handled[fields["n"]] += 1
            if len(handled) == len(arrivals):
                stop.set()

        async with Proxy(redis_url) as proxy:
            client = stream_client(proxy.url)
            await ensure_group(client, "ours", "g")
            proxy.lose_reply("XADD", 5)
            await produce(client, "ours", arrivals)
            # Not the read that goes with the fifth XACK, whose lost reply takes the connection along.
            for command, nth in (("XREADGROUP", 5), ("XREADGROUP", 11), ("XACK", 5)):
                proxy.lose_reply(command, nth)
            async with asyncio.timeout(20):
                await consume(client, "ours", "g", "C1", handle, block=0.2, stop=stop)
            assert proxy.n_lost == 4
            left = await client.xpending("ours", "g")
            n_added = await client.xlen("ours")
            await client.aclose()
            return n_added, left["pending"], handled

    n_added, n_orphaned = asyncio.run(plain())
    assert (n_added, n_orphaned) == (21, 1)
    n_added, n_orphaned, handled = asyncio.run(ours())
    assert (n_added, n_orphaned) == (20, 0)
    assert set(handled.values()) == {1}


def test_the_command_of_the_readme_for_kills(redis_url, capsys):
    """`kill random every` draws victims by the seed, from the shell as from Python."""
    arguments = ["one-to-many", "--engine", "live", "--redis", redis_url, "--duration", "3"]
    more = ["--fault", "kill random every 1s", "--recovery", "autoclaim", "--restart-after", "200ms"]
    assert main(["run", *arguments, *more, "--sink", "idempotent", "--rate", "200"]) == 0
    assert "lost 0" in capsys.readouterr().out
    with sync_stream_client(redis_url) as client:
        assert client.keys() == []  # the ledger of effects is gone as well
