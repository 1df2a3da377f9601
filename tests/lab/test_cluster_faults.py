"""What befalls a cluster while a sharded run goes on there: a primary is killed, a slot is moved."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from streamlab.actors import Recovery
from streamlab.actors.events import CRASHED, RECREATED, SET_BACK, STOPPED
from streamlab.lab.lab import Lab
from streamlab.results.forgotten import NOTHING_FORGOTTEN
from streamlab.results.run import Run
from streamlab.results.servers import ServerView
from streamlab.results.snapshot import Snapshot
from streamlab.scenario import Arrivals, Scenario, Service, consumers, load_scenario, producers
from streamlab.scenario.shards import place_of
from streamlab.servers.cluster import PrivateCluster
from streamlab.servers.connect import connect
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary
from streamlab.servers.together import ask
from tests.conftest import Eventually

pytestmark = [pytest.mark.redis, pytest.mark.real_time("runs worker processes on a cluster of its own")]

#: 800 entries a second over eight shards, which three consumers can do twice.
BUSY = Scenario(
    name="busy",
    producers=producers(1, Arrivals("constant", rate=800)),
    consumers=consumers(3, Service("exponential", mean=0.001)),
    duration=2.0,
    drain=30.0,
    recovery=Recovery("autoclaim", min_idle=2.0, interval=0.3),
    shards=8,
    keys=50,
)


@pytest.fixture(scope="module")
def cluster(default_server_binary: ServerBinary) -> Iterator[PrivateCluster]:
    """One for all: whoever kills a server starts it again. Nobody is to be called dead that is only kept waiting."""
    with PrivateCluster(default_server_binary, node_timeout=2.0) as servers:
        yield servers


def run_on(cluster: PrivateCluster, scenario: Scenario, meanwhile: Callable[[], None]) -> Run:
    """Run a scenario on a cluster that was given, and do something once a third of the entries are there."""
    failure: list[BaseException] = []

    def wait_and_do() -> None:
        try:
            deadline = time.monotonic() + 60
            with connect(cluster.url) as client:
                while sum(client.xlen(stream) for stream in scenario.streams) < scenario.expected_entries() / 3:
                    assert time.monotonic() < deadline
                    threading.Event().wait(0.02)
            meanwhile()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=wait_and_do)
    thread.start()
    try:
        run = Lab(scenario, engine="live", redis_url=cluster.url).run()
    finally:
        thread.join()
    assert not failure
    return run


def assert_carried_on(run: Run) -> None:
    """No worker has died or was stopped in the midst, no group was taken for gone, all that is there is done."""
    assert not run.errors
    kinds = {event.kind for event in run.events}
    assert kinds.isdisjoint({CRASHED, RECREATED})
    assert {event.actor for event in run.events if event.kind == STOPPED} == {"P1", "C1", "C2", "C3"}
    assert (run.added, run.lost, run.trimmed, run.pending, run.undelivered) == (1600, 0, 0, 0, 0)
    assert set(run.ledger.added) == {*run.ledger.processed, *run.lost_by_server.unprocessed}
    assert run.broken() == []


def kill_after_its_replica_was_cut_off(cluster: PrivateCluster, victim: PrivateServer) -> None:
    """Refuse the replica, which has a wrong password suddenly, for some tenths of a second; then kill its primary."""
    (_, port, _) = ask(victim, "ROLE")[2][0]
    replica = next(server for server in cluster.servers if server.port == int(port))
    password = ask(replica, "CONFIG", "GET", "masterauth")[1]
    ask(replica, "CONFIG", "SET", "masterauth", "wrong")
    ask(victim, "CLIENT", "KILL", "TYPE", "replica")
    threading.Event().wait(0.3)
    victim.kill()
    ask(replica, "CONFIG", "SET", "masterauth", password)


def test_a_primary_is_killed_under_load(cluster: PrivateCluster, eventually: Eventually) -> None:
    """Workers carry on by themselves, in order; what is lost is told by name, and was in the dead one's shards."""
    victim = cluster.primary_of(BUSY.streams[0])
    its_own = {place for place, stream in BUSY.places if cluster.primary_of(stream) is victim}
    assert 0 < len(its_own) < 8
    try:
        run = run_on(cluster, BUSY, lambda: kill_after_its_replica_was_cut_off(cluster, victim))
    finally:
        victim.restart()
        eventually(lambda: ask(victim, "ROLE")[:4:3] == ["slave", "connected"], "it copies the new primary", 20)
    assert_carried_on(run)
    assert not run.inversions
    set_back = {place_of(event.id)[0] for event in run.events if event.kind == SET_BACK}
    assert set_back == its_own
    assert {place_of(entry_id)[0] for entry_id in run.lost_by_server.entries} == its_own
    assert {place_of(entry_id)[0] for entry_id in run.lost_by_server.acks} <= its_own
    assert run.summary()["lost_by_server"] == run.lost_by_server.counts()


def test_a_dead_primary_is_seen_and_who_was_promoted_and_what_was_lost(
    cluster: PrivateCluster, eventually: Eventually
) -> None:
    """In snapshots of the run, as the panel shows them: node by node, and the entries by name."""
    scenario = load_scenario("cluster").replace(duration=5.0, drain=30.0)
    victim = cluster.primary_of(scenario.streams[0])
    its_own = {place for place, stream in scenario.places if cluster.primary_of(stream) is victim}
    dying = f":{victim.port}"

    def seen(snapshot: Snapshot) -> dict[str, ServerView]:
        return {server.name: server for server in snapshot.servers}

    try:
        with Lab(scenario, engine="live", redis_url=cluster.url) as lab:
            before = seen(lab.wait_until(lambda now: len(now.servers) == 6 and now.n_added > 50))
            assert all(server.is_alive for server in before.values())
            assert before[dying].role == "primary"
            (heir,) = (name for name, server in before.items() if server.detail == f"copies {dying}")
            assert lab.snapshot().forgotten == NOTHING_FORGOTTEN
            kill_after_its_replica_was_cut_off(cluster, victim)
            after = seen(lab.wait_until(lambda now: seen(now)[heir].role == "primary", timeout=30))
            assert after[dying] == ServerView(dying, "primary", False, detail="serves 0 slots")
            assert after[heir] == ServerView(heir, "primary", True, detail=before[dying].detail)
            assert {n: s for n, s in after.items() if n not in (dying, heir)} == {
                name: server for name, server in before.items() if name not in (dying, heir)
            }
            run = lab.run()
            lost = lab.snapshot().forgotten
    finally:
        victim.restart()
        eventually(lambda: ask(victim, "ROLE")[:4:3] == ["slave", "connected"], "it copies the new primary", 20)
    assert lost == run.lost_by_server
    assert {place_of(entry_id)[0] for entry_id in lost.entries} == its_own
    assert set(run.ledger.added) == {*run.ledger.processed, *lost.unprocessed}


def test_without_shards_the_order_is_lost(cluster: PrivateCluster) -> None:
    """Three consumers of one stream on the same cluster, where nothing else goes wrong, overtake each other."""
    run = Lab(BUSY.replace(shards=None), engine="live", redis_url=cluster.url).run()
    assert run.processed == run.added == 1600
    assert run.inversions  # some ten: in half a second, it would be one or two, or none


def move(cluster: PrivateCluster, stream: str, source: PrivateServer, target: PrivateServer) -> None:
    """Move a stream's slot with all that is in it, as ``redis-cli --cluster reshard`` does."""
    slot = ask(source, "CLUSTER", "KEYSLOT", stream)
    here, there = (str(ask(server, "CLUSTER", "MYID")) for server in (source, target))
    ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", here)
    ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", there)
    password = cluster.url.partition("//:")[2].partition("@")[0]
    while keys := ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 1):  # one by one, so that work goes on in between
        assert target.port is not None
        ask(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "AUTH", password, "KEYS", *keys)
        threading.Event().wait(0.2)
    for server in (target, source):
        ask(server, "CLUSTER", "SETSLOT", slot, "NODE", there)


def test_a_slot_is_moved_under_load(cluster: PrivateCluster) -> None:
    """Whoever reads there is sent on, and waits at the new place: nothing is lost, set back, or out of order."""
    stream = BUSY.streams[0]
    source = cluster.primary_of(stream)
    target = next(s for s in cluster.servers if s is not source and ask(s, "ROLE")[0] == "master")
    run = run_on(cluster, BUSY, lambda: move(cluster, stream, source, target))
    assert cluster.primary_of(stream) is target
    assert_carried_on(run)
    assert not run.inversions
    assert run.processed == run.acked == 1600
    assert not any(run.lost_by_server)
    assert SET_BACK not in {event.kind for event in run.events}


def test_a_failover_on_a_cluster_of_ones_own() -> None:
    """As an action: the server of the first shard dies, and all others wait until its replica has been promoted."""
    scenario = (
        BUSY.replace(primaries=3, replicas=1, duration=1.0).with_rate(200).with_faults("failover at 500ms for 1s")
    )
    simulated = Lab(scenario).run()
    live = Lab(scenario, engine="live").run()
    for run in (simulated, live):
        assert not run.errors
        assert (run.added, run.lost, run.trimmed, run.pending, run.undelivered) == (200, 0, 0, 0, 0)
        assert set(run.ledger.added) == {*run.ledger.processed, *run.lost_by_server.unprocessed}
        assert not run.inversions
        assert run.broken() == []
        assert len(run.ledger.outages) == 1
    assert simulated.ledger.outages == [(0.5, 1.5)]
    assert not any(simulated.lost_by_server)
    back = {place_of(event.id)[0] for event in live.events if event.kind == SET_BACK}
    assert "0/" in back
    assert len(back) < 8
