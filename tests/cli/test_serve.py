"""``streamlab serve``, and a live run's server that stays: programs in any language find a Redis there."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from streamlab.cli import main
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import find_servers
from tests.conftest import Eventually
from tests.node_clients import FOLDER, NODE_ENV, node_clients
from tests.two_hundred import two_hundred_commands

PATIENCE = 30.0
_COMMANDS = two_hundred_commands()


@contextlib.contextmanager
def serving(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``streamlab serve``; give the URL that it says, and the process."""
    with subprocess.Popen(
        [sys.executable, "-m", "streamlab", "serve", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "no production server" in line
            yield line.split()[0], process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with serving() as (url, _):
        yield url


@pytest.fixture(scope="module")
def real() -> Iterator[str]:
    """A Redis 7.0 that listens on TCP."""
    binary = next((each for each in find_servers() if each.kind == "redis" and each.version[:2] == (7, 0)), None)
    if binary is None:
        pytest.skip("no Redis 7.0 on the PATH to compare with")
    from streamlab.cli.serving import free_port

    with PrivateServer(binary, port=free_port()) as server:
        yield server.tcp_url


# ---- the same replies as from Redis 7.0 ----------------------------------------------------------


def by_redis_cli(url: str, *options: str) -> list[str]:
    lines = "\n".join(" ".join(f'"{word}"' for word in words) for words in _COMMANDS)
    command = ["redis-cli", "-u", url, *options]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return done.stdout.splitlines()


def by_redis_py(url: str, protocol: int) -> list[str]:
    replies = []
    with redis.Redis.from_url(url, protocol=protocol, single_connection_client=True) as client:
        for words in _COMMANDS:
            try:
                client.connection.send_command(*words)
                replies.append(repr(client.connection.read_response()))
            except redis.ResponseError as error:
                replies.append(f"{type(error).__name__}: {error}")
    return replies


def by_node(url: str, client: str) -> list[Any]:
    command = ["node", str(FOLDER / "ask.cjs"), client, url]
    asked = json.dumps(_COMMANDS)
    done = subprocess.run(
        command, input=asked, capture_output=True, text=True, timeout=PATIENCE, check=True, env=NODE_ENV
    )
    replies: list[Any] = json.loads(done.stdout)
    return replies


_CLIENTS: dict[str, Callable[[str], list[Any]]] = {
    "redis-py, RESP2": lambda url: by_redis_py(url, 2),
    "redis-py, RESP3": lambda url: by_redis_py(url, 3),
    **{name: functools.partial(by_node, client=name) for name in node_clients()},
}
if shutil.which("redis-cli"):
    _CLIENTS |= {"redis-cli": by_redis_cli, "redis-cli, RESP3": lambda url: by_redis_cli(url, "-3")}


@pytest.mark.redis
@pytest.mark.parametrize("ask", _CLIENTS.values(), ids=_CLIENTS)
def test_two_hundred_commands_are_answered_as_by_redis(ask: Callable[[str], list[Any]], served: str, real: str) -> None:
    """Whichever client sends them, and whichever protocol it speaks, every reply is the same."""
    assert len(_COMMANDS) >= 200
    by_served, by_real = ask(served), ask(real)
    assert len(by_real) >= 200
    assert by_served == by_real


def test_fifty_clients_blocking_at_once(served: str) -> None:
    """Each waits in a read of its own, and each of fifty entries wakes one of them."""
    n = 50
    with redis.Redis.from_url(served) as client:
        client.xgroup_create("blocking", "g", mkstream=True)
        replies: list[Any] = []

        def wait(name: str) -> None:
            with redis.Redis.from_url(served, socket_timeout=PATIENCE) as waiting:
                replies.append(waiting.xreadgroup("g", name, {"blocking": ">"}, count=1, block=20_000))

        threads = [threading.Thread(target=wait, args=(f"C{i}",)) for i in range(n)]
        for thread in threads:
            thread.start()
        _until_blocked(client, n)
        added = {client.xadd("blocking", {"n": i}) for i in range(n)}
        for thread in threads:
            thread.join(PATIENCE)
        entries = [dict(reply)[b"blocking"] for reply in replies]
        assert [len(each) for each in entries] == [1] * n
        assert {each[0][0] for each in entries} == added
        client.delete("blocking")


def _until_blocked(client: redis.Redis, n: int) -> None:
    from tests.conftest import _eventually

    _eventually(lambda: client.info("clients")["blocked_clients"] == n, f"{n} clients block", timeout=PATIENCE)


# ---- the command ---------------------------------------------------------------------------------


def test_ctrl_c_ends_it(eventually: Eventually) -> None:
    """With status 0, nothing on the error output, and nobody listening any more."""
    with serving() as (url, process), redis.Redis.from_url(url) as client:
        assert client.ping()
        assert url.startswith("redis://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
        assert (process.returncode, said) == (0, "")
        with pytest.raises(redis.ConnectionError), redis.Redis.from_url(url) as late:
            late.ping()


def test_another_address_is_warned_of() -> None:
    """Who lets others in is told what they may do."""
    with serving("--host", "0.0.0.0") as (url, process):
        assert url.startswith("redis://0.0.0.0:")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    assert said.startswith("streamlab: warning: whoever reaches 0.0.0.0 may read, change and delete everything")


def test_a_port_that_is_taken(served: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, which says where."""
    port = served.rpartition(":")[2]
    assert main(["serve", "--port", port]) == 2
    assert f"at 127.0.0.1:{port}" in capsys.readouterr().err
    assert main(["serve", "--port", "65536"]) == 2
    assert "--port is 65536" in capsys.readouterr().err


def test_a_scenario_that_takes_its_server_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It cannot be played into this one, and that is said before anything listens."""
    scenario = tmp_path / "down.toml"
    scenario.write_text('name = "down"\nentries = 20\nfaults = ["server-down at 1s"]\n')
    assert main(["serve", "--scenario", str(scenario)]) == 2
    assert "down takes its server down, which the embedded one cannot" in capsys.readouterr().err


@pytest.mark.real_time("runs a live run's processes")
def test_a_scenario_is_played_into_it(tmp_path) -> None:
    """Its figures are printed, and what it leaves stays there."""
    scenario = tmp_path / "short.toml"
    scenario.write_text('name = "short"\nentries = 20\n')
    with serving("--scenario", str(scenario)) as (url, process), redis.Redis.from_url(url) as client:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("short on Redis")
        assert process.stdout.readline().startswith("added 20 · processed 20 · acked 20")
        assert client.xlen("orders") == 20


@pytest.mark.redis
@pytest.mark.real_time("runs a live run's processes")
@pytest.mark.parametrize("given", [False, True], ids=["private", "given"])
def test_a_run_s_server_stays(given: bool, redis_url: str, tmp_path) -> None:
    """Until Ctrl-C, which leaves the run's exit status; then a private server is gone, from another one the keys."""
    scenario = tmp_path / "short.toml"
    scenario.write_text('name = "short"\nentries = 20\n')
    where = ["--redis", redis_url] if given else []
    command = [sys.executable, "-m", "streamlab", "run", str(scenario), "--engine", "live", "--json", "--keep", *where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert json.loads(process.stdout.readline())["processed"] == 20
            line = process.stderr.readline()
            assert "Ctrl-C ends this command" in line
            url = redis_url if given else line.split()[1]
            with redis.Redis.from_url(url) as client:
                assert client.xlen("orders") == 20
                process.send_signal(signal.SIGINT)
                assert process.wait(PATIENCE) == 0
                if given:
                    assert not client.exists("orders")
                else:
                    with pytest.raises(redis.ConnectionError):
                        client.ping()
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--keep"], "add --engine live"),
        (["--engine", "live", "--port", "6390"], "add --keep"),
        (["--engine", "live", "--keep", "--port", "6390", "--redis", "redis://127.0.0.1:1"], "leave one out"),
        (["--engine", "live", "--keep", "--port", "-1"], "--port is -1"),
    ],
)
def test_what_cannot_stay(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said before anything runs."""
    assert main(["run", "one-to-one", *options]) == 2
    assert words in capsys.readouterr().err
