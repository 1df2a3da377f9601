"""The embedded server's socket from its first use to its end: nothing stays behind, whoever dies or is dropped."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
import redis.asyncio

from streamlab.servers.client import ServerUnusable
from streamlab.servers.embedded import EmbeddedServer, listening
from tests.conftest import Eventually
from tests.differential.wire import Connection
from tests.servers.embedded_helpers import PATIENCE, READ, assert_nothing_left, held, path_of, until_blocked

# ---- from the first use to the end -------------------------------------------------------------


def test_opened_on_first_use(eventually: Eventually) -> None:
    """Nothing is opened before it is asked for; folder and socket are its owner's; with close() all of it is gone."""
    before = held()
    server = EmbeddedServer()
    assert_nothing_left(before)
    url = server.url
    assert server.url == url
    folder = Path(path_of(server)).parent
    assert [stat.S_IMODE(each.stat().st_mode) for each in (folder, *folder.iterdir())] == [0o700] * 2
    reader = Connection(path_of(server))
    reader.send(("XREAD", "BLOCK", "0", "STREAMS", "s", "$"))
    until_blocked(server, 1, eventually)
    server.close()
    with pytest.raises(ConnectionError):
        reader.receive()
    reader.close()
    assert not folder.exists()
    assert_nothing_left(before)
    server.close()
    with pytest.raises(ServerUnusable, match="has been closed"):
        server.url  # noqa: B018


def test_closed_while_a_list_is_waited_for(eventually: Eventually) -> None:
    """A server that is closed under a BLPOP ends as well."""
    server = EmbeddedServer()
    waiting = Connection(path_of(server))
    waiting.send(("BLPOP", "list", "0"))
    until_blocked(server, 1, eventually)
    thread = threading.Thread(target=server.close, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    with pytest.raises(ConnectionError):
        waiting.receive()
    waiting.close()


def test_a_dropped_server_is_closed(eventually: Eventually) -> None:
    """It goes with its object, even if the garbage collector finds that while a command is executed."""
    server = EmbeddedServer()
    connection = Connection(path_of(server))
    folder, inside = Path(path_of(server)).parent, server._server
    owners = [server]
    del server

    def drop() -> None:
        with inside.lock:
            connection.send(("PING",))  # its thread waits for the lock
            owners.clear()
            gc.collect()

    n_threads = threading.active_count()
    within(PATIENCE, drop)
    assert not folder.exists()
    eventually(lambda: threading.active_count() == n_threads - 1, "its thread should end")
    connection.close()


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise RuntimeError", "os._exit(1)", "os.kill(os.getpid(), 9)"])
def test_it_goes_with_its_process(ending: str, eventually: Eventually) -> None:
    """However the process ends, even if it is killed, the folder is removed, and whoever waits is told."""
    program = (
        "import os, sys\n"
        "from streamlab.servers.embedded import EmbeddedServer\n"
        "server = EmbeddedServer()\n"
        "print(server.url, flush=True)\n"
        "sys.stdin.readline()\n"
        f"{ending}\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip().removeprefix("unix://"))
        reader = Connection(str(path))
        reader.send(("XREAD", "BLOCK", "0", "STREAMS", "s", "$"))
        assert path.exists()
        process.communicate("\n", timeout=PATIENCE)
        with pytest.raises(ConnectionError):
            reader.receive()
        reader.close()
    eventually(lambda: not path.parent.exists(), "the folder should be gone", timeout=PATIENCE)


FORK = """
import os, sys, threading
from streamlab.servers.client import ServerUnusable
from streamlab.servers.embedded import EmbeddedServer
from tests.differential.wire import Connection

server = EmbeddedServer()
path = server.url.removeprefix("unix://")
client = server.client()
client.xgroup_create("s", "g", mkstream=True)
reader, other = Connection(path), Connection(path)
reader.send("XREADGROUP GROUP g c BLOCK 0 STREAMS s >".split())
while server._server.n_blocked != 1:
    pass
read_end, write_end = os.pipe()
is_set_up, tell = os.pipe()
child = os.fork()
if child == 0:
    os.close(write_end)
    assert threading.active_count() == 1
    try:
        server.url
    except ServerUnusable as error:
        assert "fork" in str(error)
    else:
        raise AssertionError
    own = EmbeddedServer()
    assert Connection(own.url.removeprefix("unix://")).ask("PING") == "PONG"
    copy = server.client()  # a copy of the data, without those who wait
    copy.xadd("s", {"f": "1"})
    assert copy.xpending("s", "g")["pending"] == 0
    reader._socket.close()
    other._socket.close()
    os.write(tell, b".")
    os.read(read_end, 1)  # lives on until the parent has looked
    sys.exit(0)  # with all that is done at exit
os.close(read_end)
os.close(tell)
assert os.read(is_set_up, 1) == b".", "the child failed"
assert other.ask("XLEN", "s") == 0
reader.close()
client.xadd("s", {"f": "1"})
assert client.xpending("s", "g")["pending"] == 0  # the child keeps no end of the connection
late = Connection(path)
assert late.ask("PING") == "PONG"
client.client_kill_filter(_id=late.ask("CLIENT", "ID"))
try:
    late.receive()
except ConnectionError:
    pass
else:
    raise AssertionError
os.close(write_end)
assert os.waitpid(child, 0)[1] == 0
assert other.ask("PING") == "PONG"
assert os.path.exists(path)
print("fine")
"""


def test_a_fork_does_not_serve() -> None:
    """A forked child serves nobody, holds nothing open, and leaves the socket alone when it ends."""
    said = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=False)
    assert said.stdout == "fine\n", said.stderr


def test_no_unix_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are none, the error says what to do; clients within the process work all the same."""
    server = EmbeddedServer()
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        with pytest.raises(ServerUnusable, match=r"connect by URL.*WSL"):
            server.url  # noqa: B018
    with server.client() as client:
        assert client.ping()


def test_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it cannot be opened, the error says why, nothing is left behind, and asking again is allowed."""
    server = EmbeddedServer()
    before = held()

    def refuse(*_: object, **__: object) -> Path:
        raise OSError(28, "No space left on device")

    for place, name in ((listening, "private_folder"), (os, "chmod")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, refuse)
            with pytest.raises(ServerUnusable, match="No space left"):
                server.url  # noqa: B018
        assert_nothing_left(before)
    assert server.url.startswith("unix://")
    server.close()


# ---- clients that are dropped ------------------------------------------------------------------


def within(seconds: float, call: Callable[[], object]) -> None:
    """Call, in a thread, and fail rather than hang."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"


def test_a_client_may_be_freed_at_any_moment(server: EmbeddedServer) -> None:
    """The garbage collector frees a client in the midst of a command, and its reader is given nothing."""
    with server.client() as other:
        other.xgroup_create("s", "g", mkstream=True)

        def drop() -> None:
            client = server.client().client()
            assert client.connection is not None
            client.connection.send_command(*READ)
            assert server._server.n_blocked == 1
            with server._server.lock:  # as while a command is executed
                del client
                gc.collect()

        within(PATIENCE, drop)
        other.xadd("s", {"f": "1"})
        assert other.xpending("s", "g")["pending"] == 0
        assert other.info("clients")["connected_clients"] == 1


def test_dropped_clients_by_the_hundred(server: EmbeddedServer) -> None:
    """Clients that nobody closes, with errors that hold them for a while, do no harm."""
    url = server.url

    def drop() -> None:
        for n in range(200):
            client = redis.Redis.from_url(url) if n % 4 == 0 else server.client()
            try:
                client.xgroup_create("s", "g", id="0", mkstream=True)
            except redis.ResponseError as error:
                assert "BUSYGROUP" in str(error)  # noqa: PT017
            for _ in range(20):
                client.xadd("s", {"f": "1"}, maxlen=100)

    within(60, drop)
