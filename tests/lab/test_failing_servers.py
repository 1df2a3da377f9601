"""Servers that lose what they had acknowledged: how much is lost, and that it is told by name."""

from __future__ import annotations

from typing import Any

import pytest

from streamlab.actors import Recovery
from streamlab.lab.lab import Lab, LabError
from streamlab.results.run import EngineName, Run
from streamlab.scenario import Arrivals, Scenario, ScenarioError, Service, consumers, load_scenario, producers

#: An entry every 20 ms; consumers take 60 ms: up to three are in work, and each is acknowledged 60 ms later.
STEADY = Scenario(
    name="steady",
    producers=producers(1, Arrivals("constant", rate=50)),
    consumers=consumers(4, Service("constant", mean=0.06)),
    duration=5.0,
    recovery=Recovery("autoclaim", min_idle=1.0, interval=0.1),
)
SYNCED, SNAPSHOT, CRASH = 3.0, 2.0, 3.51


def run(fault: str, **servers: Any) -> Run:
    return Lab(STEADY.replace(**servers).with_faults(fault)).run()


def numbers(run: Run, ids: tuple[str, ...]) -> list[int]:
    return [run.numbers[entry_id] for entry_id in ids]


@pytest.mark.parametrize(
    ("persistence", "fault", "kept"),
    [
        ("none", "server-down", -1.0),
        ("rdb", "server-down", SNAPSHOT),
        ("rdb", "power-loss", SNAPSHOT),
        ("aof-everysec", "server-down", CRASH),
        ("aof-everysec", "power-loss", SYNCED),
        ("aof-always", "server-down", CRASH),
        ("aof-always", "power-loss", CRASH),
    ],
)
def test_a_server_comes_back_as_it_was_when_it_last_wrote(persistence: str, fault: str, kept: float) -> None:
    """All that was added since is lost, and what was acknowledged since is delivered again, of what is still there."""
    it = run(f"{fault} at {CRASH}s for 500ms", persistence=persistence)
    added = {it.numbers[entry_id]: at for entry_id, at in it.ledger.added.items()}
    acked = {it.numbers[entry_id]: at for entry_id, at in it.ledger.acked.items()}
    assert numbers(it, it.lost_by_server.entries) == [n for n, at in added.items() if kept < at < CRASH]
    assert set(it.lost_by_server.entries).issubset(it.ledger.added)
    again = [n for n, at in acked.items() if added[n] <= kept < at < CRASH]
    assert numbers(it, it.lost_by_server.acks) == again
    assert bool(again) == (0 < kept < CRASH)
    assert (it.lost, it.trimmed, it.pending, it.undelivered) == (0, 0, 0, 0)
    assert it.broken() == []


def test_what_is_lost_is_told_by_name_and_in_figures() -> None:
    """In the verdict, the summary, the table; and in the state and the story of an entry that nobody had processed."""
    two = STEADY.replace(persistence="rdb").with_consumers(2)  # some wait for them
    it = Lab(two.with_faults(f"server-down at {CRASH}s for 500ms")).run()
    lost = it.lost_by_server
    assert it.summary()["lost_by_server"] == {"entries": 75, "unprocessed": 58, "acks": 35}
    words = (
        f"75 entries, {lost.entries[0]} to {lost.entries[-1]} (58 never processed) "
        f"and 35 acknowledgements, {lost.acks[0]} to {lost.acks[-1]}"
    )
    (position,) = [event.id for event in it.events if event.kind == "set_back"]
    assert it.numbers[position] == max(
        it.numbers[d.id] for d in it.ledger.deliveries if round(d.delivered, 6) <= SNAPSHOT
    )
    assert (it.trimmed, it.lost) == (0, 0)
    assert (it.series.backlog[-1], it.series.pending[-1], it.ledger.backlog.size) == (0, 0, 0)
    verdict = next(verdict for verdict in it.verdicts if verdict.rule == "I1")
    assert verdict.words.endswith(f"but for what the server lost: {words}")
    assert f"lost by the server: {words}" in it.as_table().lines
    assert {it.state_of(entry_id) for entry_id in lost.unprocessed} == {"lost by the server"}
    assert {it.state_of(entry_id) for entry_id in set(lost.entries) - {*lost.unprocessed}} == {"acked"}
    with Lab(it.scenario) as lab:
        lab.run()
        story = "\n".join(lab.story(lost.entries[0]))
    assert "lab: the server has forgotten it" in story
    assert "lab: the server is as it was at an earlier moment" in story


def test_who_loses_nothing_says_so() -> None:
    """And a scenario that says nothing of servers does not speak of them, and has the same events as ever."""
    it = run(f"server-down at {CRASH}s for 500ms", persistence="aof-always")
    assert "lost by the server: nothing" in it.as_table().lines
    plain = run(f"server-down at {CRASH}s for 500ms")
    assert "lost_by_server" not in plain.summary()
    assert plain.events == it.events


def test_each_outage_takes_what_it_takes() -> None:
    """What was lost is told once; and a process that is killed has lost nothing, whatever befell its machine before."""
    twice = STEADY.replace(persistence="none").with_faults(
        "server-down at 1.51s for 500ms", "server-down at 3.51s for 1s"
    )
    it = Lab(twice).run()
    lost = [event.id for event in it.events if event.kind == "lost"]
    assert len(lost) == len(set(lost)) == sum(at < 3.51 for at in it.ledger.added.values())
    machine = twice.replace(persistence="aof-everysec", faults=()).with_faults(
        "power-loss at 1.51s for 500ms", "server-down at 3.51s for 1s"
    )
    it = Lab(machine).run()
    assert {event.at for event in it.events if event.kind in ("lost", "set_back")} == {2.01}


def test_an_effect_on_the_server_is_forgotten_with_it() -> None:
    """Then nothing can be said of effects."""
    it = run(f"server-down at {CRASH}s for 500ms", persistence="rdb", sink="idempotent")
    verdict = next(verdict for verdict in it.verdicts if verdict.rule == "I2")
    assert verdict.words == "not looked at: the server has forgotten effects, too"
    assert it.broken() == []


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.5])
def test_a_replica_lacks_what_it_was_not_told(delay: float) -> None:
    """Entries and acknowledgements of the last moments; meanwhile nobody takes writes."""
    it = run(f"failover at {CRASH}s for 1.5s", replicas=1, replication_delay=delay)
    kept = CRASH - delay
    added = {it.numbers[entry_id]: at for entry_id, at in it.ledger.added.items()}
    acked = {it.numbers[entry_id]: at for entry_id, at in it.ledger.acked.items()}
    assert numbers(it, it.lost_by_server.entries) == [n for n, at in added.items() if kept < at < CRASH]
    again = [n for n, at in acked.items() if added[n] <= kept < at < CRASH]
    assert numbers(it, it.lost_by_server.acks) == again
    assert it.ledger.outages == [(CRASH, CRASH + 1.5)]
    assert (it.lost, it.pending, it.undelivered, it.broken()) == (0, 0, 0, [])


def test_replicas_that_are_cut_off_lack_all_since_then() -> None:
    """Unless they have caught up before the primary dies; of overlapping cuts the last to end counts."""
    cut = "network-cut at 2.51s for 400ms", "network-cut at 2.71s for 600ms"
    late, early = (
        Lab(STEADY.replace(replicas=1).with_faults(*cut, f"failover at {at}s for 1s")).run() for at in (3.51, 3.21)
    )
    assert late.lost_by_server.counts() == {"entries": 0, "unprocessed": 0, "acks": 0}
    at = [early.ledger.added[entry_id] for entry_id in early.lost_by_server.entries]
    assert (min(at), max(at)) == (2.52, 3.2)


def test_a_failover_by_hand_loses_what_a_cut_network_has_kept_back() -> None:
    """A method each; what is done is in the scenario, and done again with it."""
    with Lab(STEADY.replace(replicas=1)) as lab:
        lab.run_until(2.01)
        lab.network_cut(duration=2.0)
        lab.run_until(3.01)
        lab.failover(duration=0.5)
        it = lab.run()
    assert [action.word for action in it.scenario.by_hand] == ["network-cut", "failover"]
    assert len(it.lost_by_server.entries) == 50
    assert Lab(it.scenario).run().events == it.events


def test_each_failover_takes_a_replica() -> None:
    """With none left it is refused, and while nobody is primary as well: that is written down, and the run goes on."""
    faults = [f"failover at {at}s for 500ms" for at in (1, 1.2, 2, 3)]
    with Lab(STEADY.replace(replicas=2, replication_delay=0.1).with_faults(*faults)) as lab:
        it = lab.run()
        said = [command.reply for command in lab.commands if command.text.startswith("failover")]
    assert [words.startswith("(error)") for words in said] == [False, True, False, True]
    assert "no replica is left" in said[3]
    assert [begin for begin, _ in it.ledger.outages] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("servers", "faults", "words"),
    [
        ({"replicas": 1, "persistence": "rdb"}, (), "persistence is what a single server keeps"),
        ({"replication_delay": 0.1}, (), "replication_delay is 0.1, of no replica: give replicas = 1"),
        ({"persistence": "rdb", "maxlen": 10}, (), "maxlen trims silently"),
        ({"persistence": "aof"}, (), "persistence is 'aof'"),
        ({}, ("power-loss at 1s",), "power-loss: what is on the disk?"),
        ({}, ("failover at 1s",), "failover: there is no replica: give the scenario replicas = 1"),
        ({}, ("network-cut at 1s",), "network-cut: there is no replica"),
        ({"replicas": 1}, ("server-down at 1s",), "server-down: a replica takes the place"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(servers: dict[str, Any], faults: tuple[str, ...], words: str) -> None:
    """When the scenario is made; and what is done by hand, when it is done."""
    with pytest.raises(ScenarioError, match=words.replace("?", r"\?")):
        STEADY.replace(**servers, faults=faults)
    for fault in faults:
        with Lab(STEADY.replace(**servers)) as lab, pytest.raises(ScenarioError, match=words.replace("?", r"\?")):
            lab.do(fault.partition(" ")[0])


@pytest.mark.redis
def test_a_server_that_was_given_is_neither_killed_nor_replaced(redis_url: str) -> None:
    """A scenario that says what servers it has starts them itself."""
    for name in ("redis-crash", "failover"):
        with pytest.raises(LabError, match="leave the URL out"):
            Lab(name, engine="live", redis_url=redis_url).run()


# ---- on both engines ---------------------------------------------------------------------------------

#: How much is lost, by either engine, for what befalls them: entries and acknowledgements.
SHORT = STEADY.replace(duration=3.6, drain=20.0)
BOTH = {
    "rdb": (SHORT.replace(persistence="rdb").with_faults("server-down at 2.99s for 100ms"), 49),
    "power loss": (SHORT.replace(persistence="aof-everysec").with_faults("power-loss at 2.99s for 100ms"), 49),
    "failover": (SHORT.replace(replicas=1, replication_delay=0.9).with_faults("failover at 2.99s"), 45),
    "a network cut": (SHORT.replace(replicas=1).with_faults("network-cut at 2.1s for 5s", "failover at 2.99s"), 44),
}


@pytest.mark.parametrize("what", BOTH)
def test_both_engines_lose_as_much(what: str, engine: EngineName) -> None:
    """Within a fifth: for the same time since the last snapshot, sync or copy."""
    scenario, entries = BOTH[what]
    it = Lab(scenario, engine=engine).run()
    lost, added, ((down, _),) = it.lost_by_server, it.ledger.added, it.ledger.outages
    assert len(lost.entries) == pytest.approx(entries, rel=0.2)
    # How far consumers had come, and so what they had acknowledged since, is this very run's affair.
    kept = added[min(lost.entries, key=added.__getitem__)]
    acked = [entry_id for entry_id, at in it.ledger.acked.items() if added[entry_id] < kept < at < down]
    assert len(lost.acks) == pytest.approx(len(acked), rel=0.2, abs=2)
    assert lost.acks
    assert {*lost.acks}.isdisjoint(lost.entries)
    assert (it.lost, it.pending, it.undelivered, it.broken()) == (0, 0, 0, [])
    assert "disconnected" in {event.kind for event in it.events}


def test_named_scenarios_lose_entries_and_acknowledgements() -> None:
    """Both, and some that nobody has processed."""
    for name in ("redis-crash", "failover"):
        it = Lab(load_scenario(name)).run()
        assert min(it.lost_by_server.counts().values()) > 20
        assert it.broken() == []


def test_each_group_is_set_back_to_where_it_was() -> None:
    """Entries are lost for all groups; acknowledgements by each for itself."""
    first, *others = STEADY.consumers
    slow = first.replace(name="B1", group="billing", service=Service("constant", mean=0.04))
    it = Lab(
        STEADY.replace(persistence="rdb", consumers=(first, *others, slow)).with_faults(
            f"server-down at {CRASH}s for 500ms"
        )
    ).run()
    workers, billing = it.of("workers").lost_by_server, it.of("billing").lost_by_server
    assert [sum(e.kind == "set_back" for e in it.of(group).events) for group in ("workers", "billing")] == [1, 1]
    assert workers.entries == billing.entries
    assert len(workers.entries) == 75
    assert [len(workers.acks), len(billing.acks)] == [3, 37]
    assert it.broken() == []
