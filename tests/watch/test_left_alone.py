"""Nothing is written, nothing waits, nothing long is asked for; and nothing is claimed that was not confirmed."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from itertools import islice

import pytest

from streamlab import Watch, sync_stream_client
from streamlab.servers.client import ServerUnusable
from tests.watch.watched import DEAD, GROUP, STREAM, Place

#: What a client sends to introduce itself.
GREETINGS = {"CLIENT", "HELLO", "SELECT", "AUTH"}


def sent_while(place: Place, doing: Callable[[], object]) -> list[list[str]]:
    """Return the commands that a server was sent meanwhile, as MONITOR tells them."""
    seen: list[list[str]] = []
    is_on = threading.Event()

    def listen() -> None:
        with sync_stream_client(place.url) as client, client.monitor() as monitor:
            is_on.set()
            while (command := monitor.next_command()["command"]) != "ECHO end":
                seen.append(command.split())

    thread = threading.Thread(target=listen)
    thread.start()
    assert is_on.wait(10)
    doing()
    place.others.echo("end")
    thread.join(10)
    assert not thread.is_alive()
    return seen


def test_it_never_writes_nor_blocks(real: Place) -> None:
    """By MONITOR: whatever it looks at and does not find, each command is a reading one that cannot block."""

    def look_at_everything() -> None:
        with Watch(real.url, STREAM, dead_letters=DEAD) as watch:
            for _ in islice(watch.every(0.01), 3):
                pass
            with pytest.raises(ValueError, match="not confirmed"):
                watch.autoclaim(GROUP, "C1", 0.0)
        with pytest.raises(ServerUnusable):
            Watch(real.url, "nowhere").look()

    sent = sent_while(real, look_at_everything)
    names = {command[0].upper() for command in sent} - GREETINGS
    assert names == {"XINFO", "XPENDING", "XLEN", "SCAN"}
    assert {c[1].upper() for c in sent if c[0].upper() == "XINFO"} == {"STREAM", "GROUPS", "CONSUMERS"}
    for name in ("XINFO|STREAM", "XINFO|GROUPS", "XINFO|CONSUMERS", "XPENDING", "XLEN", "SCAN"):
        ((_, _, flags, *_),) = real.others.execute_command("COMMAND INFO", name)
        assert "readonly" in flags
        assert not {"write", "blocking"} & set(flags)
    pages = [command for command in sent if command[0].upper() == "XPENDING"]
    assert all(len(page) == 6 and int(page[5]) <= 1_000 for page in pages)


def test_one_connection(real: Place, eventually: Callable[..., None]) -> None:
    """However often it looks; and none afterwards."""

    def connections() -> set[str]:
        return {client["id"] for client in real.others.client_list() if client["name"] == "streamlab-watch"}

    before, n_before = connections(), real.others.info("stats")["total_connections_received"]
    with Watch(real.url, STREAM, dead_letters=DEAD) as watch:
        for _ in islice(watch, 2):
            assert len(connections() - before) == 1
    assert real.others.info("stats")["total_connections_received"] == n_before + 1
    eventually(lambda: connections() <= before, "it is closed")


def test_a_clients_own_connection_stays_open(real: Place) -> None:
    """It is not the watch's to close."""
    connection = real.others.client_id()
    with Watch(real.others, STREAM) as watch:
        watch.look()
    assert real.others.client_id() == connection


def test_a_look_costs_the_same_with_a_long_pending_list(real: Place) -> None:
    """By the server's own count of the time in commands: 20,000 pending entries against 17."""

    def microseconds() -> int:
        with Watch(real.url, STREAM) as watch:
            watch.look()
            real.others.config_resetstat()
            for _ in range(50):
                watch.look()
        stats = real.others.info("commandstats")
        return sum(int(each["usec"]) for name, each in stats.items() if name.startswith("cmdstat_x"))

    few = microseconds()
    pipe = real.others.pipeline(transaction=False)
    for number in range(20_000):
        pipe.xadd(STREAM, {"number": number})
    pipe.xreadgroup(GROUP, "C1", {STREAM: ">"}, count=20_000)
    pipe.execute()
    assert real.others.xpending(STREAM, GROUP)["pending"] > 20_000
    assert microseconds() < 5 * few + 2_000


# ---- claiming --------------------------------------------------------------------------------------


def owners(place: Place) -> dict[str, str]:
    return {row["message_id"]: row["consumer"] for row in place.others.xpending_range(STREAM, GROUP, "-", "+", 100)}


def test_a_claim_is_refused_until_it_is_confirmed(place: Place) -> None:
    """The refusal says how many entries, whose they are, and how long those have been idle; nothing changes."""
    before = owners(place)
    with Watch(place.url, STREAM) as watch:
        with pytest.raises(ValueError, match="nothing was claimed") as caught:
            watch.autoclaim(GROUP, "C2", 0.0, count=12)
        said = str(caught.value)
        assert "12 entries of group 'billing', idle for 0.00 ms or longer, would become C2's (at most 12)" in said
        assert re.search(r"10 of C1 \(idle for .*: it may still be at work on them\), 2 of C2", said)
        assert said.endswith("add confirm=True")
        with pytest.raises(ValueError, match=r"no entry of group 'billing' has been idle for 60\.00 s or longer"):
            watch.autoclaim(GROUP, "C2", 60.0)
    assert owners(place) == before


def test_a_confirmed_claim_changes_the_owner_only(place: Place) -> None:
    """No delivery is counted, and the new owner finds the entries in its own history."""
    with Watch(place.url, STREAM) as watch:
        claimed = watch.autoclaim(GROUP, "C2", 0.0, count=4, confirm=True)
        assert claimed == ["1-0", "2-0", "3-0", "4-0"]
        oldest = watch.look().group(GROUP).oldest
        assert [(e.consumer, e.delivery_count) for e in oldest] == [("C2", 1)] * 4 + [("C1", 1)]
        assert watch.autoclaim(GROUP, "C2", 60.0, confirm=True) == []


def test_more_than_one_page_is_claimed(real: Place) -> None:
    """The list is read by the thousand, and claimed by the hundred, each entry once."""
    for number in range(1_500):
        real.others.xadd(STREAM, {"number": number})
    real.others.xreadgroup(GROUP, "C1", {STREAM: ">"})
    with Watch(real.url, STREAM) as watch:
        claimed = watch.autoclaim(GROUP, "C2", 0.0, count=1_250, confirm=True)
        pending = {c.name: c.pending for c in watch.look().group(GROUP).consumers}
    assert len(set(claimed)) == len(claimed) == 1_250
    assert claimed == sorted(claimed, key=lambda each: tuple(map(int, each.split("-"))))
    assert sum(pending.values()) == 17 + 1_510
    assert pending["C1"] == 1_510 + 17 - 1_250


def test_nothing_is_claimed_for_who_is_not_there(place: Place) -> None:
    """A claim would create the consumer, and it would never ask."""
    with Watch(place.url, STREAM) as watch:
        for group, consumer in ((GROUP, "C9"), ("nowhere", "C1")):
            with pytest.raises(ServerUnusable, match=f"there is no consumer '{consumer}' of a group '{group}'"):
                watch.autoclaim(group, consumer, 0.0, confirm=True)
        with pytest.raises(ValueError, match="make no sense"):
            watch.autoclaim(GROUP, "C1", -1.0, confirm=True)
        assert [consumer.name for consumer in watch.look().group(GROUP).consumers] == ["C1", "C2"]
