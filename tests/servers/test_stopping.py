"""A command that is stopped, by whichever signal, tidies up: also on a server that is somebody's, or that hangs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from streamlab.lab.lab import Lab
from streamlab.lab.patience import within
from streamlab.scenario import Arrivals, Scenario, Service, consumers, producers, to_toml
from streamlab.servers.client import sync_stream_client
from streamlab.servers.private import PrivateServer
from streamlab.servers.stopping import Stopped, stopped_by_signals
from tests.conftest import Eventually
from tests.process_table import descendants, runs, sockets

pytestmark = pytest.mark.real_time("counts processes, and how soon they end")

#: One that goes on until it is stopped, with everything that a run may write to a server.
LONG = Scenario(
    name="long",
    producers=producers(1, Arrivals("constant", rate=100)),
    consumers=consumers(2, Service("constant", mean=0.002)),
    duration=600.0,
    sink="idempotent",
).with_recovery("autoclaim", max_deliveries=3)
#: Seconds in which a command ends that is stopped while its server hangs.
LIMIT = 5.0
SIGNALS = {"SIGINT": "interrupted", "SIGTERM": "stopped by SIGTERM", "SIGHUP": "stopped by SIGHUP"}


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    file = tmp_path / "long.toml"
    file.write_text(to_toml(LONG))
    return file


@contextmanager
def command(*args: object, **popen: object) -> Iterator[subprocess.Popen[bytes]]:
    """Give a running ``streamlab``, in a session of its own, that is killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlab", *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **popen,
    )  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def ended(process: subprocess.Popen[bytes], limit: float = 10.0) -> tuple[int, str]:
    """Wait for the end of a command: return its exit status, and what it said."""
    status = process.wait(limit)
    assert process.stderr is not None
    return status, process.stderr.read().decode()


@pytest.mark.parametrize("name", SIGNALS)
def test_a_given_server_is_left_as_it_was(name: str, toml: Path, redis_url: str, eventually: Eventually) -> None:
    """SIGINT, SIGTERM, SIGHUP in mid-run: one line, 128 + the signal's number, and no key, client or process left."""
    with (
        sync_stream_client(redis_url) as client,
        command("run", toml, "--engine", "live", "--redis", redis_url) as process,
    ):
        eventually(lambda: client.exists(LONG.ledger_key_of(LONG.group)), "it is at work", timeout=20)
        below = descendants(process.pid)
        process.send_signal(getattr(signal, name))
        said = f"{SIGNALS[name]}: workers and private servers have been ended\n"
        assert ended(process) == (128 + getattr(signal, name), said)
        assert client.keys() == []
        eventually(lambda: not any(map(runs, below)), "all processes end")
        eventually(lambda: len(client.client_list()) <= 2, "no client stays")  # ours, and the fixture's


@pytest.mark.parametrize("maxlen", [None, 50])
def test_a_killed_run_leaves_no_key(maxlen: int | None, tmp_path: Path, redis_url: str, eventually: Eventually) -> None:
    """SIGKILL, which nobody can handle: stream, ledger and dead letters go all the same, and nothing else goes."""
    file = tmp_path / "long.toml"
    file.write_text(to_toml(LONG.replace(maxlen=maxlen)))
    with (
        sync_stream_client(redis_url) as client,
        command("run", file, "--engine", "live", "--redis", redis_url) as process,
    ):
        client.xadd("theirs", {"a": "1"})
        eventually(lambda: client.hlen(LONG.ledger_key_of(LONG.group)) > 200, "it is at work", timeout=30)
        below = descendants(process.pid)
        assert not any(redis_url in args for pid, args in below.items())  # it may hold a password
        process.kill()
        eventually(lambda: client.keys() == ["theirs"], "its keys go", timeout=15)
        eventually(lambda: not any(map(runs, below)), "all processes end", timeout=15)


@pytest.mark.parametrize("kind", ["stream", "string"])
def test_what_is_somebody_else_s_by_then_outlives_a_killed_run(
    kind: str, toml: Path, redis_url: str, eventually: Eventually
) -> None:
    """Another program has deleted the run's stream, and put its own in its place."""
    with (
        sync_stream_client(redis_url) as client,
        command("run", toml, "--engine", "live", "--redis", redis_url) as process,
    ):
        eventually(lambda: client.hlen(LONG.ledger_key_of(LONG.group)) > 100, "it is at work", timeout=30)
        below = descendants(process.pid)
        process.send_signal(signal.SIGSTOP)
        workers = [pid for pid, args in below.items() if "worker" in args]
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(map(runs, workers)), "nobody writes any more")
        client.delete(LONG.stream)
        if kind == "stream":
            client.xadd(LONG.stream, {"a": "1"})
            client.xgroup_create(LONG.stream, LONG.group)
        else:
            client.set(LONG.stream, "1")
        theirs = client.dump(LONG.stream)
        process.kill()
        eventually(lambda: client.keys() == [LONG.stream], "the rest goes", timeout=15)
        eventually(lambda: not any(map(runs, below)), "all processes end", timeout=15)
        assert client.dump(LONG.stream) == theirs


def test_signals_while_it_starts(toml: Path, redis_url: str, eventually: Eventually) -> None:
    """SIGTERM at any moment of the start, and then again and again: no key stays, and no process."""
    with sync_stream_client(redis_url) as client:
        for i in range(6):
            with command("run", toml, "--engine", "live", "--redis", redis_url) as process:
                eventually(lambda: descendants(process.pid), "it starts", timeout=20)
                threading.Event().wait(i * 0.06)  # a moment of its start, one of six
                below = descendants(process.pid)
                while process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    threading.Event().wait(0.05)
                # At the very end Python has put away its handlers.
                assert process.returncode in (143, -signal.SIGTERM)
                assert client.keys() == []
                eventually(partial(none_runs, below), "all processes end")


def none_runs(pids: Iterable[int]) -> bool:
    return not any(map(runs, pids))


def test_sigterm_where_ctrl_c_is_ignored(toml: Path, redis_url: str, eventually: Eventually) -> None:
    """A script's job in the background ignores SIGINT; SIGTERM cleans all the same. And nohup's ignores SIGHUP."""
    deaf = lambda: [signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGHUP)]  # noqa: E731
    with (
        sync_stream_client(redis_url) as client,
        command("run", toml, "--engine", "live", "--redis", redis_url, preexec_fn=deaf) as process,
    ):
        eventually(lambda: client.exists(LONG.ledger_key_of(LONG.group)), "it is at work", timeout=20)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGHUP)
        before = client.xinfo_stream(LONG.stream)["last-generated-id"]
        eventually(lambda: client.xinfo_stream(LONG.stream)["last-generated-id"] > before, "it goes on")
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 143
        assert client.keys() == []


@pytest.mark.parametrize("name", SIGNALS)
def test_a_simulation_is_stopped(name: str, tmp_path: Path, eventually: Eventually) -> None:
    """One line, no traceback, nothing else is said."""
    file = tmp_path / "century.toml"
    file.write_text(to_toml(LONG.replace(duration=3e7)))
    with command("run", file) as process:
        eventually(lambda: psutil.Process(process.pid).cpu_times().user > 1.5, "it is computing", timeout=30)
        process.send_signal(getattr(signal, name))
        said = f"{SIGNALS[name]}: workers and private servers have been ended\n"
        assert ended(process) == (128 + getattr(signal, name), said)


def test_only_the_first_signal_counts_while_it_is_tidied_up() -> None:
    """A terminal that is closed sends SIGHUP twice, and who waits presses Ctrl-C twice."""
    with stopped_by_signals():
        with pytest.raises(Stopped) as stopped:
            signal.raise_signal(signal.SIGHUP)
        assert stopped.value.signum == signal.SIGHUP
        for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(signum)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("where", ["in a callback", "caught"])
def test_a_signal_that_is_lost_is_sent_again(where: str) -> None:
    """It came where Python lets nothing be raised, as in callbacks of imports: it stops the command all the same."""

    class Dropped:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def catch_all() -> None:
        with suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)

    def work() -> None:
        lose()
        threading.Event().wait(10)

    lose = {"in a callback": Dropped, "caught": catch_all}[where]
    with stopped_by_signals(), pytest.raises(Stopped, match="SIGTERM"):
        work()


# ---- servers that hang -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "moment"), [("SIGINT", "before"), ("SIGINT", "in mid-run"), ("SIGTERM", "in mid-run")]
)
def test_a_frozen_server_holds_nobody_up(
    name: str, moment: str, toml: Path, default_server_binary: object, eventually: Eventually
) -> None:
    """SIGSTOP of a given server: stopped, the command ends within five seconds, and says which keys may be left."""
    with (
        PrivateServer(default_server_binary) as server,  # type: ignore[arg-type]
        sync_stream_client(server.url) as client,
    ):
        if moment == "before":
            server.pause()
        with command("run", toml, "--engine", "live", "--redis", server.url) as process:
            if moment == "before":
                eventually(lambda: waits_for_an_answer(process.pid), "it has asked", timeout=20)
            else:
                eventually(lambda: client.exists(LONG.ledger_key_of(LONG.group)), "it is at work", timeout=20)
                server.pause()
            below = descendants(process.pid)
            began = time.monotonic()
            process.send_signal(getattr(signal, name))
            status, said = ended(process)
            assert time.monotonic() - began < LIMIT
            assert status == 128 + getattr(signal, name)
            assert said.endswith(f"{SIGNALS[name]}: workers and private servers have been ended\n")
            for key in (LONG.stream, LONG.ledger_key_of(LONG.group), LONG.dead_letter_key):
                assert (f"the key {key!r} may be left" in said) == (moment != "before"), said
            eventually(lambda: not any(map(runs, below)), "all processes end")
        server.resume()
        assert client.ping()


def waits_for_an_answer(pid: int) -> bool:
    """Tell whether a process has a connection."""
    with suppress(OSError):
        return bool(sockets(pid))
    return False


class Mute:
    """A server that accepts and never answers, after so many pieces that it has passed on to a real one."""

    def __init__(self, path: Path, real: str, answered: int) -> None:
        self.url = f"unix://{path}"
        self._real, self._left = real, answered
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._clients: list[socket.socket] = []
        self._is_closed = False
        #: Whether it has been asked something that it does not answer.
        self.is_waited_for = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with self._listener, suppress(OSError):
            while not self._is_closed:
                client, _ = self._listener.accept()
                self._clients.append(client)
                self._threads.append(threading.Thread(target=self._serve, args=(client,)))
                self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.socket(socket.AF_UNIX) as real:
            real.connect(self._real)
            while not self._is_closed and (asked := client.recv(1 << 16)):
                if self._left <= 0:
                    self.is_waited_for.set()
                    continue
                self._left -= 1
                real.sendall(asked)
                client.sendall(real.recv(1 << 16))

    def close(self) -> None:
        self._is_closed = True
        for each in (self._listener, *self._clients):
            with suppress(OSError):  # closed already
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("answered", [0, 1, 2, 4, 6, 10, 16, 24])
def test_a_server_that_falls_silent_holds_nobody_up(
    answered: int, tmp_path: Path, redis_server: PrivateServer, redis_url: str
) -> None:
    """Whichever piece of what a run begins with it does not answer: interrupted, the run ends within five seconds."""
    mute = Mute(tmp_path / "s", str(redis_server.socket_path), answered)
    began: list[float] = []

    def interrupt() -> None:
        if mute.is_waited_for.wait(20):
            began.append(time.monotonic())
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threads = threading.active_count()
    watching = threading.Thread(target=interrupt)
    watching.start()
    with pytest.raises(KeyboardInterrupt):
        Lab(LONG, engine="live", redis_url=mute.url).run()
    took = time.monotonic() - began[0]
    mute.close()
    watching.join()
    assert took < LIMIT
    left = [args for args in descendants(os.getpid()).values() if "__main__.py worker" in args]
    assert left == []
    assert threading.active_count() <= threads


def test_a_private_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped while it waits for one to start: within five seconds, and no process is left."""
    program = tmp_path / "redis-server"
    program.write_text(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 'Redis server v=7.0.0' && exit\n"
        f"touch {tmp_path / 'started'}\nexec sleep 60\n"
    )
    program.chmod(0o700)
    env = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    with command("run", "one-to-one", "--engine", "live", env=env) as process:
        while not (tmp_path / "started").exists():
            assert process.poll() is None
            threading.Event().wait(0.01)
        below = descendants(process.pid)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 143
        assert time.monotonic() - began < LIMIT
        assert not any(map(runs, below))


def test_a_second_cancellation_is_no_way_out() -> None:
    """What answers a cancellation by waiting on, as redis-py's pipelines do, is cancelled until it has ended."""
    import asyncio

    cancelled = 0

    async def stubborn() -> None:
        nonlocal cancelled
        while cancelled < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await within(0.01, stubborn())

    asyncio.run(main())
    assert cancelled == 3
