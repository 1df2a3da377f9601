"""Faults on the live engine: real signals, lost replies, a server that dies; and nothing is lost."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter

import pytest
import redis.asyncio

from streamlab.actors import Recovery, consume, ensure_group, produce
from streamlab.cli import main
from streamlab.lab.both import run_both
from streamlab.lab.lab import Lab
from streamlab.lab.live import LabError, LiveEngine
from streamlab.results.comparison import Agreement
from streamlab.results.run import Run
from streamlab.scenario import Arrivals, Scenario, Service, consumers, load_scenario, producers
from streamlab.servers.client import stream_client, sync_stream_client
from streamlab.servers.proxy import Proxy
from tests.process_table import runs

pytestmark = [pytest.mark.alone("kills processes at given times"), pytest.mark.redis]

BUSY = Scenario(
    name="busy",
    producers=producers(1, Arrivals("constant", rate=100)),
    consumers=consumers(3, Service("constant", mean=0.01)),
    duration=2.0,
    sink="idempotent",
    recovery=Recovery("autoclaim", min_idle=0.3, interval=0.1, restart_after=0.1),
)


def live(scenario: Scenario | str) -> Run:
    return Lab(scenario, engine="live").run()


def assert_all_done_once(run: Run) -> None:
    """Every entry was processed, its effect happened exactly once, and nothing is left pending."""
    assert run.processed == run.added > 0
    assert run.final.effects == dict.fromkeys(run.ledger.added, 1)
    assert run.final.pending == {}
    assert run.final.undelivered == ()
    assert run.broken() == []


def state(pid: int) -> str:
    """Return the state of a process, as `ps` shows it."""
    listing = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return listing.stdout.strip()[:1]


def events(run: Run, kind: str) -> list[str]:
    return [event.actor for event in run.events if event.kind == kind]


def test_a_random_worker_is_killed_every_second_for_30_seconds(capsys):
    """800 entries a second, 4 processes, SIGKILL and restart: 24,000 of 24,000, effects exactly once."""
    scenario = load_scenario("one-to-many")
    scenario = scenario.replace(duration=30.0, sink="idempotent").with_recovery("autoclaim", restart_after=0.2)
    run = live(scenario.with_faults(*scenario.random_kills(every=1.0)))
    assert run.added == 24_000
    assert_all_done_once(run)
    n_kills = len(scenario.random_kills(every=1.0))
    assert n_kills == 29
    # Who is drawn a second time before its new process stands dies one time less.
    assert n_kills / 2 < len(events(run, "crashed")) <= n_kills
    with capsys.disabled():
        print(f"\n{run!r}: {run.duplicates} processed again, {len(events(run, 'crashed'))} kills")


def test_crashes_before_effect_and_before_ack():
    """The scenario `crash`: one dies in mid-work, one between effect and XACK; both entries are done again."""
    run = live("crash")
    assert_all_done_once(run)
    assert sorted(events(run, "crashed")) == ["C2", "C3"]
    assert run.redelivered == 2
    assert run.duplicates == 1


def test_both_engines_agree_on_a_crash():
    """`crash`: recovery time and redeliveries within 10 %, shares within 2 points, nothing lost."""
    comparison = run_both("crash")
    print(comparison)
    assert comparison.one.redelivered == comparison.other.redelivered == 2
    rows = {row.what: row.agreement for row in comparison.rows() if "sojourn" not in row.what}
    assert rows.keys() >= {"recovery (ms)", "redelivered", "duplicates", "share of C1", "share of C4"}
    assert Agreement.DIFFERS not in rows.values(), f"\n{comparison}"


def test_poison_is_given_up_after_exactly_the_limit():
    """Three workers die of each of two entries; at the fourth delivery it goes to the dead letters."""
    run = live("poison")
    dead = set(run.final.dead_letters)
    assert len(dead) == 2
    assert len(events(run, "crashed")) == 6
    times_handled = Counter(s.id for s in run.ledger.deliveries if s.delivery_count <= 3)
    assert [times_handled[entry_id] for entry_id in dead] == [3, 3]
    assert run.final.effects == {i: 1 for i in run.ledger.added if i not in dead}
    assert run.final.pending == {}
    assert run.broken() == []


def test_a_dead_letter_key_of_another_type_loses_nothing(redis_url):
    """The move fails as a whole: the poison stays pending, everybody else is done."""
    scenario = (
        BUSY.with_recovery(max_deliveries=1, dead_letter="{orders}:graveyard")
        .with_faults("poison P1 nth 20")
        .replace(drain=2.0)
    )

    async def main() -> Run:
        async with LiveEngine(scenario, redis_url=redis_url) as engine:
            await engine.client.set("{orders}:graveyard", "no stream")
            return await engine.run()

    run = asyncio.run(main())
    assert len(run.final.pending) == 1
    assert run.processed == run.added - 1
    assert run.lost == 0
    assert "failed" in {event.kind for event in run.events}


def test_lost_replies_lose_and_double_nothing():
    """The scenario `lost-reply`: of XADD, XREADGROUP and XACK, the commands having been executed."""
    run = live("lost-reply")
    assert_all_done_once(run)
    assert run.added == 500
    assert run.duplicates == 0
    assert sorted(events(run, "disconnected")) == ["C1", "C2", "P1"]


def test_a_rolling_restart_redelivers_nothing():
    """SIGTERM lets each consumer finish what it holds: no delivery twice."""
    run = live("rolling-restart")
    assert_all_done_once(run)
    assert run.redelivered == run.duplicates == 0
    assert Counter(events(run, "started"))["C1"] == 2
    assert Counter(events(run, "stopped")) == {"C1": 2, "C2": 2, "C3": 2, "C4": 2, "P1": 1}


@pytest.mark.parametrize("fenced", [False, True])
def test_a_zombie_acknowledges_what_is_not_its_own_unless_fenced(fenced):
    """SIGSTOP beyond min-idle: another consumer takes over; the zombie's XACK counts, a fenced one does not."""
    run = live(load_scenario("zombie").with_recovery(fenced=fenced))
    (taken,) = [e for e in run.events if e.kind == "claimed"]
    (resumed,) = [e.at for e in run.events if e.kind == "resumed"]
    acks = [
        (e.kind, e.actor)
        for e in run.events
        if e.id == taken.id and e.kind in ("acked", "void", "rejected") and e.at >= resumed
    ]
    if fenced:
        assert acks == [("rejected", "C2"), ("acked", taken.actor)]
    else:
        assert acks == [("acked", "C2"), ("void", taken.actor)]
    assert run.final.effects[taken.id] == 2  # fencing keeps the books right, not the effects


@pytest.mark.parametrize(
    "fault",
    [
        "server-down at 0.7s for 0.5s",
        "disconnect C2 at 0.7s",
        "group-destroyed at 0.7s",
        "slow C2 at 0.5s for 1s factor 20",
        "kill C1 at 0.7s",
    ],
)
def test_everything_is_done_in_spite_of(fault):
    """Whatever happens to a process, a connection, the server or the group."""
    run = live(BUSY.with_faults(fault))
    assert run.added == 200
    assert_all_done_once(run)


@pytest.mark.parametrize("fault", ["trim-while-pending at 0.7s", "stream-deleted at 0.7s"])
def test_what_was_destroyed_is_told(fault):
    """Entries that were removed before anybody had processed them are trimmed, and none is lost."""
    run = live(BUSY.with_service(0.028).with_faults(fault))  # nearly saturated: there is a backlog
    assert run.added == 200
    assert run.lost == 0
    trimmed = {event.id for event in run.events if event.kind == "trimmed"}
    assert {i for i in run.ledger.added if i not in run.ledger.processed} <= trimmed
    assert run.final.pending == {}
    assert run.broken() == []


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
            process = engine.course.processes["C1"].process
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
    arrivals = [(0.0, {"n": str(n)}) for n in range(20)]

    async def plain() -> tuple[int, int]:
        async with Proxy(redis_url) as proxy:
            client = await _plain(proxy)
            await client.xgroup_create("plain", "g", id="0", mkstream=True)
            proxy.lose_reply("XADD", 5)
            for _, fields in arrivals:
                await client.xadd("plain", fields)
            proxy.lose_reply("XREADGROUP", 5)
            while reply := await client.xreadgroup("g", "C1", {"plain": ">"}, count=1):
                [[_, [(entry_id, _)]]] = reply.items() if isinstance(reply, dict) else reply
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
            for command, nth in (("XREADGROUP", 5), ("XREADGROUP", 9), ("XACK", 5)):
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
