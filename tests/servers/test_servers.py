"""Private real servers: private, killed and restarted at will, gone with their owner."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from streamlab.lab.lab import Lab
from streamlab.servers.client import sync_stream_client
from streamlab.servers.private import MAX_SOCKET_PATH, Persistence, PrivateServer
from streamlab.servers.programs import ServerBinary, ServerStartError, best_server, find_servers, identify_server
from tests.process_table import runs, sockets, tcp_sockets
from tests.redis_targets import KILLED_WITH_ALL

Eventually = Callable[[Callable[[], object], str], None]


@pytest.fixture
def server(server_binary: ServerBinary) -> Iterator[PrivateServer]:
    """A private server of each kind there is."""
    with PrivateServer(server_binary) as server:
        yield server


def program(path: Path, says: str) -> Path:
    """Write a program that prints something and ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_is_what_it_says(server: PrivateServer, server_binary: ServerBinary) -> None:
    """Kind, version and pid are those that the server itself reports."""
    with sync_stream_client(server.url) as client:
        info = client.info("server")
    assert info["process_id"] == server.pid
    assert (server.kind, server.version) == (server_binary.kind, server_binary.version)
    said = info["valkey_version"] if server.kind == "valkey" else info["redis_version"]
    assert ".".join(map(str, server.version)) == said
    assert server.alive


def test_is_private(server: PrivateServer) -> None:
    """No TCP port; socket, folder and configuration are for the owner alone; nothing is persisted."""
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.folder / "server.conf").stat().st_mode) == 0o600
    with sync_stream_client(server.url) as client:
        settings = client.config_get("port", "save", "appendonly")
    assert settings == {"port": "0", "save": "", "appendonly": "no"}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="/proc/net/tcp lists ports on Linux")
def test_listens_on_no_tcp_port(server: PrivateServer) -> None:
    """None of the process's sockets is a TCP one: the kernel says so, not the configuration."""
    assert sockets(server.pid)
    assert not sockets(server.pid) & tcp_sockets(server.pid)


@pytest.mark.parametrize(
    ("persistence", "found"),
    [("none", [None, None]), ("rdb", ["1", "1"]), ("aof", ["1", "2"]), ("aof-always", ["1", "2"])],
)
def test_persistence(server_binary: ServerBinary, persistence: Persistence, found: list[str | None]) -> None:
    """A restart in good order keeps what RDB or AOF hold; SIGKILL loses what came after the snapshot."""
    with PrivateServer(server_binary, persistence=persistence) as server:
        with sync_stream_client(server.url) as client:
            client.set("key", 1)
            url, first = server.url, server.pid
            server.restart()
            after_restart = client.get("key")
            assert (server.url, server.pid != first) == (url, True)
            client.set("key", 2)
            server.kill()
            assert not server.alive
            with pytest.raises(redis.ConnectionError):
                client.get("key")
            server.restart()
            after_kill = client.get("key")
        assert [after_restart, after_kill] == found


def test_pause_and_resume(server: PrivateServer) -> None:
    """A paused server accepts a connection and does not answer; resumed, it does."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.05)
        server.pause()
        connection.connect(str(server.socket_path))
        connection.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(16)
        assert server.alive
        server.resume()
        connection.settimeout(2)
        assert connection.recv(16) == b"+PONG\r\n"


def test_a_paused_server_can_be_killed_restarted_and_stopped(server: PrivateServer) -> None:
    """SIGSTOP holds up none of the ways to end a server."""
    server.pause()
    server.restart()
    server.pause()
    server.kill()
    server.restart()
    server.pause()
    folder = server.folder
    server.stop()
    assert not folder.exists()


@pytest.mark.parametrize("password", [None, "secret"])
def test_a_restarted_server_has_loaded_its_data(server_binary: ServerBinary, password: str | None) -> None:
    """Also if that takes long, and it asks for a password before it says that it is still loading."""
    n = 8_000  # while it loads, it answers after each 1024 commands
    slow: dict[str, str | int] = {"key-load-delay": 20, **KILLED_WITH_ALL}  # µs
    with PrivateServer(server_binary, persistence="aof", password=password, options=slow) as server:
        with sync_stream_client(server.url) as client:
            pipe = client.pipeline(transaction=False)
            for number in range(n):
                pipe.set(f"key {number}", "value")
            pipe.execute()
        server.kill()
        server.restart(60)
        with sync_stream_client(server.url) as client:
            assert client.dbsize() == n


def test_stop_leaves_nothing(default_server_binary: ServerBinary) -> None:
    """After the context, by whatever way it is left, process and folder are gone; stopping twice is fine."""
    with contextlib.suppress(KeyError), PrivateServer(default_server_binary, persistence="aof") as server:
        pid, folder = server.pid, server.folder
        raise KeyError
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not folder.exists()
    server.stop()
    assert repr(server).endswith("not running>")
    for use in (server.kill, server.pause, server.resume, server.restart, lambda: server.url):
        with pytest.raises(RuntimeError, match="call start"):
            use()
    with server:
        assert server.alive
        assert server.folder != folder
        with pytest.raises(RuntimeError, match="runs already"):
            server.start()


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
@pytest.mark.parametrize("end", ["SIGKILL", "exit", "raise"])
def test_ends_with_its_owner(
    server_binary: ServerBinary, end: str, paused: bool, tmp_path: Path, eventually: Eventually
) -> None:
    """Owner killed, ended or failed, from a thread that has ended, server paused or not: gone within 2 s."""
    code = f"""
        import os, sys, threading
        from streamlab.servers.private import PrivateServer
        server = PrivateServer({server_binary.path!r}, persistence="aof")
        thread = threading.Thread(target=server.start); thread.start(); thread.join()
        if {paused}:
            server.pause()
        print(server.pid, server.folder, flush=True)
        sys.stdin.readline()
        if {end!r} == "raise":
            raise RuntimeError("the owner fails")
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as owner:
        assert owner.stdin
        assert owner.stdout
        pid, folder = owner.stdout.readline().decode().split()
        os.kill(int(pid), 0)
        if end == "SIGKILL":
            owner.kill()
        else:
            owner.stdin.close()
        owner.wait(5)

    eventually(lambda: not runs(int(pid)), "the server ends after its owner")
    eventually(lambda: not Path(folder).exists(), "the folder is removed")


def test_ctrl_c_in_a_terminal_does_not_reach_the_server(redis_server: PrivateServer) -> None:
    """The server is in a process group of its own, so that its owner can end things in good order."""
    assert os.getpgid(redis_server.pid) != os.getpgid(0)


def test_a_password_is_needed_and_never_shown(server_binary: ServerBinary) -> None:
    """The password is in the URL for redis-py, and neither in the repr nor among the arguments."""
    password = 'pa ss/@:?#"\\ % é'
    with PrivateServer(server_binary, password=password) as server:
        assert password not in repr(server)
        with sync_stream_client(server.url) as client:
            assert client.ping()
        with sync_stream_client(f"unix://{server.socket_path}") as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        arguments = Path(f"/proc/{server.pid}/cmdline")
        if arguments.exists():
            assert password.encode() not in arguments.read_bytes()


def test_options_are_lines_of_redis_conf(default_server_binary: ServerBinary) -> None:
    """Further settings reach the server; those that make it private cannot be changed."""
    options: dict[str, str | int] = {"maxmemory": 10_000_000, "save": "60 1", "appendfsync": "always"}
    with (
        PrivateServer(default_server_binary, persistence="aof", options=options) as server,
        sync_stream_client(server.url) as client,
    ):
        assert client.config_get("maxmemory", "save", "appendfsync") == {
            "maxmemory": "10000000",
            "save": "60 1",
            "appendfsync": "always",
        }
    with pytest.raises(ValueError, match="sets bind, port itself"):
        PrivateServer(options={"port": 6379, "BIND": "0.0.0.0"})
    with pytest.raises(ValueError, match="line break"):
        PrivateServer(options={"maxmemory": "1\nport 6379"})
    with pytest.raises(ValueError, match="line break"):
        PrivateServer(password="a\nport 6379")
    with pytest.raises(ValueError, match="none, rdb, aof, aof-always, not"):
        PrivateServer(persistence="sometimes")  # type: ignore[arg-type]


def test_a_server_that_does_not_start_says_why(
    server_binary: ServerBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error holds the server's own last words, and nothing is left behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    server = PrivateServer(server_binary, options={"no-such-setting": "yes"})
    with pytest.raises(ServerStartError, match=r"(?s)ended at once.*no-such-setting"):
        server.start()
    assert list(tmp_path.iterdir()) == []
    assert not server.alive


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    """There is a limit to waiting for the first answer; the silent process is ended."""
    silent = tmp_path / "redis-server"
    silent.write_text(
        "#!/bin/sh\n"
        '[ "$1" = --version ] && echo "Redis server v=7.0.0 sha=0" && exit\n'
        f'echo "waiting for Godot"; echo $$ >{tmp_path}/pid; exec {sys.executable} -c "import time; time.sleep(60)"\n'
    )
    silent.chmod(0o755)
    server = PrivateServer(silent)
    with pytest.raises(ServerStartError, match=r"(?s)did not answer within 0\.3 s.*waiting for Godot"):
        server.start(timeout=0.3)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGCONT)


def test_a_long_temporary_folder_is_avoided(
    default_server_binary: ServerBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unix socket's path has a limit of about 108 bytes; a TMPDIR beyond it must not matter."""
    long = tmp_path / ("é" * 50)  # 100 bytes
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", None)
    with PrivateServer(default_server_binary) as server:
        assert len(os.fsencode(server.socket_path)) <= MAX_SOCKET_PATH
        with sync_stream_client(server.url) as client:
            assert client.ping()
    assert list(long.iterdir()) == []


def test_an_odd_temporary_folder_is_no_obstacle(
    default_server_binary: ServerBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blanks, quotes, per cent signs and letters beyond ASCII in TMPDIR reach configuration and URL whole."""
    with tempfile.TemporaryDirectory(prefix='a "b" %41 é#?*[a\\', dir="/tmp") as odd:  # pytest's is long
        monkeypatch.setattr("tempfile.tempdir", odd)
        with PrivateServer(default_server_binary, persistence="rdb") as server:
            assert str(server.folder.parent) == odd
            with sync_stream_client(server.url) as client:
                assert client.save()
            assert (server.folder / "dump.rdb").exists()


def test_servers_on_the_path_are_found_in_order(tmp_path: Path) -> None:
    """Plain names first, Redis before Valkey; a link to the same program counts once, a fake not at all."""
    redis_7 = program(tmp_path / "one" / "redis-server", "Redis server v=7.0.15 sha=00000000:0")
    valkey = program(tmp_path / "one" / "valkey-server", "Valkey server v=9.1.2 sha=00000000:0")
    redis_8 = program(tmp_path / "one" / "redis-server-8", "Redis server v=8.6.3 sha=00000000:0")
    program(tmp_path / "two" / "redis-server-9", "something else")
    program(tmp_path / "two" / "redis-server-helper", "Redis server v=1.0.0 sha=00000000:0")
    (tmp_path / "two" / "valkey-server").symlink_to(redis_7)
    (tmp_path / "two" / "redis-server").mkdir()
    path = os.pathsep.join(map(str, [tmp_path / "one", tmp_path / "two", tmp_path / "none"]))
    assert find_servers(path) == [
        ServerBinary(str(redis_7), "redis", (7, 0, 15)),
        ServerBinary(str(valkey), "valkey", (9, 1, 2)),
        ServerBinary(str(redis_8), "redis", (8, 6, 3)),
    ]
    assert find_servers(str(tmp_path / "none")) == []


def test_a_wrong_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not there, not a server, none at all: one line says which and, for the last, how to get one."""
    with pytest.raises(ServerStartError, match="no program 'no-such-server'"):
        PrivateServer("no-such-server").start()
    with pytest.raises(ServerStartError, match=r"neither a redis-server nor a valkey-server.*hello"):
        PrivateServer(program(tmp_path / "other", "hello")).start()
    with pytest.raises(ServerStartError, match="cannot run"):
        identify_server(tmp_path / "missing")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerStartError, match=r"apt install redis-server.*brew install redis.*WSL"):
        PrivateServer().start()


def test_what_is_too_old_or_does_not_start_is_passed_over(
    tmp_path: Path,
    default_server_binary: ServerBinary,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The next program on the PATH is taken, for `connect()`, live runs and the panel alike; and it is said why."""
    program(tmp_path / "a" / "redis-server", "Redis server v=6.0.16 sha=0")
    program(tmp_path / "b" / "redis-server", "Redis server v=7.9.9 sha=0")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "redis-server").symlink_to(default_server_binary.path)
    usual = os.environ["PATH"].split(os.pathsep)
    rest = [folder for folder in usual if not list(Path(folder or ".").glob("*-server*"))]
    folders = [*(str(tmp_path / name) for name in "abc"), *rest]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    assert best_server().version == (7, 9, 9)
    with PrivateServer() as server:
        assert server.binary.path == str(tmp_path / "c" / "redis-server")
        too_old, broken = server.passed_over
    assert too_old == f"{tmp_path}/a/redis-server is Redis 6.0.16, too old: groups need 6.2"
    assert broken.startswith(f"{tmp_path}/b/redis-server does not start: ")
    assert [too_old in message or broken in message for message in caplog.messages] == [True, True]
    run = Lab("one-to-one", engine="live").run()
    assert run.server == str(default_server_binary).partition(" (")[0]
    (tmp_path / "c" / "redis-server").unlink()
    with pytest.raises(ServerStartError, match=r"can be used: .*too old.*; .*does not start.*; install"):
        PrivateServer().start()


@pytest.mark.redis
def test_out_of_file_handles_is_one_line() -> None:
    """A process that cannot be started: which one, why, and what to do."""
    command = f"ulimit -n 40; exec {sys.executable} -m streamlab run one-to-many --consumers 20 --engine live"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 1
    assert re.fullmatch(r"streamlab: no process can be started for C\d+ \(.*\): .*ulimit -n.*\n", done.stderr)


def test_windows_has_no_real_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows nothing is looked for."""
    monkeypatch.setattr(os, "name", "nt")
    assert find_servers() == []
