"""How a real server fails: it is killed and restarted with what is on its disk; or its replica takes its place."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import redis.exceptions

from streamlab.lab.errors import LabError
from streamlab.lab.patience import to_its_end
from streamlab.lab.promotions import look
from streamlab.lab.stage import Host, Left, Stage
from streamlab.scenario import Scenario, ScenarioError
from streamlab.scenario.failing import SNAPSHOT_EVERY, SYNC_EVERY, Failover, NetworkCut
from streamlab.servers.cluster import PrivateCluster
from streamlab.servers.private import Persistence, PrivateServer
from streamlab.servers.replicas import PrivateReplicas
from streamlab.servers.together import ask

#: Seconds within which a server has to have loaded what it had, or a replica to have been promoted.
_RELOAD_LIMIT: Final = 60.0
#: By "everysec", what was answered may wait for two seconds to be written, while a disk is slow. And what a long run
#: has written is to be loaded in a moment.
_KEEPING_ALL: Final[dict[str, str | int]] = {"appendfsync": "no", "auto-aof-rewrite-min-size": "4mb"}
#: What each persistence is on a server of ours. Snapshots are asked for, so that it is known when they were made; and
#: an append-only file is not rewritten, so that it is known what has been synced.
_PERSISTENCE: Final[dict[str | None, tuple[Persistence, dict[str, str | int]]]] = {
    "none": ("none", {}),
    "rdb": ("rdb", {"save": '""'}),
    "aof-everysec": ("aof", {"auto-aof-rewrite-percentage": 0}),
    "aof-always": ("aof-always", {"auto-aof-rewrite-percentage": 0}),
}
#: Seconds after which Sentinels call a primary dead that does not answer: with a busy machine in mind.
_DOWN_AFTER: Final = 1.0
#: Seconds that a process may take to end once it has closed its sockets.
_TO_END: Final = 2.0
#: Sentinels that look at a replica meanwhile would have it copy its primary again; in milliseconds.
_LOOK_SELDOM: Final = 3_600_000
#: What a run's own servers are.
Servers = PrivateServer | PrivateReplicas | PrivateCluster
#: Where no server is: a replica that is to copy it keeps what it has.
_NOWHERE: Final = ("127.0.0.1", 1)


def went_away(server: PrivateServer) -> LabError:
    """Return what to raise when a server has died: its last words tell why."""
    said = " ".join(server.log(3).split())[-500:]
    words = f"; its last words: {said}" if said else ""
    return LabError(f"the server went away in the middle of the run{words}: run again")


def servers_of(scenario: Scenario, *, keeps: bool, port: int | None, password: str | None) -> Servers:
    """Return the servers that a scenario asks for, not started yet; a single one `keeps` all it has, if it is to."""
    if scenario.primaries:
        return PrivateCluster(n_primaries=scenario.primaries, n_replicas=scenario.replicas)
    if scenario.replicas:
        return PrivateReplicas(n_replicas=scenario.replicas, down_after=_DOWN_AFTER)
    usual: tuple[Persistence, dict[str, str | int]] = ("aof" if keeps else "none", _KEEPING_ALL)
    persistence, options = _PERSISTENCE.get(scenario.persistence, usual)
    return PrivateServer(persistence=persistence, port=port, password=password, options=options)


class LiveOutages(Stage):
    """The part of a live stage that is about its own servers."""

    _scenario: Scenario
    _course: Host | None

    def __init__(self) -> None:
        self._private: Servers | None = None
        #: Who takes writes, where there are replicas: to ask the Sentinels takes too long when somebody is to die.
        self._primary: PrivateServer | None = None
        #: How much of each append-only file has been synced.
        self._synced: dict[Path, int] = {}
        self._is_without_power = False
        self._is_behind = False
        self._cut_until = -math.inf
        #: The shards of the server of a cluster that died last.
        self._failed: tuple[tuple[str, str], ...] = ()

    def check_alive(self) -> None:
        """Raise `LabError` if a private server has died."""
        assert self._course is not None
        if isinstance(self._private, PrivateServer) and not self._private.alive and not self._course.is_down:
            # Workers would go on trying to reach it for a while. But nobody will start it again.
            raise went_away(self._private)

    async def went_away(self, error: Exception) -> LabError:
        """Return what to raise for the error that a client ended with: of a private server, what it said last."""
        server = self._private
        if isinstance(server, PrivateServer):
            ended = time.monotonic() + _TO_END
            while server.alive and time.monotonic() < ended:
                await asyncio.sleep(0.01)
            if not server.alive:
                return went_away(server)
        return LabError(f"the server went away in the middle of the run ({error}): run again")

    async def start_servers(self, servers: Servers) -> None:
        """Start the run's own servers."""
        self._private = servers
        await self._in_thread(servers.start)
        if not isinstance(servers, PrivateReplicas):
            return
        self._primary = servers.servers[0]
        for sentinel in servers.sentinels:
            with contextlib.suppress(redis.exceptions.ResponseError):  # of Redis 6.2, which has no such command
                await self._in_thread(lambda: ask(sentinel, "SENTINEL", "DEBUG", "info-period", _LOOK_SELDOM))  # noqa: B023

    async def _in_thread(self, start: Callable[[], object]) -> None:
        """Start a server in a thread; if that is cancelled, see the thread end, so that the server can be stopped."""
        give_up = self._private.give_up if isinstance(self._private, PrivateServer) else None
        await to_its_end(asyncio.to_thread(start), if_cancelled=give_up)

    # ---- what is on the disk -----------------------------------------------------------------------

    def begin_keeping(self, origin: float) -> None:
        """Let snapshots be made, and syncs be noted, at full seconds of the run; and replicas fall behind in time."""
        course, persistence = self._course, self._scenario.persistence
        assert course is not None
        if persistence == "rdb":
            course.do(self._every(SNAPSHOT_EVERY, origin, self._save))
        elif persistence == "aof-everysec":
            course.do(self._every(SYNC_EVERY, origin, self._note_synced))
        elif self._scenario.replication_delay:
            course.do(self._fall_behind_in_time(origin))

    async def _every(self, period: float, origin: float, keep: Callable[[PrivateServer], object]) -> None:
        server = self._private
        assert isinstance(server, PrivateServer)
        for n in range(1, 1 << 31):
            await asyncio.sleep(origin + n * period - time.monotonic())
            if server.alive:
                with contextlib.suppress(redis.exceptions.ConnectionError):  # it has died meanwhile
                    await asyncio.to_thread(keep, server)

    def _save(self, server: PrivateServer) -> None:
        ask(server, "BGSAVE")

    def _note_synced(self, server: PrivateServer) -> None:
        self._synced |= {path: path.stat().st_size for path in _append_only_files(server.folder)}

    # ---- a single server ---------------------------------------------------------------------------

    def check_outage(self) -> None:
        if self._private is None:
            raise ScenarioError("server-down kills the server: on a private one only, so leave the URL out")

    async def go_down(self) -> None:
        assert isinstance(self._private, PrivateServer)
        self._private.kill()

    def lose_power(self) -> None:
        self._is_without_power = True

    async def come_up(self) -> None:
        private = self._private
        if not isinstance(private, PrivateServer):
            assert private is not None
            await self._until_promoted(private)
            return
        if self._is_without_power and self._scenario.persistence == "aof-everysec":
            for path in _append_only_files(private.folder):
                os.truncate(path, self._synced.get(path, 0))
        await self._in_thread(lambda: private.restart(_RELOAD_LIMIT))

    async def what_is_left(self) -> Left | None:
        scenario = self._scenario
        if not scenario.may_forget:
            return None
        forgets = scenario.replicas or scenario.persistence in ("none", "rdb")
        is_set_back = bool(forgets or (scenario.persistence == "aof-everysec" and self._is_without_power))
        self._is_without_power = False
        return await self.answered(lambda client: look(client, self._failed or scenario.places, is_set_back))

    # ---- a primary and its replicas ----------------------------------------------------------------

    async def _fall_behind_in_time(self, origin: float) -> None:
        """Cut the replicas off before each failover that is planned."""
        planned = [action.when for action in self._scenario.faults if isinstance(action, Failover)]
        for when in sorted(planned):
            await asyncio.sleep(origin + when - self._scenario.replication_delay - time.monotonic())
            await asyncio.to_thread(self._cut_off)

    async def fall_behind(self, action: Failover) -> None:
        delay = self._scenario.replication_delay
        if delay and not self._is_behind:  # nobody had planned it
            await asyncio.to_thread(self._cut_off)
            await asyncio.sleep(delay)

    def _cut_off(self) -> None:
        """Let the replicas that are left copy nothing any more."""
        self._is_behind = True
        self._tell_replicas(*_NOWHERE)

    def _tell_replicas(self, host: str, port: int) -> None:
        assert isinstance(self._private, PrivateReplicas)
        for server in self._private.servers:
            if server.alive and server is not self._primary:
                ask(server, "REPLICAOF", host, port)

    async def fail_over(self, action: Failover) -> float:
        private = self._private
        if isinstance(private, PrivateCluster):
            await asyncio.to_thread(self._kill_primary, private)
            return 0.0
        assert isinstance(private, PrivateReplicas)
        if sum(server.alive for server in private.servers) < 2:
            raise ScenarioError("failover: no replica is left to be promoted")
        assert self._primary is not None
        self._primary.kill()
        return 0.0

    def _kill_primary(self, cluster: PrivateCluster) -> None:
        """Kill the server of the first shard, if it has a replica; all of its shards may lose something."""
        served_by = {place: cluster.primary_of(place[1]) for place in self._scenario.places}
        primary = next(iter(served_by.values()))
        if not ask(primary, "ROLE")[2]:
            raise ScenarioError("failover: no replica is left to be promoted")
        self._failed = tuple(place for place, server in served_by.items() if server is primary)
        primary.kill()

    async def _until_promoted(self, private: PrivateReplicas | PrivateCluster) -> None:
        deadline = time.monotonic() + _RELOAD_LIMIT
        while not await asyncio.to_thread(self._is_promoted, private):
            if time.monotonic() > deadline:
                raise LabError(f"no replica was promoted within {_RELOAD_LIMIT:g} s: is this machine overloaded?")
            await asyncio.sleep(0.02)
        if isinstance(private, PrivateReplicas):
            self._primary = await asyncio.to_thread(lambda: private.primary)
            self._is_behind = False

    def _is_promoted(self, servers: PrivateReplicas | PrivateCluster) -> bool:
        if isinstance(servers, PrivateReplicas):
            return _takes_writes(servers)
        return all(servers.primary_of(stream).alive for _, stream in self._failed)

    async def cut_replicas(self, action: NetworkCut) -> None:
        course = self._course
        assert course is not None
        until = self._cut_until = max(self._cut_until, time.monotonic() + action.duration)
        await asyncio.to_thread(self._cut_off)
        course.do(self._join_again(course, until))

    async def _join_again(self, course: Host, when: float) -> None:
        """Let the replicas catch up with their primary, unless they have been cut off for longer meanwhile."""
        await asyncio.sleep(when - time.monotonic())
        private = self._private
        if self._cut_until <= when and not course.is_down and isinstance(private, PrivateReplicas):
            self._is_behind = False
            assert self._primary is not None
            port = self._primary.port
            assert port is not None
            await asyncio.to_thread(self._tell_replicas, "127.0.0.1", port)


def _append_only_files(folder: Path) -> list[Path]:
    """Return what a server appends its commands to: from Redis 7.0 on in a folder of its own."""
    return [*folder.glob("appendonlydir/*.incr.aof"), *folder.glob("appendonly.aof")]


def _takes_writes(servers: PrivateReplicas) -> bool:
    """Tell whether the one that the Sentinels name is there, and no replica."""
    primary = servers.primary
    try:
        return primary.alive and ask(primary, "ROLE")[0] in ("master", b"master")
    except redis.exceptions.RedisError:
        return False
