"""Running a consumer that a learner wrote as a process that may be killed: one life of it after the other."""

from __future__ import annotations

import asyncio
import inspect
import linecache
from collections.abc import Callable, Coroutine
from typing import Any

from streamlab.actors import Handler, RedisLost
from streamlab.actors.events import FAILED, PROCESSED, STARTED, STOPPED, Report
from streamlab.checks.attempts import Stop, chain_of, is_ours, name_of
from streamlab.checks.consumer_client import WatchedClient, for_ever
from streamlab.checks.consumer_watch import Life, Watch
from streamlab.lab.job import InjectedError
from streamlab.lab.simulated import SimulatedDeath
from streamlab.results.verdict import Objection
from streamlab.virtual.redis import SimulatedRedis
from streamlab.virtual.task import PROCESS

#: Seconds of virtual time at which the first lives begin.
_FIRST_MOMENT = 1e-6
#: After so many failures of a consumer's handler at one entry, no more tries are awaited.
_MOST_TRIES = 50
#: Seconds for which a handler works on what it cannot do.
_IN_VAIN = 0.008
SIGNATURE = "(client, stream, group, consumer, handler, stop)"


class OwnConsumer:
    """A learner's consumer, to be run by an engine in place of `streamlab.actors.consume`.

    It is ``await answer(client, stream, group, consumer, handler, stop)``. `impossible` says by consumer the how
    manieth entry that it handles is one which it can never do, though others can; for `page` see `WatchedClient`.
    """

    def __init__(
        self,
        answer: Callable[..., Any],
        watch: Watch,
        *,
        impossible: dict[str, int] | None = None,
        page: int | None = None,
    ) -> None:
        self.answer = answer
        self.watch = watch
        self._impossible = impossible or {}
        self._page = page
        self._seen: dict[str, list[str]] = {}

    async def act(
        self,
        client: SimulatedRedis,
        stream: str,
        group: str,
        consumer: str,
        handler: Handler,
        *,
        stop: asyncio.Event,
        report: Report,
        **_: object,
    ) -> int:
        """Run one life, until it ends or dies."""
        loop = asyncio.get_running_loop()
        report(STARTED, consumer)
        if loop.time() < 0:  # the world is still being made
            await asyncio.sleep(_FIRST_MOMENT - loop.time())
        life = Life(consumer, loop.time())
        self.watch.lives.setdefault(consumer, []).append(life)
        death: asyncio.Future[None] = loop.create_future()
        watched = WatchedClient(
            client, self.watch, life, report, stream=stream, group=group, stop=stop, page=self._page
        )
        handle = self._handler(handler, life, report, death)
        life.task = loop.create_task(
            self._answer(watched, stream, group, consumer, handle, stop), name=f"{consumer}'s own"
        )
        try:
            await asyncio.wait({life.task, death}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            life.is_over = True
            life.waits_in = waits_in(life.task)
            _end_all_of(PROCESS.get(), but=asyncio.current_task())
        if death.done():
            raise SimulatedDeath
        self._look_at_the_end(life, stop)
        report(STOPPED, consumer)
        return 0

    async def _answer(self, *args: Any) -> Any:
        said: Any = None
        try:
            said = self.answer(*args)
            if inspect.isawaitable(said):
                return await said
        except SystemExit as error:
            words = f"{args[3]} ended the whole program (sys.exit)."
            raise Stop(Objection(words, "use return; and not before stop is set.")) from error
        except (Exception, Stop) as error:
            if is_async(self.answer) or inspect.isawaitable(said):
                raise
            raise Stop(not_async(self.answer)) from error
        if said is not ...:
            raise Stop(not_async(self.answer, said))
        return ...

    def _look_at_the_end(self, life: Life, stop: asyncio.Event) -> None:
        """Object if a consumer has ended though nothing had told it to."""
        task, watch = life.task, self.watch
        assert task is not None
        if task.cancelled():
            hint = "cancel only tasks that it has started itself."
            watch.refuse(Objection(f"{life.consumer} cancelled itself.", hint), life.consumer)
            return
        error = task.exception()
        if error is not None:
            self._note_error(life, error)
            # As with a process: it is dead, and may be started again.
            raise InjectedError(f"{life.consumer} ended by an error") from error
        if task.result() is ...:
            watch.is_untouched = True
            asyncio.get_running_loop().stop()
        elif not stop.is_set():
            now = asyncio.get_running_loop().time()
            moment = "at once" if now == life.began else f"at {now:.3f} s"
            words = (
                f"{life.consumer} returned {moment}, and nothing had asked it to stop: what comes later is "
                "left to others, and lost to all if there are none."
            )
            hint = (
                "go on until stop is set: while not stop.is_set(). That there is nothing to read now, or no "
                "connection, is not the end."
            )
            watch.refuse(Objection(words, hint), life.consumer)

    def _note_error(self, life: Life, error: BaseException) -> None:
        """End the run if this error is the learner's; a handler's that passes is as good as a crash."""
        errors = [error]
        if isinstance(error, BaseExceptionGroup):
            errors = [e for e in chain_of(error) if not isinstance(e, BaseExceptionGroup)]
        told = next((e for e in errors if isinstance(e, Stop)), None)
        own = next((e for e in errors if not isinstance(e, InjectedError)), None)
        if told is not None:
            self.watch.refuse(told.objection, life.consumer)
        elif own is not None:
            self.watch.refuse(Objection(f"{life.consumer} ended by itself."), life.consumer, own)

    # ---- the handler ---------------------------------------------------------------------------

    def _handler(self, handler: Handler, life: Life, report: Report, death: asyncio.Future[None]) -> Handler:
        """Return the handler that the learner's consumer is given."""
        watch, consumer = self.watch, life.consumer

        async def handle(entry_id: str, fields: dict[str, str]) -> None:
            if life.is_over or watch.objection is not None:
                await for_ever()
            watch.handled[entry_id] += 1
            try:
                if self._cannot_do(consumer, entry_id):
                    # In no time, it would be the first to find it idle again, each time.
                    await asyncio.sleep(_IN_VAIN)
                    raise InjectedError(f"{consumer} cannot do entry {entry_id}; others can")
                if not fields:
                    raise KeyError("n")  # as any handler that looks into its entry
                await handler(entry_id, fields)
                report(PROCESSED, consumer, entry_id)
            except SimulatedDeath:
                life.is_over = True
                if not death.done():
                    death.set_result(None)
                await for_ever()
            except Exception as error:
                if life.is_over:
                    await for_ever()
                self._note_failure(consumer, entry_id)
                report(FAILED, consumer, entry_id)
                if isinstance(error, RedisLost) and error.__cause__ is not None:
                    raise error.__cause__ from None  # what redis-py raises, to a handler as to all others
                raise

        def remembered(entry_id: str, fields: dict[str, str]) -> Coroutine[Any, Any, None]:
            return watch.call("handler", handle(entry_id, fields))

        remembered.__name__ = remembered.__qualname__ = "handler"
        return remembered

    def _note_failure(self, consumer: str, entry_id: str) -> None:
        failures = self.watch.failed.setdefault(entry_id, [])
        failures.append(consumer)
        if failures.count(consumer) < _MOST_TRIES:
            return
        words = f"the handler of {consumer} failed at entry {entry_id} for the {_MOST_TRIES}th time."
        if self.watch.uses["history"] > _MOST_TRIES / 2:
            hint = (
                "each read of its own history gives it again, and resets its idle time, so that no other consumer may "
                "ever take it. Read its own history at the start and after a lost connection only."
            )
        else:
            hint = (
                "leave an entry pending after a few tries, with a pause between them, and go on: another consumer, "
                "which takes it over, may be able to do it."
            )
        self.watch.refuse(Objection(words, hint), consumer)

    def _cannot_do(self, consumer: str, entry_id: str) -> bool:
        """Return whether a consumer cannot do this entry, however often it tries."""
        nth = self._impossible.get(consumer)
        if nth is None:
            return False
        seen = self._seen.setdefault(consumer, [])
        if entry_id not in seen and len(seen) < nth:
            seen.append(entry_id)
        return len(seen) == nth and seen[-1] == entry_id


# ---- what an answer has to be ----------------------------------------------------------------------


def is_async(answer: object) -> bool:
    """Return whether something is surely a coroutine function; also a partial, or an object with an async call."""
    return inspect.iscoroutinefunction(answer) or inspect.iscoroutinefunction(
        getattr(type(answer), "__call__", None)  # noqa: B004  (it is looked at, not asked for)
    )


def not_async(answer: object, said: object = None) -> Objection:
    """Return what to say of a consumer that is no coroutine function."""
    name = name_of(answer)
    if inspect.isasyncgen(said):
        hint = "it hands nothing out: await handler(entry_id, fields), and go on."
        return Objection(f"{name} has a yield in it.", hint)
    if inspect.isclass(answer):
        return Objection(f"{name} is a class.", "give an instance of it, whose __call__ is async def.")
    hint = f"it has to be a coroutine: async def {name}{SIGNATURE}, with await before each command."
    return Objection(f"{name} is no async function.", hint)


# ---- tasks -----------------------------------------------------------------------------------------


def _end_all_of(process: object, but: asyncio.Task[Any] | None) -> None:
    """Cancel all tasks of a process: at the server, none of them waits for entries any more."""
    for task in asyncio.all_tasks():
        context = getattr(task, "context", None)
        if task is not but and context is not None and context.get(PROCESS) is process:
            task.cancel()


def waits_in(task: asyncio.Task[Any]) -> str:
    """Return the learner's line in which a task waits; nothing if it is not known."""
    line = ""
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        if frame is not None and not is_ours(frame.f_code.co_filename):
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() or line
        awaited = getattr(awaited, "cr_await", None)
    return line
