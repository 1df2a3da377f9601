"""`Pair`: a master and its replica, which take turns, behind one address that leads to whoever is the master.

What may be lost by a failover at any moment is Redis' own affair: replication is asynchronous. Here a failover is one
that was planned (as ``FAILOVER`` does it): writes are held, the replica catches up, then roles change. So nothing that
was acknowledged can be lost, unless a client loses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import redis

from streamlab.servers.client import sync_stream_client
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary
from streamlab.servers.proxy import close_listener

#: Seconds within which a server does what it was told, also on a busy machine.
PATIENCE = 60.0


class Relay:
    """Leads from a port on 127.0.0.1 to a unix socket: a replica reaches its master by TCP only."""

    def __init__(self, path: Path) -> None:
        self.port = 0
        self._path = path
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: weakref.WeakSet[asyncio.StreamWriter] = weakref.WeakSet()
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()
        self._is_ready.wait()

    def close(self) -> None:
        """Close all connections and the port."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._closing = asyncio.Event()
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        self._is_ready.set()
        await self._closing.wait()
        await close_listener(listener)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:  # also of a task that was cancelled before it began
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = self._loop.create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_unix_connection(self._path)
        except OSError:  # nobody is there
            writer.close()
            return
        self._writers.add(back)
        await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError):  # one side has gone, and so does the other
            while piece := await reader.read(1 << 16):
                writer.write(piece)
                await writer.drain()
    finally:
        writer.close()


class Node:
    """One of the two servers."""

    def __init__(self, binary: ServerBinary | str, password: str) -> None:
        self.server = PrivateServer(
            binary,
            persistence="aof",
            password=password,
            options={"appendfsync": "always", "masterauth": password, "repl-diskless-sync-delay": 0},
        ).start(PATIENCE)
        self.client = sync_stream_client(self.server.url, name="soak")
        self.relay = Relay(self.server.socket_path)

    def info(self, section: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.info(section)
        return answer

    def follow(self, other: Node) -> None:
        """Become the replica of another (``REPLICAOF``)."""
        self.client.replicaof("127.0.0.1", other.relay.port)

    @property
    def is_in_step(self) -> bool:
        """Whether this replica has all of its master's data, also on disk.

        After a full synchronisation its append-only file is being rewritten; what it acknowledged as a master
        before that has ended, and was then killed, it would not find again.
        """
        if self.info("replication")["master_link_status"] != "up":
            return False
        disk = self.info("persistence")
        return not disk["aof_rewrite_in_progress"] and not disk["aof_rewrite_scheduled"]

    def close(self) -> None:
        self.client.close()
        self.server.stop()
        self.relay.close()


class Pair:
    """Two servers, one of them the master; clients find it at `url`."""

    def __init__(self, binary: ServerBinary | str) -> None:
        password = secrets.token_urlsafe()
        with contextlib.ExitStack() as stack:
            self.master = Node(binary, password)
            stack.callback(self.master.close)
            self.replica = Node(binary, password)
            stack.callback(self.replica.close)
            # In the folder of one of them, which goes with this process.
            self._address = self.master.server.folder / "to-master"
            self.url = f"unix://:{password}@{quote(str(self._address))}"
            self._lead_to_master()
            self.replica.follow(self.master)
            self._stack = stack.pop_all()
        self._doomed: Any = None

    def _lead_to_master(self) -> None:
        new = self._address.with_suffix(".new")
        new.symlink_to(self.master.server.socket_path)
        os.replace(new, self._address)

    # ---- what goes wrong ---------------------------------------------------------------------------

    def fail_over(self) -> None:
        """Let the two change roles, so that nothing is lost that was acknowledged."""
        old, new = self.master, self.replica
        wait_until(lambda: new.is_in_step, "the replica has all data")
        old.client.client_pause(round(PATIENCE * 1000), all=False)
        written = old.info("replication")["master_repl_offset"]
        wait_until(lambda: new.info("replication")["slave_repl_offset"] >= written, "the replica has the last of it")
        new.client.replicaof("NO", "ONE")
        self.master, self.replica = new, old
        self._lead_to_master()
        old.follow(new)
        old.client.client_unpause()

    def demote(self) -> None:
        """Make the master a replica, of nobody that is there: it refuses all writes, and keeps its data."""
        self.master.client.replicaof("127.0.0.1", 1)

    def promote(self) -> None:
        """Make it a master again."""
        self.master.client.replicaof("NO", "ONE")

    def kill(self) -> None:
        """Kill the master (SIGKILL)."""
        self.master.server.kill()

    def restart(self) -> None:
        """Start it again, with what its append-only file holds."""
        self.master.server.restart(PATIENCE)

    def hang(self) -> None:
        """Let the master stand still: what it is sent piles up, and it has all connections that it needs."""
        self._doomed = self.master.client.connection_pool.get_connection()
        self.master.server.pause()

    def go_on_without_replies(self) -> None:
        """Let it go on: it executes what has piled up, and closes all connections before it has answered.

        It reads from each connection in the order in which something has come, and writes replies after that.
        """
        connection = self._doomed
        connection.send_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        self.master.server.resume()
        connection.read_response()
        self.master.client.connection_pool.release(connection)

    def cut(self, client_id: str) -> None:
        """Close a client's connection (``CLIENT KILL``)."""
        self.master.client.client_kill_filter(_id=client_id)

    # ---- what is there -----------------------------------------------------------------------------

    def connections(self) -> list[tuple[str, str]]:
        """Return id and name of those who are connected to the master."""
        rows: Any = self.master.client.client_list(_type="normal")
        return [(row["id"], row["name"]) for row in rows if row["name"] not in ("", "soak")]

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that a server will do."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise redis.TimeoutError(f"within {PATIENCE:g} s, {what}: it did not happen")
        time.sleep(0.005)
