"""Who had which shard when, as deliveries tell: it changes hands in good order, or when a lease is over."""

from __future__ import annotations

from itertools import pairwise

from streamlab.actors.events import CRASHED
from streamlab.lab.lab import Lab
from streamlab.scenario import load_scenario

#: Four shards, three consumers who are busy a third of the time.
QUIET = load_scenario("sharded").replace(faults=())


def test_a_tenure_ends_with_its_consumer_or_with_the_next_one() -> None:
    """In the scenario `cluster` six shards have an owner from their first entry on, but after the death of C1."""
    run = Lab("cluster").run()
    assert run.broken() == []
    (died,) = (event.at for event in run.events if event.kind == CRASHED)
    for shard in range(6):
        mine = [tenure for tenure in run.tenures if tenure.shard == shard]
        given = sorted((d.delivered, d.consumer) for d in run.ledger.deliveries if d.id.startswith(f"{shard}/"))
        assert mine[0].start == given[0][0]
        assert mine[-1].end == run.duration
        for at, name in given:
            assert name in [t.consumer for t in mine if t.start <= at <= t.end]
            assert [t.consumer for t in mine if t.start < at < t.end] in ([], [name])
        for before, after in pairwise(mine):
            assert before.consumer != after.consumer
            assert before.end == (died if before.consumer == "C1" and before.end == died else after.start)
    orphaned = [t for t in run.tenures if (t.consumer, t.end) == ("C1", died)]
    assert len(orphaned) == 2
    assert Lab(QUIET.replace(shards=None)).run().tenures == ()


def test_an_owner_that_comes_back_has_another_tenure() -> None:
    """Between the two, its shards were nobody's."""
    alone = QUIET.with_consumers(1).with_recovery(min_idle=0.6, restart_after=0.5)
    run = Lab(alone.with_faults("kill C1 at 1s")).run()
    for before, after in pairwise(run.tenures):
        if before.shard == after.shard:
            assert before.end == 1.0
            assert after.start >= 1.5
    assert len(run.tenures) == 8


def test_a_dead_owner_is_replaced_when_its_lease_is_over() -> None:
    """After two thirds of `min_idle` at the earliest: it was renewed before; and one look later at the latest."""
    for min_idle in (0.3, 0.75, 1.5):
        run = Lab(load_scenario("cluster").with_recovery(min_idle=min_idle).replace(duration=4.0)).run()
        (died,) = (event.at for event in run.events if event.kind == CRASHED)
        shards = [t.shard for t in run.tenures if t.end == died]
        taken = [min(t.start for t in run.tenures if t.shard == shard and t.start > died) for shard in shards]
        assert taken
        for at in taken:
            assert 2 / 3 * min_idle <= at - died <= 4 / 3 * min_idle + 0.15  # and then it waits for an entry
