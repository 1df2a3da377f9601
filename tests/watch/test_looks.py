"""What a look tells, on servers of each kind, and how it is shown."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import fields
from html import unescape
from typing import Any

import pytest
import redis

from streamlab import Watch
from streamlab.results.look import Look
from tests.watch.watched import DEAD, GROUP, STREAM, Place, serving


def test_a_look_tells_what_the_server_knows(place: Place) -> None:
    """Lengths, groups, consumers, and the first pending entries with idle time and delivery count."""
    place.others.xreadgroup(GROUP, "C1", {STREAM: "0"}, count=1)
    place.others.xclaim(STREAM, GROUP, "C1", 0, ["2-0"], idle=90_000, justid=True)
    with Watch(place.url, STREAM, dead_letters=DEAD, oldest=3) as watch:
        look = watch.look()
    assert (look.stream, look.length, look.entries_added, look.dead_letters) == (STREAM, 30, 30, 2)
    assert (look.added_per_second, look.trouble) == (None, "")
    assert abs(look.at - time.time()) < 60
    group = look.group(GROUP)
    assert (group.pending, group.lag, group.why_no_lag, group.entries_read) == (17, 10, "", 20)
    assert group.last_delivered_id == "20-0"
    assert [(c.name, c.pending, c.probably_dead) for c in group.consumers] == [("C1", 10, False), ("C2", 7, False)]
    assert all(0 <= consumer.idle < 60 for consumer in group.consumers)
    assert [(e.id, e.consumer, e.delivery_count) for e in group.oldest] == [
        ("1-0", "C1", 2), ("2-0", "C1", 1), ("3-0", "C1", 1)
    ]  # fmt: skip
    assert all(low <= entry.idle < low + 60 for entry, low in zip(group.oldest, (0, 90, 0), strict=True))


def test_inactive_is_told_from_7_2_on(place: Place) -> None:
    """In seconds; None where the server does not know it."""
    with Watch(place.url, STREAM) as watch:
        told = [consumer.inactive for consumer in watch.look().group(GROUP).consumers]
    info = place.others.info("server")
    is_new = "valkey_version" in info or info["redis_version"] >= "7.2"
    assert all((each is not None and 0 <= each < 60) == is_new for each in told)


def test_rates_are_differences_between_two_looks(place: Place) -> None:
    """Added, and acknowledged: read and not pending any more; reading alone is no progress."""
    with Watch(place.url, STREAM) as watch:
        first = watch.look()
        for number in range(100, 104):
            place.others.xadd(STREAM, {"number": number}, id=f"{number}-0")
        place.others.xreadgroup(GROUP, "C2", {STREAM: ">"}, count=5)
        place.others.xack(STREAM, GROUP, "1-0", "2-0")
        time.sleep(0.05)
        second = watch.look()
    seconds = second.at - first.at
    acked = second.group(GROUP).acked_per_second
    assert first.group(GROUP).acked_per_second is None
    assert second.added_per_second == pytest.approx(4 / seconds, rel=0.5)
    assert acked == pytest.approx((second.added_per_second or 0) / 2)


@pytest.mark.parametrize(("dead_after", "dead"), [(0.05, ["C1"]), (60.0, [])])
def test_who_is_idle_for_long_with_entries_pending_is_probably_dead(
    place: Place, dead_after: float, dead: list[str], eventually: Callable[..., None]
) -> None:
    """Not who has nothing pending, nor who has asked lately; and the threshold is said."""
    place.others.xgroup_createconsumer(STREAM, GROUP, "idle")
    looks = []

    def only_c2_has_asked_lately() -> bool:
        place.others.xreadgroup(GROUP, "C2", {STREAM: "20-0"}, count=1)
        looks.append(watch.look())
        idle = {consumer.name: consumer.idle for consumer in looks[-1].group(GROUP).consumers}
        return idle["C2"] < 0.05 < min(idle["C1"], idle["idle"])

    with Watch(place.url, STREAM, dead_after=dead_after) as watch:
        eventually(only_c2_has_asked_lately, "the others have been idle")
    look = looks[-1]
    assert [consumer.name for consumer in look.group(GROUP).probably_dead] == dead
    assert look.group(GROUP).consumers[0].name == "C1"
    said = {0.05: "idle for 50.00 ms or longer", 60.0: "idle for 60.00 s or longer"}[dead_after]
    assert f"probably dead: {said} with entries pending" in str(look)


def test_only_the_group_that_was_asked_for(place: Place) -> None:
    """Otherwise all of them."""
    place.others.xgroup_create(STREAM, "mail", "0")
    assert {group.name for group in Watch(place.url, STREAM).look().groups} == {GROUP, "mail"}
    assert [group.name for group in Watch(place.url, STREAM, "mail").look().groups] == ["mail"]


@pytest.mark.parametrize(
    ("group", "deletes", "why"),
    [("first", "25-0", "25-0 was deleted before the group was given it"), ("middle", "", "begins in the middle")],
)
def test_an_unknown_lag_is_explained(real: Place, group: str, deletes: str, why: str) -> None:
    """An entry was deleted in front of the group; or the group began where nobody had counted."""
    real.others.xgroup_create(STREAM, "first", "0")
    real.others.xgroup_create(STREAM, "middle", "7-0")
    if deletes:
        real.others.xdel(STREAM, deletes)
    look = Watch(real.url, STREAM).look().group(group)
    assert look.lag is None
    assert why in look.why_no_lag
    assert f"lag of {group} unknown: {look.why_no_lag}" in str(Watch(real.url, STREAM).look())


def test_redis_6_2_tells_less(real: Place) -> None:
    """No entries-added, entries-read, lag nor inactive: it is said that they are unknown, and nothing is guessed."""
    client: Any = redis.Redis.from_url(real.url)
    later = {"entries-added", "entries-read", "lag", "max-deleted-entry-id", "recorded-first-entry-id", "inactive"}
    for name in ("XINFO STREAM", "XINFO GROUPS", "XINFO CONSUMERS"):
        usual = client.response_callbacks[name]

        def old(reply: Any, usual: Any = usual, **options: Any) -> Any:
            made = usual(reply, **options)
            lines = made if isinstance(made, list) else [made]
            cut = [{key: value for key, value in line.items() if key not in later} for line in lines]
            return cut if isinstance(made, list) else cut[0]

        client.set_response_callback(name, old)
    watch = Watch(client, STREAM)
    watch.look()
    look = watch.look()
    group = look.group(GROUP)
    assert (look.length, look.entries_added, look.added_per_second) == (30, None, None)
    assert (group.pending, group.entries_read, group.lag, group.acked_per_second) == (17, None, None, None)
    assert group.why_no_lag == "this server does not tell it (Redis does from 7.0 on)"
    assert group.consumers[0].inactive is None


# ---- what is shown ---------------------------------------------------------------------------------


def test_text_and_html_show_all_tables() -> None:
    """Groups, consumers, oldest entries: the same cells in each."""
    with serving("embedded") as place:
        look = Watch(place.url, STREAM, dead_letters=DEAD).look()
    said = [cell for t in look.as_tables() for cell in (*t.lines, *t.head, *(c for row in t.rows for c in row))]
    html = re.findall(r"(?:<b>|<div>|<th[^>]*>|<td[^>]*>)([^<]*)</", look._repr_html_())
    assert [unescape(cell) for cell in html] == said
    assert re.sub(r"\s+", "", str(look)) == re.sub(r"\s+", "", "".join(said))
    assert len(look.as_tables()) == 3
    assert f"30 entries, 2 dead letters in {DEAD}" in said[0]
    assert {field.name for field in fields(Look)} == set(json.loads(look.to_json()))


def test_the_dead_come_first_where_there_are_many(real: Place) -> None:
    """Of a hundred consumers a dozen are shown, and it is said how many more there are."""
    for number in range(100):
        real.others.xgroup_createconsumer(STREAM, GROUP, f"A{number}")
    time.sleep(0.01)
    look = Watch(real.url, STREAM, dead_after=0.005).look()
    assert [consumer.name for consumer in look.group(GROUP).consumers[:2]] == ["C1", "C2"]
    _, table, _ = look.as_tables()
    assert [row[0] for row in table.rows[:2]] == ["C1", "C2"]
    assert (len(table.rows), table.rows[-1][0]) == (12, "… 91 more")
    assert len(look.group(GROUP).consumers) == 102
