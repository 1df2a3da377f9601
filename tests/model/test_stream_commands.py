"""The command grammar: what a client may write, and what it is told. The rest is in differential/."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from streamlab.model.commands import CommandError, Reply, StreamCommands, Waiter
from streamlab.model.commands.arguments import entry_ids

Execute = Callable[..., Reply | Waiter]


@pytest.fixture
def commands() -> StreamCommands:
    return StreamCommands()


def run(commands: StreamCommands, *lines: str, now_ms: int = 1000) -> Reply | Waiter:
    """Execute commands; return the last one's reply."""
    reply: Reply | Waiter = None
    for line in lines:
        reply = commands.execute(line.split(), now_ms)
    return reply


def error(commands: StreamCommands, line: str) -> str:
    with pytest.raises(CommandError) as raised:
        run(commands, line)
    return str(raised.value)


@pytest.mark.parametrize(
    "args",
    [
        ["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"],
        ["XGROUP CREATE", "s", "g", "0", "MKSTREAM"],
        ["xgroup create", "s", "g", "0", "mkstream"],
    ],
)
def test_two_words_in_one_argument(commands: StreamCommands, args: list[str]) -> None:
    """Clients may send a command's two words as one argument, in any case."""
    assert commands.execute(args, 0) == "OK"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("XADD s *", "ERR wrong number of arguments for 'xadd' command"),
        ("XGROUP CREATE s g", "ERR wrong number of arguments for 'xgroup|create' command"),
        ("XGROUP", "ERR wrong number of arguments for 'xgroup' command"),
        ("XGROUP FOO s g", "ERR unknown subcommand 'FOO'. Try XGROUP HELP."),
        ("FOO a b", "ERR unknown command 'FOO', with args beginning with: 'a' 'b' "),
        ("XGROUP|CREATE s g 0", "ERR unknown command 'XGROUP|CREATE', with args beginning with: 's' 'g' '0' "),
        ("XACKDEL s g IDS 1 1-1", "ERR unknown command 'XACKDEL', with args beginning with: 's' 'g' 'IDS' '1' '1-1' "),
        ("XPENDING s g", "NOGROUP No such key 's' or consumer group 'g'"),
        ("XADD plain * f 1", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("XTRIM s", "ERR wrong number of arguments for 'xtrim' command"),
        ("SET s text NX", "ERR syntax error"),
    ],
)  # fmt: skip
def test_error_texts(commands: StreamCommands, line: str, text: str) -> None:
    """Errors are the server's, word for word."""
    run(commands, "SET plain text")
    assert error(commands, line) == text


def test_bad_id_acks_nothing(commands: StreamCommands) -> None:
    """XACK with one malformed id acknowledges none of the others."""
    run(commands, "XADD s 1-1 f 1", "XGROUP CREATE s g 0", "XREADGROUP GROUP g alice STREAMS s >")
    error(commands, "XACK s g 1-1 bad")
    assert run(commands, "XPENDING s g") == [1, "1-1", "1-1", [["alice", "1"]]]


@pytest.mark.parametrize(
    "odd",
    [
        *("5", "1-2-3", "1--2", "-5", "5-", "-", "", " 7-1", "7 -1", "7-1 8-1", "+7-1", "-07-1", "٣-1", "1_0-1"),
        *("\0", "7-1\0", "7\0-1", "007-1", "0" * 200 + "-1", "18446744073709551616-1", "18446744073709551615-1"),
    ],
)  # fmt: skip
def test_many_ids_are_read_as_each_of_them(odd: str) -> None:
    """However many ids there are, and whichever is spelled in an odd way, each is what it is alone."""

    def read(texts: list[str]) -> object:
        try:
            return entry_ids(texts)
        except CommandError as error:
            return str(error)

    usual = [f"{1_700_000_000_000 + n}-{n}" for n in range(20)]
    assert entry_ids(usual) == [(1_700_000_000_000 + n, n) for n in range(20)]
    alone = read([odd])
    for place in (0, 10, 20):
        texts = [*usual[:place], odd, *usual[place:]]
        expected = alone
        if isinstance(alone, list):
            expected = [*entry_ids(usual[:place]), *alone, *entry_ids(usual[place:])]
        assert read(texts) == expected


def test_newer_commands_with_newer_versions() -> None:
    """A command that came with 8.2 is there from 8.2 on."""
    assert run(StreamCommands(version=(8, 2, 0)), "XACKDEL s g IDS 1 1-1") == [-1]


def test_blocked_reader_is_served_by_the_command_that_adds(commands: StreamCommands) -> None:
    """When XADD returns, the reader that waited has been served."""
    waiter = run(commands, "XREAD BLOCK 0 STREAMS s $")
    assert isinstance(waiter, Waiter)
    replies: list[Reply | CommandError] = []
    waiter.on_ready = replies.append
    run(commands, "XADD s 1-1 f 1")
    assert replies == [[["s", [["1-1", ["f", "1"]]]]]]


def test_cancelled_reader_is_not_served(commands: StreamCommands) -> None:
    """A reader whose time is out takes no entry away from those behind it."""
    run(commands, "XGROUP CREATE s g 0 MKSTREAM")
    first = run(commands, "XREADGROUP GROUP g alice BLOCK 5 STREAMS s >")
    second = run(commands, "XREADGROUP GROUP g bob BLOCK 0 STREAMS s >")
    assert isinstance(first, Waiter)
    assert isinstance(second, Waiter)
    commands.cancel(first)
    run(commands, "XADD s 1-1 f 1")
    assert run(commands, "XPENDING s g") == [1, "1-1", "1-1", [["bob", "1"]]]


def test_transaction_serves_at_its_end(commands: StreamCommands) -> None:
    """Inside a transaction nobody is served yet."""
    waiter = run(commands, "XREAD BLOCK 0 STREAMS s $")
    assert isinstance(waiter, Waiter)
    replies: list[Reply | CommandError] = []
    waiter.on_ready = replies.append
    with commands.transaction():
        run(commands, "XADD s 1-1 f 1")
        n_inside = len(replies)
    assert (n_inside, len(replies)) == (0, 1)


def test_nothing_blocks_where_it_may_not(commands: StreamCommands) -> None:
    """Where blocking is not allowed, a read that finds nothing returns nil."""
    reply = commands.execute(["XREAD", "BLOCK", "0", "STREAMS", "s", "$"], 0, may_block=False)
    assert reply is None


def test_stream_outlives_its_last_entry(commands: StreamCommands) -> None:
    """An empty stream is still a key, unlike an empty list in Redis."""
    run(commands, "XADD s 1-1 f 1", "XDEL s 1-1")
    assert run(commands, "TYPE s") == "stream"


def seconds_per_command(n_pending: int) -> float:
    """Time commands in the middle of a group with many pending entries."""
    commands = StreamCommands()
    commands.execute(["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"], 0)
    for ms in range(1, n_pending + 1):
        commands.execute(["XADD", "s", f"{ms}-1", "f", "1"], 0)
    commands.execute(["XREADGROUP", "GROUP", "g", "alice", "STREAMS", "s", ">"], 0)
    times = []
    for i in range(200):
        middle = n_pending // 4 + i
        started = time.perf_counter()
        run(
            commands,
            f"XACK s g {middle}-1",
            f"XDEL s {middle + 1}-1",
            f"XPENDING s g {middle}-0 + 10",
            f"XAUTOCLAIM s g bob 5000 {middle} COUNT 2",
            f"XCLAIM s g bob 0 {middle + 2}-1",
            f"XRANGE s {middle} + COUNT 10",
            f"XREADGROUP GROUP g alice COUNT 2 STREAMS s {middle}",
            "XPENDING s g",
        )
        times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2]


@pytest.mark.real_time("compares times")
def test_cost_does_not_grow_with_what_is_pending() -> None:
    """A hundred times as much in the stream and pending: commands take about as long as before."""
    assert seconds_per_command(100_000) < 4 * seconds_per_command(1_000)
