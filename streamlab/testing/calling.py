"""How a consumer of one's own is called: by the names of its parameters, with the function that does its work."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import importlib
import inspect
import itertools
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import redis.asyncio

from streamlab.actors import Handler
from streamlab.checks.attempts import Stop, name_of, shown
from streamlab.checks.consumer_client import WatchedClient, for_ever
from streamlab.checks.consumer_life import is_async, not_async
from streamlab.results.verdict import Objection
from streamlab.testing.clients import TWIN, OwnClient, as_text

#: What a consumer may ask for, and by which names. A parameter with a default is filled by the first of them only.
ROLES: Final[dict[str, tuple[str, ...]]] = {
    "client": ("client", "redis", "redis_client", "r", "conn", "connection"),
    "connect": ("connect", "get_client", "get_redis", "make_client", "client_factory", "redis_factory"),
    "stream": ("stream", "stream_name", "stream_key", "key"),
    "group": ("group", "group_name", "consumer_group"),
    "consumer": ("consumer", "consumer_name", "name", "worker"),
    "handler": ("handler", "handle", "process", "callback", "effect"),
    "stop": ("stop", "stop_event", "stopping", "shutdown"),
}
_IN_ORDER: Final = ("client", "stream", "group", "consumer", "handler", "stop")
_ROLE_OF: Final = {name: role for role, names in ROLES.items() for name in names}
#: Seconds for which a consumer that is cancelled may finish what it is at work on; and between two looks.
_GRACE, _LOOK = 1.0, 0.001
#: Seconds after which it is cancelled again.
_AGAIN: Final = 0.25
_ID: Final = re.compile(r"\d+-\d+")


class Called:
    """A consumer of one's own, as `streamlab.checks.grading.try_own` calls them.

    Raises
    ------
    TypeError
        If it cannot be called: in words.
    """

    def __init__(self, consumer: Any, handler: Any = None) -> None:
        self.consumer = consumer
        self.__name__ = name_of(consumer)
        self.handler = handler
        self.roles = _roles_of(consumer)
        asks = self.roles is None or "handler" in self.roles.values()
        if handler is None and not asks:
            raise TypeError(
                f"nothing tells when {self.__name__} has done an entry: give it a parameter handler, and let it "
                "await handler(entry_id, fields); or name the async function that does the work: handler=…"
            )

    async def __call__(
        self, client: WatchedClient, stream: str, group: str, consumer: str, handler: Handler, stop: asyncio.Event
    ) -> None:
        """Be one life of the consumer: until it ends, or is ended at `stop` if it does not ask for that."""
        current = _Current(client, handler)
        given = {
            "client": client, "connect": lambda *_, **__: client, "stream": stream, "group": group,
            "consumer": consumer, "handler": current.do, "stop": stop,
        }  # fmt: skip
        # For this life, and all that it starts.
        TWIN.set(current.twin_of)
        _WORK.set(current.do)
        takes_stop = self.roles is None or "stop" in self.roles.values()
        me = asyncio.current_task()
        ender = None if takes_stop or me is None else asyncio.create_task(_end(me, stop, current))
        try:
            said = self._call(given)
            if not inspect.isawaitable(said):
                raise Stop(not_async(self.consumer, said))
            await said
        except asyncio.CancelledError:
            if takes_stop or not stop.is_set():
                raise
        finally:
            if ender is not None:
                ender.cancel()

    def _call(self, given: dict[str, Any]) -> Any:
        if self.roles is None:
            return self.consumer(*(given[role] for role in _IN_ORDER))
        parameters = inspect.signature(self.consumer).parameters
        args = [
            given[r] for name, r in self.roles.items() if parameters[name].kind is inspect.Parameter.POSITIONAL_ONLY
        ]
        options = {
            name: given[role]
            for name, role in self.roles.items()
            if parameters[name].kind is not inspect.Parameter.POSITIONAL_ONLY
        }
        return self.consumer(*args, **options)


async def _end(task: asyncio.Task[Any], stop: asyncio.Event, current: _Current) -> None:
    """End a consumer that does not ask for `stop`: cancel it when it has done what it is at, or after a second."""
    await stop.wait()
    current.is_ending = True
    until = asyncio.get_running_loop().time() + _GRACE
    while current.n_at_work and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(_LOOK)
    while True:  # until this task is cancelled, too: before Python 3.12, asyncio.wait_for may lose a cancellation
        task.cancel()
        await asyncio.sleep(_AGAIN)


def _roles_of(consumer: Any) -> dict[str, str] | None:
    """Return what to give to which parameter; None: six arguments, in their order."""
    name = name_of(consumer)
    if inspect.iscoroutine(consumer):
        consumer.close()
        raise TypeError("that is a coroutine: give the function itself, without brackets; it is called for each life")
    if not callable(consumer):
        raise TypeError(f"{shown(consumer)} is no async function")
    if inspect.isasyncgenfunction(consumer):
        raise TypeError(f"{name} has a yield in it: it hands nothing out, but awaits handler(entry_id, fields)")
    if inspect.isclass(consumer):
        verdict = not_async(consumer).verdict
        raise TypeError(f"{verdict.words} {verdict.hint}")
    try:
        signature = inspect.signature(consumer)
    except ValueError:
        return None  # it does not tell
    roles: dict[str, str] = {}
    unknown: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        role = _ROLE_OF.get(parameter.name)
        has_default = parameter.default is not inspect.Parameter.empty
        if role is not None and role not in roles.values() and (not has_default or ROLES[role][0] == parameter.name):
            roles[parameter.name] = role
        elif not has_default:
            unknown.append(parameter.name)
    if roles and not unknown:
        return roles
    try:
        signature.bind(*_IN_ORDER)
    except TypeError:
        if not unknown:
            return roles
        known = ", ".join(names[0] for names in ROLES.values())
        raise TypeError(
            f"{name}{signature} has a parameter {unknown[0]} that cannot be filled: known are {known}. Give it a "
            f"default, or wrap it: lambda client, consumer, handler: {name}(…)"
        ) from None
    return None


# ---- the function that does the work -----------------------------------------------------------------

#: What does the work of the life whose task this is; None: no trial is running.
_WORK: contextvars.ContextVar[Callable[..., Any] | None] = contextvars.ContextVar("streamlab_work", default=None)


class _Current:
    """One life: its client, those that it made itself, and what does its work."""

    def __init__(self, client: WatchedClient, handler: Handler) -> None:
        self.client, self.handler = client, handler
        self.n_at_work = 0
        self.is_ending = False
        self._twins: dict[int, tuple[Any, OwnClient]] = {}
        self._index: dict[str, set[str]] = {}
        self._n_indexed = 0

    def twin_of(self, given: redis.asyncio.Redis) -> OwnClient:
        """Return who acts in the place of a client that this life has made, or found."""
        if id(given) not in self._twins:
            self._twins[id(given)] = given, OwnClient(given, self.client)
        return self._twins[id(given)][1]

    def do(self, *args: Any, **options: Any) -> Any:
        """Do the work for an entry, which is recognised by what is given: its id, its fields, or some of them."""
        if self.is_ending:  # no more work is begun: it is cancelled at the next look
            return for_ever()
        entry_id, fields = self._entry_in([*map(as_text, args), *map(as_text, options.values())])
        return self._at_work(self.handler(entry_id, fields))

    async def _at_work(self, work: Awaitable[object]) -> None:
        self.n_at_work += 1
        try:
            await work
        finally:
            self.n_at_work -= 1

    def _entry_in(self, given: list[Any]) -> tuple[str, dict[str, str]]:
        if len(given) >= 2 and isinstance(given[0], str) and isinstance(given[1], dict) and _ID.fullmatch(given[0]):
            return given[0], given[1]
        known = self.client.noted.fields
        words = [word for one in given for word in _words_in(one)]
        for word in words:
            if word in known:
                return word, known[word]
        found: set[str] = set()
        by_value = self._by_value(known)
        for word in words:
            having = by_value.get(word, set())
            found = (found & having or found) if found else set(having)
        if len(found) == 1:
            entry_id = found.pop()
            return entry_id, known[entry_id]
        which = "several entries are" if found else "no entry is"
        raise Stop(
            Objection(
                f"The work was called with {shown(tuple(given))}, in which {which} to be recognised.",
                "give it the entry's id or its fields; and let entries=… differ from one to the next.",
            )
        )

    def _by_value(self, known: dict[str, dict[str, str]]) -> dict[str, set[str]]:
        """Return which entries hold a value; those that have come since the last time are added to it."""
        for entry_id, fields in itertools.islice(known.items(), self._n_indexed, None):
            for value in fields.values():
                self._index.setdefault(value, set()).add(entry_id)
        self._n_indexed = len(known)
        return self._index


def _words_in(thing: Any, depth: int = 0) -> Iterator[str]:
    """Yield all texts and numbers in something, as texts."""
    if isinstance(thing, str | int | float):
        yield str(thing)
    elif depth < 4:
        if isinstance(thing, Mapping):
            inner: Any = thing.values()
        elif isinstance(thing, list | tuple | set):
            inner = thing
        else:
            inner = getattr(thing, "__dict__", {}).values()
        for one in inner:
            yield from _words_in(one, depth + 1)


@contextlib.contextmanager
def work_replaced(called: Called) -> Iterator[None]:
    """Let the function that does a consumer's work be the trial's, wherever it is found by its name."""
    if called.handler is None:
        yield
        return
    function, places = _places_of(called.handler, called.consumer)
    if not is_async(function):
        raise TypeError(f"handler: {name_of(function)} is no async function: in a trial, work takes (virtual) time")

    @functools.wraps(function)
    def does_the_work(*args: Any, **options: Any) -> Any:
        return (_WORK.get() or function)(*args, **options)

    try:
        for owner, name in places:
            setattr(owner, name, does_the_work)
        yield
    finally:
        for owner, name in places:
            setattr(owner, name, function)


def _places_of(handler: Any, consumer: Any) -> tuple[Any, list[tuple[Any, str]]]:
    """Return a function, and where it is found: in its own module or class, and in the consumer's module."""
    if isinstance(handler, str):
        module, _, name = handler.rpartition(".")
        try:
            handler = getattr(importlib.import_module(module), name)
        except (ImportError, ValueError, AttributeError):
            raise TypeError(f"handler: there is no {handler!r}: give a function, or 'module.function'") from None
    if not callable(handler):
        raise TypeError(f"handler: {shown(handler)} is no function")
    function = inspect.unwrap(consumer)
    function = getattr(function, "func", getattr(function, "__func__", function))
    homes = [sys.modules.get(str(handler.__module__)), sys.modules.get(str(getattr(function, "__module__", "")))]
    outer = functools.reduce(lambda of, name: getattr(of, name, None), handler.__qualname__.split(".")[:-1], homes[0])
    places: list[tuple[Any, str]] = []
    for home in (outer, *homes):
        places += [(home, n) for n, value in [*vars(home or object).items()] if value is handler and home is not None]
    if not places:
        raise TypeError(
            f"handler: {name_of(handler)} is found by no name, in no module: make it a function of a module"
        )
    return handler, [*dict.fromkeys(places)]
