"""The list of divergences is complete: every command of a server is answered alike, or listed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamlab.model.commands import CommandError
from streamlab.servers.embedded import DIVERGENCES, Divergence, EmbeddedServer

from .every_command import NOT_SENT, PREPARED, Words, lines_of, names_of
from .wire import Connection, Line, NullArray, Server

pytestmark = pytest.mark.redis

NOT_THERE = ("ERR unknown command", "ERR unknown subcommand", "ERR the embedded server")


def listed(server: Server) -> list[Divergence]:
    """Return the divergences from a server."""
    return [
        each
        for each in DIVERGENCES
        if (each.since is None or server.as_redis >= each.since) and (server.kind == "valkey" or not each.valkey_only)
    ]


def is_listed(server: Server, words: Sequence[str]) -> bool:
    """Tell whether a command, as it is written in capitals, is one of those that differ."""
    names = [name.split() for each in listed(server) for name in each.what.split(", ")]
    return any(name[0] == words[0] and {*name} <= {*words} for name in names)


class Asked:
    """A server that is given each command on a connection of its own."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._main = Connection(path)

    def prepare(self, keyspace: Sequence[str]) -> None:
        """Begin with these keys, and no others."""
        commands = ["FLUSHALL", *keyspace]
        self._main.send(*(command.split() for command in commands))
        for command in commands:
            reply = self._main.receive()
            assert not isinstance(reply, CommandError), (command, reply)

    def outcome(self, words: Words) -> str:
        """Return the type of the reply to a command, or the code of the error."""
        connection = Connection(self._path, exact=True)
        try:
            connection.send(words)
            return kind(connection.receive_any())
        except ConnectionError:
            return "hangs up"
        finally:
            connection.close()

    def close(self) -> None:
        self._main.close()


def kind(reply: object) -> str:
    if isinstance(reply, CommandError):
        text = str(reply)
        return "is not there" if text.startswith(NOT_THERE) else f"error {text.split()[0]}"
    if isinstance(reply, list) and not isinstance(reply, NullArray):
        return "list"
    return "text" if isinstance(reply, str) and not isinstance(reply, Line) else type(reply).__name__


def test_every_command(real_server: Server) -> None:
    """With what it needs and with each of its options, on no keys and on some: the reply has the same type.

    Or the error has the same code; or the command is listed.
    """
    embedded_server = EmbeddedServer(version=real_server.as_redis)
    path = embedded_server.url.removeprefix("unix://")
    real, embedded = Asked(str(real_server.socket_path)), Asked(path)
    try:
        main = Connection(str(real_server.socket_path))
        lines = [*lines_of(main)]
        names = names_of(main)
        main.close()
        missing = []
        for words in lines:
            if is_listed(real_server, words):
                continue
            for keyspace in ((), PREPARED):
                real.prepare(keyspace)
                embedded.prepare(keyspace)
                outcomes = real.outcome(words), embedded.outcome(words)
                if outcomes[0] != outcomes[1]:
                    missing.append((" ".join(words), len(keyspace), *outcomes))
        assert missing == []
        tried = {word.lower() for words in lines for word in (words[0], "|".join(words[:2]))}
        untried = [name for name in names if name not in tried and not is_listed(real_server, name.upper().split("|"))]
        assert untried == []
        assert {name for name in NOT_SENT if name in tried} == set()
        assert len(lines) > 700
    finally:
        real.close()
        embedded.close()
        embedded_server.close()
