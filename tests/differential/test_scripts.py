"""The Lua scripts, run by a server, and what the model does in their place: the same, in random states."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from streamlab.actors import scripts
from streamlab.model.commands import CommandError, SortedSet, StreamCommands
from tests.conftest import Eventually

from .wire import Answer, Server

pytestmark = pytest.mark.redis

N_SEQUENCES = 60


def a_command(rng: Random) -> list[str]:
    """Draw a command: something to have a state, or a script that looks at it."""
    name, other = rng.choice(("alice", "bob")), rng.choice(("alice", "bob", "carol"))
    entry_id = f"{rng.randint(1, 6)}-0"
    ids = [f"{rng.randint(1, 6)}-0" for _ in range(rng.randint(1, 3))]
    pairs = [text for each in ids for text in (each, str(rng.randint(1, 3)))]
    return rng.choice(
        (
            ["XADD", "s", entry_id, "f", entry_id],
            ["XADD", "s", entry_id, "f", entry_id, "g", "x"],
            ["XREADGROUP", "GROUP", "g", name, "COUNT", "2", "STREAMS", "s", ">"],
            ["XCLAIM", "s", "g", other, "0", *ids],
            ["XDEL", "s", entry_id],
            ["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"],
            ["XGROUP", "CREATECONSUMER", "s", "g", other],
            ["XGROUP", "DESTROY", "s", "g"] if rng.random() < 0.1 else ["XLEN", "s"],
            ["SET", "dead", "text"] if rng.random() < 0.2 else ["DEL", "dead"],
            ["EVAL", scripts.FENCED_ACK, "1", "s", "g", name, *pairs],
            ["EVAL", scripts.RENEW, "1", "s", "g", name, *ids],
            ["EVAL", scripts.DEAD_LETTER, "2", "s", "dead", "g", name, entry_id],
            ["EVAL", scripts.DEAD_LETTER, "2", "s", "dead", "g", name, entry_id],
            ["EVAL", scripts.REMOVE_IDLE_CONSUMERS, "1", "s", "g", name, rng.choice(("0", "99999"))],
            ["EVAL", scripts.LEASE, "1", "lease", other, rng.choice(("0", "99999999"))],
            ["EVAL", scripts.MEMBER, "2", "members", "until", other, rng.choice(("0", "99999999", "99999999"))],
            ["EVAL", scripts.MEMBER, "2", "members", "until", other, rng.choice(("0", "99999999", "99999999"))],
            ["EVAL", scripts.MEMBER, "2", *rng.choice((("s", "until"), ("members", "s"))), other, "99999999"]
            if rng.random() < 0.2
            else ["XLEN", "s"],
        )
    )


def plain(args: list[str], reply: Answer) -> object:
    """Return a reply without what is a server's own: dead letters' ids, and where in a script an error was."""
    if isinstance(reply, CommandError):
        known = ("NOGROUP", "WRONGTYPE", "BUSYGROUP")
        return next((code for code in known if code in str(reply)), "an error")
    if scripts.DEAD_LETTER in args:
        return reply is not None
    return reply


def state(ask: object) -> list[object]:
    """Return what there is to see: pending entries with their counts, consumers, dead letters, leases and members."""
    rows: list[object] = []
    for args in (
        ["XPENDING", "s", "g", "-", "+", "100"],
        ["XINFO", "CONSUMERS", "s", "g"],
        ["XRANGE", "dead", "-", "+"],
        ["XRANGE", "lease", "-", "+"],
        ["TYPE", "members"],
        ["TYPE", "until"],
    ):
        reply = ask(args)  # type: ignore[operator]
        if isinstance(reply, CommandError):
            rows.append(plain(args, reply))
        elif args[0] == "XPENDING":
            rows.append([(row[0], row[1], row[3]) for row in reply])
        elif args[0] == "XINFO":
            rows.append([(row[1], row[3]) for row in reply])
        elif args[0] == "TYPE":
            rows.append(reply)
        else:
            rows.append([row[1] for row in reply])
    return rows


def test_scripts_and_the_model_agree(real_server: Server) -> None:
    """Replies, and what is left behind, command by command; by text and by digest."""
    connection = real_server.connect()
    try:
        for seed in range(N_SEQUENCES):
            rng = Random(seed)
            connection.ask("FLUSHALL")
            model = StreamCommands(version=real_server.as_redis)

            def ask_model(args: list[str], model: StreamCommands = model) -> Answer:
                now: Any = connection.ask("TIME")
                seconds, micros = now
                try:
                    answer = model.execute(args, int(seconds) * 1000 + int(micros) // 1000)
                except CommandError as error:
                    return error
                assert answer is None or isinstance(answer, str | int | list)
                return answer

            def ask_server(args: list[str]) -> Answer:
                return connection.ask(*args)

            done: list[str] = []
            for _ in range(40):
                args = a_command(rng)
                done.append(" ".join(args if args[0] != "EVAL" else ["EVAL", args[1][:60], *args[2:]]))
                theirs, ours = ask_server(args), ask_model(args)
                assert plain(args, theirs) == plain(args, ours), "\n".join(done)
                assert state(ask_server) == state(ask_model), "\n".join(done)
                for key in ("members", "until"):  # sorted: the server's milliseconds are not quite the model's
                    stored = model.keys.get(key)
                    names = [name.decode() for _, name in stored] if isinstance(stored, SortedSet) else []
                    theirs = ask_server(["ZRANGE", key, "0", "-1"])
                    assert isinstance(theirs, list)
                    assert sorted(map(str, theirs)) == sorted(names), "\n".join(done)
    finally:
        connection.close()


def test_a_member_is_forgotten_when_its_time_is_over(real_server: Server, eventually: Eventually) -> None:
    """By the server's clock, to the millisecond, whoever asks next; all others are still there, in their order."""
    connection = real_server.connect()
    model = StreamCommands(version=real_server.as_redis)
    try:
        connection.ask("FLUSHALL")
        for name, ms in (("alice", "99999"), ("bob", "1"), ("dave", "99999"), ("Zoë", "99999")):
            connection.ask("EVAL", scripts.MEMBER, "2", "members", "until", name, ms)
            model.execute(["EVAL", scripts.MEMBER, "2", "members", "until", name, ms], 1000)
        ask_carol = ["EVAL", scripts.MEMBER, "2", "members", "until", "carol", "99999"]
        eventually(lambda: connection.ask(*ask_carol) == [4, 2], "bob is forgotten")
        assert model.execute(ask_carol, 1000) == [5, 3]
        assert model.execute(ask_carol, 1001) == [4, 2]
        assert connection.ask("ZRANGE", "members", "0", "-1") == ["Zoë", "alice", "carol", "dave"]
        until = connection.ask("ZRANGE", "until", "0", "-1")
        assert isinstance(until, list)
        assert sorted(map(str, until)) == ["Zoë", "alice", "carol", "dave"]
    finally:
        connection.close()


def test_a_digest_is_as_good_as_the_text(real_server: Server) -> None:
    """EVALSHA of a script that the server has not got is NOSCRIPT; the model knows its own."""
    connection = real_server.connect()
    try:
        connection.ask("SCRIPT", "FLUSH")
        reply = connection.ask("EVALSHA", "0" * 40, "1", "s")
        model = StreamCommands(version=real_server.as_redis)
        with pytest.raises(CommandError) as caught:
            model.execute(["EVALSHA", "0" * 40, "1", "s"], 0)
        assert str(caught.value)[:27] == str(reply)[:27] == "NOSCRIPT No matching script"
    finally:
        connection.close()
