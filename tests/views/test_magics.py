"""``%redis``: what a notebook prints is what redis-cli prints."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

from streamlab import EmbeddedServer, close_servers
from streamlab.lab.lab import Lab
from streamlab.scenario import Scenario
from streamlab.servers.client import sync_stream_client

COMMANDS = r"""
PING
XADD orders 1-1 item tea
XADD orders 1-1 item tea
XADD orders 2-1 item "two words" note 'quoted "once"' empty "" bytes "\xff\n\"ü" single 'it\'s'
XADD orders 3-1 item ü\back
XGROUP CREATE orders billing 0
XGROUP CREATE orders billing 0
XREADGROUP GROUP billing alice COUNT 2 STREAMS orders >
XREADGROUP GROUP billing alice COUNT 2 STREAMS orders 0
XREADGROUP GROUP billing bob STREAMS orders 0
XREADGROUP GROUP nobody alice STREAMS orders >
XPENDING orders billing
XPENDING orders nobody
XACK orders billing 1-1 9-9
XAUTOCLAIM orders billing bob 0 0 JUSTID
XRANGE orders - +
XRANGE orders 9 +
XREAD STREAMS orders $
XINFO GROUPS orders
XLEN
INFOO a b
GET nothing
TYPE orders
TYPE nothing
RPUSH list a b c d e f g h i j k
LRANGE list 0 -1
SET text OKAY
GET text
ECHO ""
MULTI
XLEN orders
LPUSH orders 1
EXEC
WATCH orders
MULTI
DISCARD
"""


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell()
    shell.run_cell("%load_ext streamlab", silent=True)
    yield shell
    close_servers()


def told(shell: InteractiveShell, capsys: pytest.CaptureFixture[str], cell: str) -> str:
    """Run a cell; return what it prints."""
    capsys.readouterr()
    result = shell.run_cell(cell)
    if result.error_in_exec is not None:
        raise result.error_in_exec
    return capsys.readouterr().out


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="no redis-cli on the PATH to compare with")
def test_replies_are_printed_as_redis_cli_prints_them(
    shell: InteractiveShell, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command of a cell, on one connection; errors, statuses and nothing among them."""
    socket = redis_url.removeprefix("unix://")
    asked = ["redis-cli", "--no-raw", "-2", "-s", socket]
    expected = subprocess.run(asked, input=COMMANDS, capture_output=True, text=True, check=True, timeout=30).stdout
    with sync_stream_client(redis_url) as client:
        client.flushall()
        shell.user_ns["r"] = client
        printed = told(shell, capsys, f"%%redis --client r\n# all of them\n{COMMANDS}")
    assert printed.split("\n") == [line for line in expected.split("\n") if line] + [""]
    assert len(expected.splitlines()) > 80


@pytest.mark.redis
def test_what_is_typed_to_a_labs_server_is_shown_with_what_is_done_by_hand(
    shell: InteractiveShell, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands on streams, since the run began; of another server, or of other kinds, nothing."""
    shown = Scenario(duration=30.0).with_rate(5)
    with sync_stream_client(redis_url) as client, contextlib.closing(EmbeddedServer()) as other:
        shell.user_ns.update(r=client, elsewhere=other.client())
        told(shell, capsys, "%redis --client r XLEN orders")
        with Lab(shown, engine="live", redis_url=redis_url) as lab:
            lab.wait_until(lambda now: now.n_added)
            told(shell, capsys, "%redis --client r XPENDING orders nobody")
            told(shell, capsys, "%redis --client r SET password secret")
            told(shell, capsys, "%redis --client elsewhere XLEN orders")
            lab.ack("1-1")
            mine = [(each.by, each.text) for each in lab.recent.by_hand]
            assert mine == [("lab", "XACK orders workers 1-1"), ("you", "XPENDING orders nobody")]
            assert lab.recent.by_hand[-1].reply.startswith("(error) NOGROUP No such key 'orders' or consumer group")
            assert 0 < lab.recent.by_hand[-1].at <= lab.now
            assert ("you", "XPENDING orders nobody") in [(each.by, each.text) for each in lab.commands]


@pytest.mark.parametrize("version", [(7, 0, 15), (8, 6, 0)])
def test_any_client_will_do(
    version: tuple[int, int, int], shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of RESP3, too; and variables of Python stand in a command."""
    with contextlib.closing(EmbeddedServer(version=version)) as server:
        shell.user_ns.update(r3=server.client(protocol=3), wanted="1-1")
        assert told(shell, capsys, "%redis --client r3 XADD s $wanted a b") == '"1-1"\n'
        assert told(shell, capsys, "%redis --client r3 XREAD STREAMS s 0").splitlines() == [
            '1) 1) "s"',
            '   2) 1) 1) "1-1"',
            '         2) 1) "a"',
            '            2) "b"',
        ]


def test_without_a_client_it_is_that_of_connect(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """What the course's clients have written is there."""
    shell.run_cell("import streamlab; streamlab.connect().set('said', 'hello')", silent=True)
    assert told(shell, capsys, "%redis GET said") == '"hello"\n'


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%redis", "a command is missing: %redis PING"),
        ("%%redis\n# nothing\n", "a command is missing"),
        ("%%redis GET a\nGET b", "from the lines below it, not 'GET a'"),
        ("%redis --client nobody PING", "nobody is not a client of Redis"),
        ("%redis --client", "a command is missing"),
        (
            "import redis; c = object.__new__(redis.RedisCluster)\n%redis --client c PING",
            "to one server, not to a cluster: use redis-cli -c",
        ),
        ("%redis GET 'a", "its quotes do not pair, or a word goes on behind one: GET 'a"),
        ("%redis MONITOR", "MONITOR does not end with one reply"),
    ],
)
def test_what_makes_no_sense_is_refused(
    cell: str, words: str, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that says what to write."""
    capsys.readouterr()
    assert shell.run_cell(cell).error_in_exec is not None
    assert words in capsys.readouterr().err


def test_a_server_that_is_gone_is_an_error_and_the_next_one_is_found(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """The connection that is kept is not kept for ever."""
    with contextlib.closing(EmbeddedServer()) as server:
        shell.user_ns["gone"] = server.client()
        told(shell, capsys, "%redis --client gone PING")
    assert shell.run_cell("%redis --client gone PING").error_in_exec is not None
    assert told(shell, capsys, "%redis PING") == "PONG\n"
