"""``%redis`` and ``%%redis``: commands as redis-cli takes them, replies as it prints them.

    %load_ext streamlab
    %redis XADD orders * item tea

    %%redis
    XGROUP CREATE orders billing 0
    XREADGROUP GROUP billing alice STREAMS orders >

They go to the server of `connect()`, or to that of a client of yours: ``%redis --client r XLEN orders``.
"""

from __future__ import annotations

import re
from typing import Any

import redis
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class

from streamlab.servers.connect import connect
from streamlab.servers.typed import note_typed

#: Between double quotes, what follows a backslash stands for another character.
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}
_ESCAPES = {ord(char): f"\\{name}" for name, char in [*_ESCAPED.items(), ('"', '"'), ("\\", "\\")]}
#: A word: what stands between quotes, which end it, or else anything without a space.
_WORD = re.compile(
    r"""\s*(?:"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>(?:\\'|[^'])*)'|(?P<plain>[^\s"'][^\s"']*))(?=\s|$)"""
)
#: What a server says as a status, which redis-cli prints without quotes. A client cannot tell it from a string.
_STATUSES = {b"OK", b"PONG", b"QUEUED"}
#: Commands whose one-word reply is a status.
_SAY_A_STATUS = {"TYPE"}
#: Characters of a reply that a panel shows.
_LONGEST = 100
_OF_ANOTHER_KIND = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "HELLO", "SYNC", "PSYNC"}


@magics_class
class RedisMagics(Magics):
    """What ``%load_ext streamlab`` brings."""

    shell: Any  # an `InteractiveShell`, whose methods have no types

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._connection: Any = None
        self._client: Any = None

    @line_cell_magic
    def redis(self, line: str, cell: str | None = None) -> None:
        """Send a command to Redis, or one for each line of a cell; print the replies as redis-cli does.

        ``{name}`` and ``$name`` stand for a Python variable. Lines that are empty or begin with # are left out.
        The connection stays: MULTI in one cell is still open in the next.

        Raises
        ------
        UsageError
            What stands there is no command, or no client goes by that name.
        """
        name, words = "", _words(line)
        if words[:1] == ["--client"]:
            name, words = "".join(map(str, words[1:2])), words[2:]
        if cell is None:
            lines = [words]
        elif words:
            raise UsageError(f"%%redis takes its commands from the lines below it, not {line.strip()!r}")
        else:
            lines = [_words(self.shell.var_expand(text)) for text in cell.splitlines()]
        commands = [words for words in lines if words]
        if not commands:
            raise UsageError("a command is missing: %redis PING")
        for command in commands:
            if str(command[0]).upper() in _OF_ANOTHER_KIND:
                raise UsageError(f"{str(command[0]).upper()} does not end with one reply: use redis-cli in a terminal")
        self._use(self._client_called(name))
        for command in commands:
            reply = self._ask(command)
            print(reply)
            typed = [word if isinstance(word, str) else word.decode(errors="replace") for word in command]
            note_typed(self._client.connection_pool.connection_kwargs, typed, _in_a_line(reply))

    def _client_called(self, name: str) -> Any:
        client = self.shell.user_ns.get(name) if name else connect()
        if isinstance(client, redis.RedisCluster):
            raise UsageError(
                "%redis sends what you type to one server, not to a cluster: use redis-cli -c in a terminal"
            )
        if not isinstance(client, redis.Redis):
            raise UsageError(f"{name} is not a client of Redis: give the name of one, as in --client r")
        return client

    def _use(self, client: Any) -> None:
        """Keep a connection to a client's server: of RESP2, whose replies are those that redis-cli prints."""
        pool = client.connection_pool
        if self._client is not None and self._client.connection_pool is pool:
            return
        if self._connection is not None:
            self._connection.disconnect()
        settings = {**pool.connection_kwargs, "protocol": 2, "decode_responses": False}
        self._client, self._connection = client, pool.connection_class(**settings)

    def _ask(self, command: list[str | bytes]) -> str:
        try:
            self._connection.send_command(*command)
            reply = self._connection.read_response()
        except redis.exceptions.ResponseError as error:
            return f"(error) {_with_prefix(error)}"
        except BaseException:  # what is left of the reply is nobody's
            self._connection.disconnect()
            raise
        if isinstance(reply, bytes) and (reply in _STATUSES or str(command[0]).upper() in _SAY_A_STATUS):
            return reply.decode()
        return "\n".join(printed(reply))


def _in_a_line(reply: str) -> str:
    """Return a reply in one line, cut if it is long."""
    line = " ".join(reply.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def _words(line: str) -> list[str | bytes]:
    """Split a line as redis-cli does."""
    line = line.strip()
    words: list[str | bytes] = []
    at = 0
    while at < len(line) and not line.startswith("#"):
        found = _WORD.match(line, at)
        if found is None:
            raise UsageError(f"its quotes do not pair, or a word goes on behind one: {line}")
        at = found.end()
        if found["double"] is not None:
            words.append(_unescaped(found["double"]))
        else:
            words.append(found["plain"] or found["single"].replace("\\'", "'"))
    return words


def _unescaped(text: str) -> bytes:
    def char(found: re.Match[str]) -> str:
        return chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[2], found[2])

    # A byte each: \xff is one byte, and ü, as it is written, is two.
    return re.sub(r"\\(?:x([0-9a-fA-F]{2})|(.))", char, text.encode().decode("latin-1")).encode("latin-1")


def _with_prefix(error: redis.exceptions.ResponseError) -> str:
    """Return an error as the server said it: redis-py takes the first word of some away."""
    prefix = getattr(error, "status_code", None)
    said = str(error)
    return said if prefix is None or said.startswith(prefix) else f"{prefix} {said}"


def printed(reply: Any) -> list[str]:
    """Return the lines that redis-cli prints for a reply."""
    if reply is None:
        return ["(nil)"]
    if isinstance(reply, int):
        return [f"(integer) {reply}"]
    if isinstance(reply, redis.exceptions.ResponseError):  # within that of EXEC
        return [f"(error) {_with_prefix(reply)}"]
    if isinstance(reply, bytes):
        escaped = "".join(_ESCAPES.get(b, chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in reply)
        return [f'"{escaped}"']
    if not reply:
        return ["(empty array)"]
    width = len(str(len(reply)))
    lines = []
    for number, item in enumerate(reply, 1):
        first, *rest = printed(item)
        lines.append(f"{number:>{width}}) {first}")
        lines += [f"{'':{width + 2}}{line}" for line in rest]
    return lines
