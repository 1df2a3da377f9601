"""Keys and shards as data: what fits together, who draws which key, and where keys lie in a cluster."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from redis.crc import key_slot

from streamlab.actors import Recovery, consume_shards, shard_of
from streamlab.actors.shards import fair_share
from streamlab.scenario import Scenario, ScenarioError, from_toml, load_scenario, to_toml
from streamlab.scenario.action_texts import parse_action
from streamlab.scenario.actions import Kill
from streamlab.scenario.variations import read_over, varied
from streamlab.virtual.redis import SimulatedRedis

SHARDED = load_scenario("sharded")


def test_in_toml() -> None:
    assert from_toml(to_toml(SHARDED)) == SHARDED
    assert from_toml("shards = 2\n[recovery]\nstrategy = 'claim'").streams == ("orders:{0}", "orders:{1}")
    assert "shards" not in to_toml(load_scenario("crash"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shards": 0}, "shards is 0: give a whole number of at least 1"),
        ({"keys": 0}, "keys is 0: give a whole number of at least 1"),
        ({"recovery": Recovery("restart")}, "recovery.strategy is 'restart'"),
        ({"recovery": Recovery("read-claim")}, "recovery.strategy is 'read-claim'"),
        ({"recovery": Recovery("claim", max_deliveries=1)}, "recovery.max_deliveries is 1"),
        ({"recovery": Recovery("claim", dead_letter="dead")}, "recovery.dead_letter is 'dead'"),
        ({"recovery": Recovery("claim", remove_after=9)}, "recovery.remove_after is for one stream"),
        ({"maxlen": 100}, "maxlen is 100: it is for one stream"),
        ({"persistence": "rdb"}, "persistence says what one stream loses"),
        ({"replicas": 1}, "replicas are of a server with one stream"),
        ({"primaries": 3, "faults": ("server-down at 1s",)}, "server-down is about one server, and there are 3"),
        ({"primaries": 3, "shards": None}, "primaries are 3, and a stream lies on one server: give it shards"),
        ({"primaries": -1}, "primaries is -1"),
        ({"faults": ("stream-deleted at 1s",)}, "stream-deleted is about one stream, and there are 4 shards"),
        ({"faults": ("set-recovery claim at 1s",)}, "set-recovery is about one stream"),
        ({"producers": load_scenario("departures").producers}, "keys are 100, and entries that are replayed"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        SHARDED.replace(**changes)


def test_each_key_comes_from_the_seed_and_its_entries_go_to_one_shard() -> None:
    """The keys are the same with shards and without; with another seed they are others."""
    (producer,) = SHARDED.producers
    fields = [f for _, f in SHARDED.arrivals(producer)]
    alone = SHARDED.replace(shards=None, keys=100)
    assert [f for _, f in alone.arrivals(producer)] == fields
    keys = [f["key"] for f in fields]
    assert len(keys) == 500
    assert len(set(keys)) > 90
    assert [f["key"] for _, f in SHARDED.replace(seed=2).arrivals(producer)] != keys
    assert {f.keys() >= {"key"} for _, f in alone.replace(keys=None).arrivals(producer)} == {False}
    shards = Counter(shard_of(f"k{number}", 4) for number in range(100))
    assert min(shards.values()) > 15
    assert [shard_of(key, 4) for key in ("k7", "k8", "ü")] == [0, 1, 1]  # in every process: hash() would not do


@pytest.mark.parametrize("stream", ["orders", "{orders}", "shop:{orders}:new"])
def test_what_belongs_to_a_stream_has_its_slot(stream: str) -> None:
    """Dead letters, effects of each group, leases: in a cluster on the server of their stream, or shard."""
    both = load_scenario("two-groups").replace(stream=stream).with_recovery("autoclaim")
    for scenario in (both, both.replace(shards=5)):
        n_slots = len({key_slot(key.encode()) for key in scenario.streams})
        assert n_slots == (5 if scenario.shards and "{" not in stream else 1)
        for key in scenario.streams:
            beside = [scenario.recovery.dead_letter_of(key), *scenario.leases_at(key)]
            beside += [scenario.ledger_key_of(group, key) for group in scenario.groups]
            assert {key_slot(each.encode()) for each in beside} == {key_slot(key.encode())}
            assert len({*beside, key}) == len(beside) + 1
    assert both.ledger_key_of("workers") == ("{orders}:effects" if "shop" not in stream else f"{stream}:effects")


def test_varied() -> None:
    over = read_over(["shards=1..3", "keys=10,20"])
    assert over == {"shards": [1, 2, 3], "keys": [10, 20]}
    scenario = varied(load_scenario("one-to-many"), {"shards": 3, "keys": 10})
    assert (scenario.shards, scenario.n_keys, scenario.recovery.strategy) == (3, 10, "autoclaim")
    assert varied(SHARDED, {"shards": 2}).recovery == SHARDED.recovery
    assert "2 shards, 100 keys" in str(scenario.replace(shards=2, keys=None).as_table())


def test_shares_are_all_shards_and_fair() -> None:
    for n_shards in range(1, 20):
        for n_members in range(1, 20):
            shares = [fair_share(n_members, n, n_shards) for n in range(n_members)]
            assert sum(n for n, _ in shares) == n_shards
            assert max(n for n, _ in shares) - min(n for n, _ in shares) <= 1
            assert [first for _, first in shares] == [sum(n for n, _ in shares[:i]) for i in range(n_members)]


def test_what_can_be_done_is_not_refused() -> None:
    assert SHARDED.with_faults("kill C1 at 1s").faults[-1] == Kill("C1", 1.0) == parse_action("kill C1 at 1s")
    assert isinstance(SHARDED, Scenario)


def test_an_actor_without_a_recovery_that_claims_is_refused() -> None:
    async def handle(shard: str, entry_id: str, fields: dict[str, str]) -> None:
        """Do nothing."""

    for recovery in (Recovery(), Recovery("autoclaim", max_deliveries=1)):
        with pytest.raises(ValueError, match="needs a shard, and a recovery"):
            asyncio.run(consume_shards(SimulatedRedis(), ["s:{0}"], "g", "C1", handle, recovery=recovery))
