"""What a snapshot says of shards and of servers: who owns what and until when, who is alive, who lacks what."""

from __future__ import annotations

from typing import Any

import pytest

from streamlab.actors import Recovery
from streamlab.actors.events import ACKED, ADDED
from streamlab.lab.lab import Lab
from streamlab.results.events import Event
from streamlab.results.ledger import Ledger
from streamlab.results.run import EngineName
from streamlab.results.servers import Servers, nodes_of_cluster
from streamlab.results.shards import Lease, Shards
from streamlab.results.snapshot import Snapshot
from streamlab.scenario import Arrivals, Scenario, Service, consumers, load_scenario, producers
from tests.lab.test_failing_servers import STEADY

#: A second and a half without a word, and one's shards are another's.
SHARDED = Scenario(
    name="seen",
    producers=producers(1, Arrivals("constant", rate=40)),
    consumers=consumers(2, Service("constant", mean=0.005)),
    duration=60.0,
    recovery=Recovery("autoclaim", min_idle=1.5, interval=0.05),
    shards=4,
)


def owners(snapshot: Snapshot) -> dict[int, str]:
    """Return who owns which shards by a lease that is not over."""
    return {shard.number: shard.owner for shard in snapshot.shards if shard.lease}


def test_a_lease_is_seen_to_run_out_and_another_takes_the_shard(engine: EngineName) -> None:
    """Two have two each; when one is killed its leases become shorter, what is added waits, and the other has all."""
    with Lab(SHARDED, engine=engine) as lab:
        both = lab.wait_until(lambda now: sorted(owners(now).values()) == ["C1", "C1", "C2", "C2"])
        assert [shard.number for shard in both.shards] == [0, 1, 2, 3]
        assert all(shard.lease is not None and 0 < shard.lease <= 1.5 for shard in both.shards)
        mine = [number for number, owner in owners(both).items() if owner == "C2"]
        lab.kill("C2")
        killed = lab.now
        early = lab.wait_until(lambda now: now.at > killed + 0.1).shards
        late = lab.wait_until(lambda now: now.at > killed + 0.3).shards
        for number in mine:
            first, then = early[number], late[number]
            assert (first.owner, then.owner) == ("C2", "C2")
            assert 0 <= (then.lease or 0) < (first.lease or 0) < 1.5
        assert sum(late[number].backlog for number in mine) > 0
        after = lab.wait_until(lambda now: [*owners(now).values()] == ["C1"] * 4 and now.backlog == 0)
        assert after.n_pending == sum(shard.pending for shard in after.shards)
        assert all(shard.backlog == 0 for shard in after.shards)


@pytest.mark.parametrize(("granted", "left"), [(9.0, 0.5), (9.9, 1.4), (10.4, 1.5), (8.0, 0.0)])
def test_of_a_lease_no_more_is_left_than_was_given(granted: float, left: float) -> None:
    """Also if it was prolonged between the moment that a snapshot is of and the server's answer."""
    shards = Shards(SHARDED)
    shards.enter(Event(2.0, ADDED, "P1", "0/2000-0"), "workers")
    leases = {0: Lease("C1", round(granted * 1000), 1500)}
    first, *others = shards.asked("workers", Ledger(SHARDED), 10.0, leases, {})
    assert first.lease == pytest.approx(left)
    assert [shard.lease for shard in others] == [0.0, 0.0, 0.0]


def test_what_waits_and_is_pending_is_counted_by_shards() -> None:
    """Together it is what the snapshot says of all; a shard that was given back is nobody's."""
    with Lab("sharded") as lab:
        for at in (1.0, 1.6, 2.0, 2.9):
            lab.run_until(at)
            now = lab.snapshot()
            assert sum(shard.backlog for shard in now.shards) == now.backlog
            assert sum(shard.pending for shard in now.shards) == now.n_pending
        lab.run_until(60.0)
        assert owners(lab.snapshot()) == {}
    with Lab("crash") as lab:
        assert (lab.snapshot().shards, lab.snapshot().servers) == ((), ())


@pytest.mark.parametrize(
    ("servers", "faults"),
    [
        ({"replicas": 1, "replication_delay": 0.5}, ["failover at 3.51s for 1s"]),
        ({"replicas": 1}, ["failover at 3.51s for 1s"]),
        ({"replicas": 1, "replication_delay": 0.2}, ["network-cut at 3s for 1s", "failover at 3.51s for 1s"]),
        ({"replicas": 1}, ["network-cut at 1s for 1s", "failover at 3.51s for 1s"]),
        ({"replicas": 1}, ["network-cut at 1s for 2s", "network-cut at 2.5s for 2s", "failover at 3.51s for 1s"]),
        ({"persistence": "rdb"}, ["server-down at 3.51s for 500ms"]),
        ({"persistence": "none"}, ["server-down at 3.51s for 500ms"]),
        ({"persistence": "aof-everysec"}, ["power-loss at 3.51s for 500ms"]),
        ({"persistence": "aof-always"}, ["power-loss at 3.51s for 500ms"]),
    ],
)
def test_what_a_server_lacks_when_it_dies_is_what_is_lost(servers: dict[str, Any], faults: list[str]) -> None:
    """So many entries, and acknowledgements of what is still there; by name, as the whole run tells."""
    scenario = STEADY.replace(**servers).with_faults(*faults)
    with Lab(scenario) as lab:
        lab.run_until(3.505)
        lacking = lab.snapshot().servers[-1]
        lab.run_until(3.6)
        down = lab.snapshot().servers
        run = lab.run()
        assert lab.snapshot().forgotten == run.lost_by_server
    assert (lacking.is_alive, down[0].is_alive) == (True, False)
    assert down[-1][3:] == lacking[3:]
    lost = run.lost_by_server
    acks_of_lost = [i for i in lost.entries if run.ledger.acked.get(i, 9.9) < 3.51]
    assert (lacking.entries, lacking.acks) == (len(lost.entries), len(lost.acks) + len(acks_of_lost))


def test_who_is_promoted_is_the_primary_and_the_others_copy_it() -> None:
    """Two replicas, two failovers; who was the primary stays dead."""
    scenario = STEADY.replace(replicas=2, replication_delay=0.1)
    scenario = scenario.with_faults("failover at 2s for 500ms", "failover at 3.5s for 500ms")
    seen = []
    with Lab(scenario) as lab:
        for at in (1.0, 2.1, 3.0, 4.5):
            lab.run_until(at)
            seen.append([(each.role, each.is_alive) for each in lab.snapshot().servers])
    dead, primary, replica = ("primary", False), ("primary", True), ("replica", True)
    assert seen == [
        [primary, replica, replica],
        [dead, replica, replica],
        [dead, primary, replica],
        [dead, dead, primary],
    ]


@pytest.mark.parametrize("is_cut", [False, True])
def test_who_is_left_copies_the_new_primary_at_once(is_cut: bool) -> None:
    """It lacks what that was told in the last moments only, also if it had been cut off from the one before."""
    scenario = STEADY.replace(replicas=2, replication_delay=0.2)
    cut = ["network-cut at 1s for 4s"] if is_cut else []
    with Lab(scenario.with_faults(*cut, "failover at 2s for 500ms", "failover at 4s for 500ms")) as lab:
        lab.run_until(4.1)
        before, lacking = lab.snapshot().forgotten, lab.snapshot().servers[-1]
        lab.run_until(4.6)
        after = lab.snapshot().forgotten
    assert len(before.entries) >= (45 if is_cut else 8)
    assert 8 <= lacking.entries == len(after.entries) - len(before.entries) <= 12


def test_a_server_that_keeps_nothing_has_lost_all_each_time() -> None:
    """Afterwards it lacks what it was told since; and to know that takes no more room in a long run."""
    with Lab(STEADY.replace(persistence="none").with_faults("server-down at 2s for 500ms")) as lab:
        lab.run_until(4.0)
        now, recent = lab.snapshot(), lab.recent
        since = [at for at in recent.ledger.added.values() if at >= 2.0]
        assert now.servers[0].entries == len(since) > 50
        assert recent.servers is not None
        assert len(recent.servers._told) == 1


def test_the_nodes_of_a_cluster_are_told_by_their_ports() -> None:
    """Primaries first, as CLUSTER NODES tells of them: what each serves or copies, and who has failed."""

    def node(node_id: str, flags: str, master: str = "-", slots: Any = ()) -> dict[str, Any]:
        return {"node_id": node_id, "flags": flags, "master_id": master, "slots": slots}

    told = {
        "127.0.0.1:7000": node("c", "slave", "b"),
        "127.0.0.1:7001": node("a", "master,fail", slots=()),
        "127.0.0.1:7002": node("b", "myself,master", slots=[["0", "5460"], ["7000"]]),
        "127.0.0.1:7004": node("d", "slave,fail?", "z"),
    }
    assert [tuple(each) for each in nodes_of_cluster(told)] == [
        (":7001", "primary", False, 0, 0, "serves 0 slots"),
        (":7002", "primary", True, 0, 0, "serves 5,462 slots"),
        (":7000", "replica", True, 0, 0, "copies :7002"),
        (":7004", "replica", False, 0, 0, "copies :?"),
    ]


def test_real_replicas_lack_what_was_told_since_they_were_cut_off() -> None:
    """So long before a failover that is planned, or when one is asked for; and it stays so until one is promoted."""
    planned = load_scenario("failover")  # at 3.7 s, half a second behind
    by_hand = planned.replace(faults=(), by_hand=planned.faults)
    for scenario, since in (planned, 3.2), (by_hand, 3.7):
        servers, ledger = Servers(scenario, is_live=True), Ledger(scenario)
        for n in range(40):
            servers.enter(Event(n / 10 + 0.05, ADDED if n % 2 else ACKED, "P1", f"{n + 1}-0"), ledger)
            _, replica = servers.views(n / 10 + 0.06)
            told = [i % 2 for i in range(n + 1) if since < i / 10 + 0.05]
            assert (replica.entries, replica.acks) == (sum(told), len(told) - sum(told)), n
