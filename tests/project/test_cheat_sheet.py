"""The cheat sheet of lesson 15 is taken out of the notebook, and each of its lines asked of Redis.

redis-py's call sends just the command beside it; the command works from the version said, on every server at hand, and
is refused by those that are older; and what the servers' own documentation says of versions agrees.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
import redis

from streamlab.servers.client import sync_stream_client
from streamlab.servers.embedded import EmbeddedServer
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary

LESSON = Path(__file__).parents[2] / "notebooks" / "solutions" / "15_conclusion.ipynb"
REDIS_PY = (8, 1)
#: Valkey's streams are those of this Redis, so far.
VALKEY_HAS = (7, 4)
#: What servers document without a version: options that came later than their command.
UNDOCUMENTED = {("XREAD", "+"): "7.4", ("XREADGROUP", "CLAIM"): "8.4", ("XADD", "IDMP"): "8.6"}
#: What a line is called in a server's history of a command, where that is not its option.
IN_HISTORY = {"5-*": "`<ms>-*`", "(1-1": "exclusive range"}
#: Stream commands that the lesson may pass over: the server's own, and a restorer's.
PASSED_OVER = {"XSETID", "XIDMPRECORD", "XGROUP HELP", "XINFO HELP"}
#: Commands that rightly find nothing in the stream that they are tried on.
FINDS_NOTHING = {"XTRIM s MAXLEN ~ 1000", "XTRIM s MAXLEN ~ 1000 ACKED", "XREAD BLOCK 50 STREAMS s $"}  # fmt: skip

pytestmark = pytest.mark.skipif(
    tuple(map(int, redis.__version__.split(".")[:2])) < REDIS_PY,
    reason="the cheat sheet is written for a later redis-py",
)


class Line(NamedTuple):
    """A line of the cheat sheet."""

    what: str
    command: str
    call: str
    since: str

    @property
    def version(self) -> tuple[int, ...]:
        return numbers(self.since)


def numbers(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(map(int, version.split(".")[:2]))


def text_of_lesson() -> str:
    cells = nbformat.read(LESSON, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def cheat_sheet() -> list[Line]:
    """Return all lines that have a command, a call and a version."""
    row = r"^\|(.+?)\|`([^`|]+)`\|`(r\.[^`|]+)`\|(\d+\.\d+)\|$"
    return [Line(*match) for match in re.findall(row, text_of_lesson(), re.M)]


def versions() -> dict[str, str]:
    """Return what each version added, as the lesson says."""
    return dict(re.findall(r"^\|(\d+\.\d+)\|(.+)\|$", text_of_lesson(), re.M))


def added_in(version: str) -> set[str]:
    """Return what stands as code in the line of a version: each piece, and each word of it."""
    pieces = re.findall(r"`([^`]+)`", versions()[version])
    return {word for piece in pieces for word in (piece, *piece.split())}


LINES = cheat_sheet()
by_command = pytest.mark.parametrize("line", LINES, ids=[line.command for line in LINES])


def names(line: Line) -> dict[str, Any]:
    return {"s": "s", "g": "g", "c": "c"}


# ---- redis-py sends it -----------------------------------------------------------------------------


class Recorder(redis.Redis):
    """A client that notes what it would send."""

    sent: list[str]

    def execute_command(self, *args: Any, **options: Any) -> None:
        words = (word.decode() if isinstance(word, bytes) else str(word) for word in args)
        self.sent.append(" ".join(words))


def test_the_sheet_was_found():
    """Every row of a table with the heads of the cheat sheet is read as a line of it."""
    heads = text_of_lesson().split("|what|Redis|redis-py|since|\n|---|---|---|---|\n")[1:]
    rows = [row for table in heads for row in table.split("\n\n")[0].splitlines() if row]
    assert len(rows) == len(LINES) >= 40


@by_command
def test_the_call_sends_just_that_command(line):
    """Word for word, and nothing else."""
    recorder = Recorder()
    recorder.sent = []
    eval(line.call, names(line) | {"r": recorder})
    assert recorder.sent == [line.command]


# ---- it works from the version said ----------------------------------------------------------------


def prepare(client: redis.Redis) -> None:
    """Four entries; two are pending for c, delivered an hour ago; two are undelivered."""
    client.flushall()
    for n in (1, 2, 3, 4):
        client.xadd("s", {"f": "v"}, id=f"{n}-1")
    client.xgroup_create("s", "g", id="0")
    client.xreadgroup("g", "c", {"s": ">"}, count=2)
    client.xclaim("s", "g", "c", 0, ["1-1", "2-1"], idle=3_600_000, justid=True)


def tried(client: redis.Redis, line: Line) -> Any:
    """Return the reply to a call, or the error by which the server refuses it."""
    prepare(client)
    if "MKSTREAM" in line.command.split():  # neither the group nor the stream may be there
        client.delete("s")
    try:
        return eval(line.call, names(line) | {"r": client})
    except redis.ResponseError as error:
        return error


def compare(client: redis.Redis, has: tuple[int, ...]) -> list[str]:
    """Return the lines that are not true of a server whose streams are those of Redis `has`."""
    wrong = []
    for line in LINES:
        reply = tried(client, line)
        refused = isinstance(reply, redis.ResponseError)
        if refused != (line.version > has):
            wrong.append(f"{line.command} (since {line.since}): {reply!r}")
        elif not refused and bool(reply) == (line.command in FINDS_NOTHING):
            wrong.append(f"{line.command} found {reply!r}")
    return wrong


def version_of(binary: ServerBinary) -> tuple[int, ...]:
    return binary.version[:2] if binary.kind == "redis" else VALKEY_HAS


@pytest.mark.redis
def test_works_from_its_version_on_every_server(server_binary: ServerBinary):
    """And before it, the server refuses."""
    with PrivateServer(server_binary) as server, sync_stream_client(server.url) as client:
        assert compare(client, version_of(server_binary)) == []


def test_works_from_its_version_on_the_embedded_server():
    server = EmbeddedServer()
    with server.client() as client:
        assert compare(client, server.version[:2]) == []


# ---- and the servers say the same ------------------------------------------------------------------


def documented(client: redis.Redis) -> dict[str, dict[str, str]]:
    """Return for each stream command the version of each of its options and remarks (``COMMAND DOCS``).

    That of the command itself stands under "".
    """
    client.response_callbacks.clear()  # redis-py's own reader of this reply leaves the options out
    listed = client.execute_command("COMMAND", "LIST", "FILTERBY", "PATTERN", "x*")
    docs = pairs(client.execute_command("COMMAND", "DOCS", *listed))
    said: dict[str, dict[str, str]] = {}
    for name, flat in docs.items():
        about = pairs(flat)
        said[name.upper().replace("|", " ")] = {
            "": about["since"],
            **{text: since for since, text in about.get("history", [])},
            **dict(options(about.get("arguments", []))),
        }
    return said


def pairs(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def options(arguments: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield (option, version) of all arguments, and those within them, that came later than their command."""
    for flat in arguments:
        argument = pairs(flat)
        if "since" in argument and "token" in argument:
            yield argument["token"], argument["since"]
        yield from options(argument.get("arguments", []))


def since(words: list[str], docs: dict[str, dict[str, str]]) -> str:
    """Return the version that a server's documentation says of a command with these options."""
    name = words[0] if words[0] in docs and words[0] not in ("XGROUP", "XINFO") else " ".join(words[:2])
    found = [docs[name][""]]
    for word in words[1:]:
        called = IN_HISTORY.get(word, f"`{word}`")
        found += [
            version
            for text, version in docs[name].items()
            if text == word or called in text or f"`{word}` modifier" in text
        ]
        if (name, word) in UNDOCUMENTED:
            found.append(UNDOCUMENTED[name, word])
    return ".".join(map(str, max(map(numbers, found))))


@pytest.mark.redis
def test_versions_are_those_that_servers_document(server_binary: ServerBinary):
    """COMMAND DOCS tells when a command, and most of its options, came: the sheet says the same."""
    with PrivateServer(server_binary) as server, sync_stream_client(server.url) as client:
        docs = documented(client)
    known = [line for line in LINES if line.version <= version_of(server_binary)]
    said = {line.command: since(line.command.split(), docs) for line in known}
    assert said == {line.command: line.since for line in known}
    assert len(known) > 30


@pytest.mark.redis
def test_no_command_is_missing(server_binary: ServerBinary):
    """All stream commands of a server are in the sheet or in the table of versions."""
    with PrivateServer(server_binary) as server, sync_stream_client(server.url) as client:
        commands = set(documented(client)) - {"XGROUP", "XINFO"} - PASSED_OVER
    text = text_of_lesson()
    assert [command for command in sorted(commands) if command not in text] == []


# ---- the table of versions -------------------------------------------------------------------------


def test_versions_are_told_in_order():
    told = [*map(numbers, versions())]
    assert told == sorted(set(told))
    assert told[0] == (5, 0)
    assert told[-1] == (8, 10)


@by_command
def test_what_is_new_in_a_line_stands_under_its_version(line):
    """The command or one of its options; of 5.0, all is new."""
    assert line.since in versions()
    if line.since == "5.0":
        return
    words = {*line.command.split(), " ".join(line.command.split()[:2])}
    assert words & added_in(line.since) - {"s", "g", "XADD", "XREAD", "XREADGROUP", "XPENDING", "XINFO"}


@pytest.mark.redis
def test_nothing_is_missing_under_its_version(server_binary: ServerBinary):
    """Each later command, and each option with a version of its own, that a server documents."""
    with PrivateServer(server_binary) as server, sync_stream_client(server.url) as client:
        docs = documented(client)
    for name in sorted(docs.keys() - PASSED_OVER):
        for option, version in docs[name].items():
            if numbers(version) > (5, 0) and (option.isupper() or not option):
                first_two = ".".join(version.split(".")[:2])
                assert (option or name) in added_in(first_two), f"{name} {option}"


@pytest.mark.redis
def test_nothing_stands_under_a_wrong_version(server_binary: ServerBinary):
    """What a server documents of an option or a command, wherever it does, is what the table says."""
    with PrivateServer(server_binary) as server, sync_stream_client(server.url) as client:
        docs = documented(client)
    for version, text in versions().items():
        for word in re.findall(r"`([A-Z][A-Z ]+)`", text):
            of_options = {said[word] for said in docs.values() if word in said}
            of_command = {docs[word][""]} if word in docs else set()
            for found in of_options | of_command:
                assert numbers(found) == numbers(version), word
