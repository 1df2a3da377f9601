"""Sharded streams: each key's entries keep their order, whoever dies, and a shard has one owner at a time."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from streamlab.actors import Recovery
from streamlab.actors.events import CLAIMED, CRASHED, DELIVERED, FAILED, PROCESSED, STARTED, STOPPED
from streamlab.cli import main
from streamlab.lab.both import run_both
from streamlab.lab.lab import Lab
from streamlab.lab.sharing import Sharing
from streamlab.results.comparison import Agreement
from streamlab.results.events import Event
from streamlab.results.run import Run
from streamlab.scenario import Arrivals, Consumer, Scenario, ScenarioError, Service, consumers, load_scenario, producers
from streamlab.scenario import actions as a
from streamlab.scenario.action import Action
from streamlab.scenario.failing import ServerDown
from streamlab.scenario.random_faults import Weights, random_faults
from streamlab.scenario.shards import place_of
from streamlab.servers.client import sync_stream_client
from streamlab.servers.cluster import PrivateCluster
from streamlab.servers.connect import connect
from streamlab.servers.programs import ServerBinary
from streamlab.virtual.loop import VirtualLoop

#: What befalls processes and their work.
DEATHS: dict[type[Action[Any]], float] = {
    a.Kill: 4, a.Restart: 2, a.CrashBeforeEffect: 2, a.CrashBeforeAck: 3,
}  # fmt: skip
#: And what keeps somebody from hearing that its lease is over, or from doing its work.
MISHAPS = DEATHS | {a.Pause: 2, a.PauseInWork: 2, a.Disconnect: 2, a.LostReply: 3, ServerDown: 1, a.Fail: 2, a.Slow: 1}

#: Four shards, three consumers who are busy a third of the time.
QUIET = load_scenario("sharded").replace(faults=())


def draw(seed: int, weights: dict[type[Action[Any]], float]) -> Scenario:
    """Draw a sharded scenario in which things go wrong; whoever dies is started again."""
    rng = Random(f"shards {seed}")
    service = Service(rng.choice(("constant", "exponential")), mean=rng.uniform(0.001, 0.01))
    arrivals = Arrivals(rng.choice(("constant", "poisson")), rate=rng.uniform(20, 60))
    them = consumers(rng.randint(1, 5), service, rng.choice((1, 1, 5)), rng.choice(("each", "batch")))
    limit = rng.choice((None, 8))
    scenario = Scenario(
        seed=seed,
        producers=producers(rng.randint(1, 2), arrivals),
        consumers=tuple(each.replace(block=rng.choice((0.0, 0.05, 5.0))) for each in them),
        duration=3.0,
        shards=rng.randint(1, 6),
        keys=rng.choice((5, 20, 100)),
        sink=rng.choice(("none", "naive", "idempotent")),
        recovery=Recovery(
            rng.choice(("claim", "autoclaim")),
            min_idle=rng.choice((0.3, 0.6, 1.0)),
            restart_after=rng.choice((0.0, 0.3, 1.0)),
            max_deliveries=limit,
            fenced=rng.random() < 0.3,
        ),
    )
    faults = random_faults(
        rng,
        consumers=[each.name for each in scenario.consumers],
        producers=[each.name for each in scenario.producers],
        duration=3.0,
        entries=100,
        weights=Weights(weights if limit is None else weights | {a.Poison: 1}),
    )
    return scenario.replace(faults=faults)


def shared_work(events: Iterable[Event]) -> list[Event]:
    """Return what was given to a consumer while another one was at work at the same shard."""
    at_work: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    shared = []
    for event in events:
        workers = at_work[place_of(event.id)[0]]
        if event.kind in (DELIVERED, CLAIMED):
            if any(ids for name, ids in workers.items() if name != event.actor):
                shared.append(event)
            workers[event.actor].add(event.id)
        elif event.id:
            workers[event.actor].discard(event.id)
        elif event.kind in (CRASHED, STOPPED):
            for each in at_work.values():
                each.pop(event.actor, None)
    return shared


# ---- the thesis --------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 60, 30))
def test_random_schedules(first: int) -> None:
    """Nothing lost, nothing left, no entry before an earlier one of its key (I9), and all other invariants."""
    n_redelivered = 0
    for seed in range(first, first + 30):
        run = Lab(draw(seed, MISHAPS)).run()
        assert run.broken() == [], seed
        assert (run.lost, run.pending, run.undelivered) == (0, 0, 0), seed
        assert not run.inversions, seed
        n_redelivered += run.redelivered
    assert n_redelivered > 30


def test_a_shard_has_one_owner_at_a_time() -> None:
    """As long as nobody is paused or cut off, who would not hear that its lease is over: deaths and restarts only."""
    n_moved = 0
    for seed in range(30):
        run = Lab(draw(seed, DEATHS)).run()
        assert run.broken() == [], seed
        assert shared_work(run.events) == [], seed
        owners = {(place_of(d.id)[0], d.consumer) for d in run.ledger.deliveries}
        n_moved += len(owners) - len({shard for shard, _ in owners})
    assert n_moved > 10


def test_one_stream_for_several_consumers_keeps_no_order() -> None:
    """The same entries and the same consumers: one stream breaks the order of keys, shards keep it."""
    at_random = QUIET.with_service(0.02, kind="exponential").replace(keys=20)
    sharded, single = (Lab(at_random.replace(shards=n)).run() for n in (4, None))
    assert [*sharded.ledger.added.values()] == [*single.ledger.added.values()]
    assert len(single.inversions) > 5
    assert not sharded.inversions
    assert (single.broken(), sharded.broken()) == ([], [])
    found = single.inversions[0]
    assert single.ledger.processed[found.after] <= found.at == single.ledger.processed[found.id]
    said = {verdict.rule: verdict.words for verdict in single.verdicts}
    assert said["I9"] == (
        "not looked at: one stream for several consumers promises no order, "
        f"and {len(single.inversions)} entries were overtaken by a later one of their key"
    )


def test_an_inversion_is_found_and_told() -> None:
    """In a sharded run whose events say so: I9 is broken, with the entry's story."""
    run = Lab(QUIET.replace(keys=1)).run()
    early, late = [event for event in run.events if event.kind == PROCESSED][10:12]
    swapped = {early: late._replace(at=early.at, actor=early.actor), late: early._replace(at=late.at, actor=late.actor)}
    events = type(run.events).of(swapped.get(event, event) for event in run.events)
    broken = Run(run.scenario, run.engine, run.server, events, run.final)
    (found,) = broken.inversions
    assert (found.id, found.after, found.key) == (early.id, late.id, "k0")
    assert any(f"entry {early.id} of key k0 was processed at" in line for line in broken.broken())


# ---- how it comes about ------------------------------------------------------------------------------


def test_a_consumer_is_one_worker_however_many_shards_it_has() -> None:
    run = Lab(QUIET.with_consumers(1).with_service(0.02, kind="constant").replace(duration=1.0)).run()
    done = sorted((d.begun, d.left) for d in run.ledger.deliveries)
    assert len(done) == run.added == 100
    assert all(after >= end - 1e-9 for (_, end), (after, _) in pairwise(done))
    assert run.duration == pytest.approx(2.0, abs=0.05)


def owners(run: Run, begin: float, end: float) -> dict[str, list[str]]:
    """Return who was given entries of which shards in a time."""
    given: defaultdict[str, set[str]] = defaultdict(set)
    for delivery in run.ledger.deliveries:
        if begin < delivery.delivered < end:
            given[delivery.consumer].add(place_of(delivery.id)[0])
    return {name: sorted(shards) for name, shards in given.items()}


def test_shares_are_fair_whoever_comes_and_goes() -> None:
    """Six shards: three each; two each soon after a third has come, before any lease is over; three after a death."""
    scenario = QUIET.with_consumers(2).with_recovery(min_idle=3.0).replace(shards=6, duration=12.0)
    run = Lab(scenario.with_faults("add-consumer C3 at 1s", "kill C1 at 6s")).run()
    for begin, end, names in ((0, 1, ("C1", "C2")), (1.5, 3.5, ("C1", "C2", "C3")), (10.5, 12, ("C2", "C3"))):
        shares = owners(run, begin, end)
        assert set(shares) == {*names}
        assert {len(shards) for shards in shares.values()} == {6 // len(names)}
        assert sorted(shard for shards in shares.values() for shard in shards) == [f"{n}/" for n in range(6)]
    assert run.broken() == []


def test_who_is_paused_while_it_waits_is_given_nothing_after_its_lease() -> None:
    """Its read ends before: else the next entry would be its own, and lie there."""
    scenario = QUIET.with_consumers(2).with_recovery(min_idle=0.3, interval=5.0).with_rate(1).replace(shards=1)
    scenario = scenario.replace(consumers=tuple(each.replace(block=0.0) for each in scenario.consumers))
    run = Lab(scenario.with_faults("pause C1 at 0.1s for 3s")).run()
    assert run.consumers["C2"].delivered >= 3
    assert run.redelivered == 0
    assert run.broken() == []


def test_work_ends_with_the_lease() -> None:
    """Who cannot renew it leaves its entry where it stands: by then it may be another one's."""
    slow = QUIET.with_service(2.0, kind="constant").with_rate(4).with_recovery(min_idle=0.6)
    run = Lab(slow.with_faults("server-down at 1s for 3s")).run()
    done = [event.at for event in run.events if event.kind == PROCESSED]
    assert not [at for at in done if 1.6 < at < 4.0]
    assert run.processed == run.added == len(done) == 20


def test_an_entry_that_fails_is_tried_again_before_the_next() -> None:
    run = Lab(QUIET.with_count(5).with_rate(400).with_faults("fail C1 nth 20 times 3", "fail C2 nth 30")).run()
    by_shard: defaultdict[str, list[Event]] = defaultdict(list)
    for event in run.events:
        if event.kind in (PROCESSED, FAILED):
            by_shard[place_of(event.id)[0]].append(event)
    n_failed = 0
    for events in by_shard.values():
        for event, following in pairwise(events):
            if event.kind == FAILED:
                n_failed += 1
                assert following.id == event.id
    assert n_failed == 4


def test_crashes_that_are_counted_come_once_each() -> None:
    """Of several shards' entries none is begun any more by a consumer that has died at one of them."""
    busy = QUIET.with_consumers(1).with_recovery(restart_after=0.0).with_service(0.02, kind="constant")
    run = Lab(busy.with_faults(*(f"crash-before-effect C1 nth {n}" for n in (5, 6, 7)))).run()
    assert sum(event.kind == CRASHED for event in run.events) == 3
    assert run.broken() == []


def test_a_poison_entry_goes_to_the_dead_letters_of_its_shard() -> None:
    """And holds up nothing but its own shard, until then."""
    scenario = QUIET.with_recovery(max_deliveries=2, restart_after=0.1).with_faults("poison P1 nth 50")
    run = Lab(scenario).run()
    (letter,) = run.final.dead_letters
    assert letter == sorted(run.ledger.added, key=lambda i: run.ledger.added[i])[49]
    assert run.state_of(letter) == "dead-lettered"
    assert run.broken() == []


def test_two_groups_own_shards_apart() -> None:
    """Each group has every shard, with leases and effects of its own; both keep the order."""
    both = QUIET.replace(consumers=(*QUIET.consumers, Consumer("B1", Service(mean=0.002), group="billing")))
    run = Lab(both.with_faults("kill B1 at 1s").with_recovery(restart_after=0.2)).run()
    assert run.broken() == []
    for group in ("workers", "billing"):
        part = run.of(group)
        assert part.acked == part.added == len(part.final.effects) == 500
        assert not part.inversions


# ---- what is said of it --------------------------------------------------------------------------------


def test_saved_and_loaded(tmp_path: Path) -> None:
    """With its shards; and a file of before there were any."""
    run = Lab(QUIET.replace(duration=1.0)).run()
    run.save(tmp_path / "run.jsonl")
    loaded = Run.load(tmp_path / "run.jsonl")
    assert (loaded.summary(), loaded.inversions) == (run.summary(), ())
    assert loaded.final.length == run.added == 100
    Lab("crash").run().save(tmp_path / "crash.jsonl")
    header, rest = (tmp_path / "crash.jsonl").read_text().split("\n", 1)
    table = json.loads(header)
    del table["scenario"]["shards"], table["scenario"]["keys"]
    (tmp_path / "older.jsonl").write_text(json.dumps(table) + "\n" + rest)
    assert Run.load(tmp_path / "older.jsonl").scenario.shards is None


def test_a_lab_shows_all_shards_together() -> None:
    """What is pending, how far it is, a story, and the commands, each with the key of its shard."""
    lab = Lab(QUIET.with_service(0.5, kind="constant"))
    lab.run_until(1.0)
    seen = lab.snapshot()
    assert seen.n_pending == len(seen.pending) == sum(c.pending for c in seen.consumers) >= 3
    assert seen.length == seen.n_added == seen.n_pending + seen.backlog + seen.n_acked
    first = min(seen.pending, key=lambda row: row.idle, default=None)
    assert first is not None
    assert first.fields["key"].startswith("k")
    assert lab.story(first.id)[0].endswith("P1: added it")
    shard = place_of(first.id)[0].removesuffix("/")
    reads = [command for command in lab.commands if command.by == first.owner and "XREADGROUP" in command.text]
    assert any(f"STREAMS orders:{{{shard}}} >" in command.text for command in reads)
    with pytest.raises(ScenarioError, match="claim is about one stream, and there are 4 shards"):
        lab.claim([first.id], first.owner)
    lab.kill(first.owner)
    lab.run_until(4.0)
    assert lab.snapshot().consumer(first.owner).pending == 0


def test_the_shell(capsys: pytest.CaptureFixture[str]) -> None:
    """``--shards`` on any scenario, which then recovers by autoclaim."""
    assert main(["run", "one-to-many", "--shards", "3", "--keys", "10", "--duration", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["acked"] == said["added"] == 800
    assert said["recovery"]["strategy"] == "autoclaim"
    assert main(["run", "one-to-many", "--shards", "3", "--recovery", "none"]) == 2
    assert "recovery.strategy is 'none'" in capsys.readouterr().err


# ---- live ----------------------------------------------------------------------------------------------


@pytest.mark.redis
@pytest.mark.real_time("runs worker processes and compares their times with simulated ones")
def test_both_engines_agree() -> None:
    """With a consumer that dies in mid-work, and whose shards are taken over when its leases are over."""
    comparison = run_both(load_scenario("sharded").with_rate(40))
    for run in (comparison.one, comparison.other):
        assert run.broken() == []
        assert (run.acked, run.redelivered) == (run.added, 1)
        assert run.recovery.recovered
        assert len(run.recovery.lost_workers) == 1
        assert first_owners(run) == {0: "C1", 1: "C1", 2: "C2", 3: "C3"}
    assert comparison.verdict != Agreement.DIFFERS, comparison


def first_owners(run: Run) -> dict[int, str]:
    """Return who was the first to have each shard."""
    owners: dict[int, str] = {}
    for tenure in sorted(run.tenures, key=lambda tenure: tenure.start):
        owners.setdefault(tenure.shard, tenure.consumer)
    return owners


@pytest.mark.parametrize(("min_idle", "one_by_one", "in_all"), [(0.3, 2.0, 10.0), (1.0, 2.0, 10.0), (30.0, 1.0, 1.0)])
def test_many_consumers_do_not_wait_for_each_other_for_long(min_idle: float, one_by_one: float, in_all: float) -> None:
    """However slow they are to share: where leases are for long, for no longer than a simulation waits."""

    class NeverFair:
        async def answered(self, _: Any) -> bool:
            await asyncio.sleep(0.001)
            return False

    scenario = load_scenario("sharded").with_consumers(64).with_recovery(min_idle=min_idle, interval=None)

    async def main() -> tuple[float, float]:
        clock = asyncio.get_running_loop().time
        began, sharing = clock(), Sharing(NeverFair(), scenario)  # type: ignore[arg-type]
        for consumer in scenario.consumers:
            await sharing.has_begun(consumer.name)
        took = clock() - began
        await sharing.all_have_begun()
        return took, clock() - began

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == pytest.approx((one_by_one, in_all), abs=0.02)


@pytest.mark.redis
@pytest.mark.real_time("runs worker processes on a cluster and looks at when they began")
def test_both_engines_begin_alike_on_a_cluster() -> None:
    """Each has its share before the first entry; and a simulation that is compared counts its looks as they did."""
    comparison = run_both(load_scenario("cluster"))
    simulated, live = comparison.one, comparison.other
    for run in (simulated, live):
        assert run.broken() == []
        assert run.acked == run.added == 200
        assert first_owners(run) == {0: "C1", 1: "C1", 2: "C1", 3: "C2", 4: "C2", 5: "C2"}
    began = [
        {event.actor: event.at for event in reversed(run.events) if event.kind == STARTED and event.at < 0}
        for run in (simulated, live)
    ]
    assert began[0].keys() == {"C1", "C2"}
    assert began[0] == pytest.approx(began[1], abs=1e-9)


@pytest.mark.redis
@pytest.mark.real_time("runs worker processes that are killed")
def test_live_kills_and_nothing_left_behind(redis_url: str) -> None:
    """Killed by SIGKILL, started again, joined by another one; afterwards the server has none of the run's keys."""
    scenario = QUIET.with_recovery(restart_after=0.3, max_deliveries=5).replace(duration=4.0)
    scenario = scenario.with_faults("kill C1 at 1s", "add-consumer C4 at 1.5s", "kill C2 at 2s")
    with sync_stream_client(redis_url) as client:
        client.set("theirs", "mine")
        run = Lab(scenario, engine="live", redis_url=redis_url).run()
        assert client.keys() == ["theirs"]
    assert run.broken() == []
    assert run.consumers["C4"].acked > 0
    assert run.processed == run.acked == run.added == 400


@pytest.mark.redis
def test_keys_of_somebody_else_are_left(redis_url: str) -> None:
    """A lease's key that exists is refused before anything runs, and stays as it is."""
    with sync_stream_client(redis_url) as client:
        client.set("orders:{2}:lease:workers", "mine")
        with pytest.raises(Exception, match=r"'orders:\{2\}:lease:workers' exists already"):
            Lab(QUIET, engine="live", redis_url=redis_url).run()
        assert client.keys() == ["orders:{2}:lease:workers"]
        assert isinstance(client, redis.Redis)


@pytest.mark.redis
@pytest.mark.real_time("runs worker processes on a cluster of its own")
def test_the_scenario_cluster_starts_one(default_server_binary: ServerBinary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no URL is given: three servers, and nothing is lost by a consumer's death, nor the order."""
    started: list[int] = []
    launch = PrivateCluster._launch

    def noted_launch(servers: PrivateCluster, timeout: float) -> None:
        assert servers.binary == default_server_binary
        launch(servers, timeout)
        started.append(len(servers.servers))

    monkeypatch.setattr(PrivateCluster, "_launch", noted_launch)
    run = Lab(load_scenario("cluster").with_recovery(min_idle=1.5).with_rate(40), engine="live").run()
    assert started == [3]
    assert run.broken() == []
    assert run.processed == run.added == 80
    assert not run.inversions
    assert {tenure.consumer for tenure in run.tenures} == {"C1", "C2", "C3"}


@pytest.mark.redis
@pytest.mark.real_time("runs worker processes on a cluster of its own")
def test_a_cluster_holds_the_shards(default_server_binary: ServerBinary) -> None:
    """Six shards on three servers, a consumer dies in mid-work: nothing is lost, the order is kept, no key is left."""
    scenario = load_scenario("sharded").replace(shards=6, duration=3.0).with_rate(60)
    scenario = scenario.with_recovery(min_idle=2.0, interval=0.2, max_deliveries=5)
    with PrivateCluster(default_server_binary, n_replicas=0) as servers, connect(servers.url) as client:
        run = Lab(scenario, engine="live", redis_url=servers.url).run()
        assert not [
            key for key in scenario.streams for beside in ("", ":dead", ":effects") if client.exists(key + beside)
        ]
        assert not [key for stream in scenario.streams for key in scenario.leases_at(stream) if client.exists(key)]
    assert run.broken() == []
    assert run.processed == run.acked == run.added == 180
    assert not run.inversions
    assert len({key_slot(stream.encode()) // 5462 for stream in scenario.streams}) == 3
