"""The live engine: a scenario's actors as processes of their own, on a real Redis, in real time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Self

import redis.exceptions

from streamlab.actors import Recovery
from streamlab.actors.events import ADDED
from streamlab.lab.carry_out import carry_out
from streamlab.lab.course import Course
from streamlab.lab.errors import LabError
from streamlab.lab.estate import Estate
from streamlab.lab.inspection import final_states
from streamlab.lab.joined import JoinedProcess, Reception
from streamlab.lab.live_outages import LiveOutages, servers_of
from streamlab.lab.live_process import LiveProcess, WorkerProcess, Workers
from streamlab.lab.machine_process import MachineProcess
from streamlab.lab.ownership import OwnKeys
from streamlab.lab.patience import to_its_end, within
from streamlab.lab.play import Part
from streamlab.lab.promotions import watch_promotions
from streamlab.lab.sharing import Sharing
from streamlab.lab.stage import Host, Process
from streamlab.lab.worker import PATIENCE, Task
from streamlab.results.events import EventLog
from streamlab.results.run import Run
from streamlab.scenario import Scenario, ScenarioError
from streamlab.scenario.actions import LostReply
from streamlab.servers.client import ServerInfo, ServerUnusable, check_server, check_stream_key, stream_client
from streamlab.servers.private import PrivateServer
from streamlab.servers.proxy import Proxy
from streamlab.servers.several import at_keys, is_cluster, parse_several

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Seconds between two looks at what the workers have written. A look at every line as it comes would have
#: the lab take the processor from the workers it watches, a few thousand times a second.
_LOOK_EVERY = 0.02
#: Seconds within which a worker has to be ready.
_START_LIMIT = 60.0
#: Seconds that closing a connection may take.
_PARTING = 1.0


class _Clock:
    """The time of the machine, by which its event loops go."""

    @property
    def now(self) -> float:
        return time.monotonic()


class LiveStage(LiveOutages):
    """A real server, private or at a URL, and worker processes."""

    last_call = 10.0
    longest_look = 0.01

    #: Of a private server.
    password: str | None = None

    #: Where workers from elsewhere join, if they may.
    reception: Reception | None = None

    def __init__(self, scenario: Scenario, redis_url: str | None, *, keeps: bool, port: int | None = None) -> None:
        super().__init__()
        self._scenario = scenario
        self._keeps = keeps
        self._redis_url = redis_url
        self._port = port
        self._proxies: dict[str, Proxy] = {}
        self._client: Redis | None = None
        self.info: ServerInfo | None = None
        self._own_keys: OwnKeys | None = None
        self._estate: Estate | None = None  # of keys on a server that is somebody's
        self._course: Host | None = None
        self._workers: Workers | None = None
        self._sharing: Sharing | None = None
        #: Whose output has not been read to its end.
        self.lives: list[MachineProcess] = []

    @property
    def url(self) -> str:
        """The server's URL. It may hold a password: do not show it."""
        if self._redis_url is not None:
            return self._redis_url
        if self._private is None:
            raise LabError("this engine has not been opened: write `async with` around its use")
        return self._private.url

    @property
    def public_url(self) -> str:
        """The URL for other programs: that of a private server's port, or of the server that was given."""
        private = self._private if self._port is not None else None
        return private.tcp_url if isinstance(private, PrivateServer) else self.url

    @property
    def client(self) -> Redis:
        if self._client is None:
            raise LabError("this engine has not been opened: write `async with` around its use")
        return self._client

    # ---- the server --------------------------------------------------------------------------------

    async def prepare(self, added: Callable[[], set[str]]) -> None:
        """Start the server or connect to it, and make the stream and its group; `added` are the ids of the run's."""
        scenario = self._scenario
        self._workers = Workers()
        if self._redis_url is None:
            servers = servers_of(scenario, keeps=self._keeps, port=self._port, password=self.password)
            await self.start_servers(servers)
        self.patience = PATIENCE if parse_several(self.url) else 0.0
        self._client = stream_client(self.url, name="streamlab-lab")
        self.info = await check_server(self._client)
        self.check_recovery(scenario.recovery)
        for stream in scenario.streams:
            await check_stream_key(self._client, stream)
        self._own_keys = OwnKeys(self._client, tuple(scenario.groups), added)
        if self._redis_url is not None:
            self._estate = Estate(self._redis_url, self._own_keys)
        await self._own_keys.claim_for(scenario)
        self.inform_estate()

    def inform_estate(self, *, now: bool = True) -> None:
        """Let somebody know what has to be deleted if this process is killed."""
        if self._estate is not None:
            workers = [process.pid for process in self.lives if process.pid is not None]
            guests = [] if self.reception is None else [guest.sign for guest in self.reception.guests.values()]
            self._estate.keep_up(workers, guests=guests, now=now)

    def note_added(self, entry_id: str) -> None:
        """Note an entry that the run has added."""
        if self._estate is not None:
            self._estate.note_added(entry_id)

    def check_recovery(self, recovery: Recovery) -> None:
        assert self.info is not None
        if not recovery.works_on(self.info.kind, self.info.version):
            raise ServerUnusable(recovery.complaint(str(self.info)))

    async def claim_keys(self, recovery: Recovery) -> None:
        if recovery.max_deliveries is not None:
            assert self._own_keys is not None
            await self._own_keys.claim_dead_letters(recovery.dead_letter_of(self._scenario.stream))
            self.inform_estate()

    async def lose_reply(self, action: LostReply) -> None:
        name = action.target
        if parse_several(self.url):
            raise ScenarioError("lost-reply goes through a proxy of one server, not of several: leave it out")
        if name not in self._proxies:
            proxy = self._proxies[name] = await Proxy(self.url).start()
            assert self._course is not None
            process = self._course.processes.get(name)
            if process is not None and not process.has_ended:
                process.order(url=proxy.url)
        self._proxies[name].lose_reply(action.command, action.nth)

    async def close(self) -> None:
        """Delete what was written to a server that was given; stop one that is private."""
        if self.reception is not None:
            self.reception.close()
        for proxy in self._proxies.values():
            await proxy.close()
        if self._client is not None:
            if self._own_keys is not None and self._estate is not None:  # on a server that is somebody's
                await self._own_keys.delete()
                self._estate.settle()
            with contextlib.suppress(TimeoutError, redis.exceptions.RedisError):
                await within(_PARTING, self._client.aclose())
            self._client = None
        if self._private is not None:
            self._private.stop()
            self._private = None
        if self._workers is not None:
            self._workers.close()

    # ---- the workers -------------------------------------------------------------------------------

    async def open(self, course: Host) -> None:
        self._course = course

    def spawn(self, part: Part) -> MachineProcess:
        course = self._course
        assert course is not None
        process: MachineProcess
        if self.reception is not None and part.name in self.reception.guests:
            guest = self.reception.guests[part.name]
            process = JoinedProcess(guest, course.scenario, part, course, self._cut, PATIENCE)
        else:
            proxy = self._proxies.get(part.name)
            task = Task(self.url if proxy is None else proxy.url, course.scenario, part, PATIENCE)
            assert self._workers is not None
            process = LiveProcess(task, course, self._cut, self._workers.start)
        self.lives.append(process)
        self.inform_estate()
        return process

    async def _cut(self, name: str) -> None:
        """Cut a worker's connections (``CLIENT KILL``)."""

        async def cut(client: Redis) -> None:
            for where in at_keys(client, self._scenario.streams):
                for row in await client.client_list(**where):
                    if row["name"] == f"streamlab-{name}":
                        await client.client_kill_filter(_id=row["id"], **where)

        await self.answered(cut)

    async def until_ready(self, processes: Iterable[Process]) -> None:
        workers = [process for process in processes if isinstance(process, WorkerProcess)]
        try:
            async with asyncio.timeout(_START_LIMIT):
                for worker in workers:
                    await worker.ready.wait()
        except TimeoutError:
            late = [worker.name for worker in workers if not worker.ready.is_set()]
            raise LabError(
                f"{', '.join(late)} did not start within {_START_LIMIT:g} s: is this machine overloaded?"
            ) from None
        assert self._course is not None
        for name, words in self._course.errors.items():
            raise LabError(f"{name} could not start: {words}")

    async def let_wait(self, consumer: Process) -> None:
        """Let a consumer begin, and wait until it has its shards, or one client more is blocked by the server."""
        if self._scenario.shards is not None:
            self._sharing = self._sharing or Sharing(self, self._scenario)
            consumer.begin(time.monotonic())
            return await self._sharing.has_begun(consumer.name)
        before = await self._n_blocked()
        consumer.begin(time.monotonic())
        deadline = time.monotonic() + 0.5  # another client's coming and going must not hold us up
        while time.monotonic() < deadline:
            if await self._n_blocked() > before:
                return
            await asyncio.sleep(0.001)

    async def _n_blocked(self) -> int:
        async def ask(client: Redis) -> int:
            nodes = at_keys(client, self._scenario.streams)
            return sum([(await client.info("clients", **where))["blocked_clients"] for where in nodes])

        return await self.answered(ask)

    async def countdown(self) -> float:
        if self._sharing is not None:
            await self._sharing.all_have_begun()
        origin = time.monotonic() + 0.05
        self.begin_keeping(origin)
        if self._private is None and is_cluster(self.url):
            assert self._course is not None
            self._course.do(watch_promotions(self, self._course, self._scenario))
        return origin

    def end_last(self, process: Process) -> str:
        assert isinstance(process, MachineProcess)
        why = f"did not stop within {self.last_call:g} s, and was killed"
        process.give_up(why)
        return why


class LiveEngine:
    """One run of a scenario by worker processes, on a private server or on the one at `redis_url`.

    A private one listens on TCP as well if it is given a `port`: else it can be reached by the run alone.
    To be used on one event loop: ``async with LiveEngine(scenario) as engine: await engine.run()``.
    When it is left, however it is left, no worker and no private server is running any more, and the
    scenario's stream has been deleted from the server that was given. Under the name `open_as`, workers from elsewhere
    may join: see `streamlab.lab.joining`.
    """

    def __init__(
        self, scenario: Scenario, *, redis_url: str | None = None, interactive: bool = False, port: int | None = None,
        open_as: str | None = None,
    ) -> None:  # fmt: skip
        if redis_url is not None and scenario.needs_persistence:
            raise LabError("the fault server-down kills the server: on a private one only, so leave the URL out")
        if redis_url is not None and scenario.may_forget:
            raise LabError("this scenario says what servers it has (persistence, replicas): so leave the URL out")
        self.log = EventLog(clock=_Clock())
        self.stage = self._stage(scenario, redis_url, interactive or scenario.needs_persistence, port)
        self.course = Course(scenario, self.stage, self.log, carry_out)
        if open_as is not None:
            self.stage.reception = Reception(self.stage.url, open_as)
        #: Whether it is ending everything that it holds: nobody may tear that.
        self.is_closing = False

    def _stage(self, scenario: Scenario, redis_url: str | None, keeps: bool, port: int | None) -> LiveStage:
        """Return what the run is played on."""
        return LiveStage(scenario, redis_url, keeps=keeps, port=port)

    async def __aenter__(self) -> Self:
        try:
            await self.stage.prepare(self._added)
            if self.stage.reception is not None:
                self.stage.reception.open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def scenario(self) -> Scenario:
        """The scenario as it is now: consumers may have been added, and the recovery changed."""
        return self.course.scenario

    @property
    def url(self) -> str:
        """The server's URL. It may hold a password: do not show it."""
        return self.stage.url

    @property
    def client(self) -> Redis:
        """A client of the server, for questions."""
        return self.stage.client

    @property
    def now(self) -> float:
        """Seconds since the run began; NaN before."""
        return time.monotonic() - self.course.origin

    @property
    def origin(self) -> float:
        """The machine's time (``time.monotonic``) at which the run began; NaN before."""
        return self.course.origin

    async def run(self, progress: Callable[[float, int], None] | None = None) -> Run:
        """Run the scenario to its end; `progress` is called now and then with time and events so far."""
        began = time.monotonic()
        self.course.do(self._read_all())
        if self.stage.reception is not None:
            self.course.do(self.stage.reception.receive(self.course))
        if progress is not None:
            self.course.do(self._tick(progress))
        try:
            await self.course.run()
            final, *finals = await self.stage.answered(lambda client: final_states(client, self.scenario))
        except (redis.exceptions.ConnectionError, redis.exceptions.RedisClusterException) as error:
            raise await self.stage.went_away(error) from None
        origin, log = self.course.origin, list(self.log)
        if self.stage.reception is not None:
            log += self.stage.reception.unheard(log, self.scenario.groups, (final, *finals))
        return Run(
            scenario=self.course.as_planned,
            engine="live",
            server=str(self.stage.info),
            events=EventLog.of(event._replace(at=event.at - origin) for event in log),
            final=final,
            finals=tuple(finals),
            wall=time.monotonic() - began,
            errors=self.course.errors,
            waits={
                name: process.waited
                for name, process in self.course.processes.items()
                if isinstance(process, WorkerProcess) and process.waited is not None
            },
        )

    async def close(self) -> None:
        """End everything: workers, what was written to the server, the private server. No cancellation tears that."""
        self.is_closing = True
        await to_its_end(self._close())

    async def _close(self) -> None:
        await self.course.drop()
        for process in self.stage.lives:
            process.close()
        await self.stage.close()

    def _added(self) -> set[str]:
        """Return the ids of the entries that producers have added."""
        return {event.id for event in self.log if event.kind == ADDED}

    async def _read_all(self) -> None:
        """Look again and again at what the workers have written."""
        lives = self.stage.lives
        while True:
            for process in lives[:]:
                process.read()
                if process.has_ended:
                    lives.remove(process)
            self.stage.inform_estate(now=False)
            self.stage.check_alive()
            await asyncio.sleep(_LOOK_EVERY)

    async def _tick(self, progress: Callable[[float, int], None]) -> None:
        while True:
            progress(self.now if self.now > 0 else 0.0, len(self.log))  # NaN or less before it begins
            await asyncio.sleep(0.2)
