"""Trying what a learner wrote: whatever it does, it ends in a verdict in words, not in a traceback or a hang.

    said = call(answer, "With 3 entries", client, key)

A function is given `TIME_LIMIT` seconds of the processor's time, and at most twice as many of the wall's, where the
platform has alarms (not on Windows) and the code runs in the main thread, as a notebook's cells do; no thread is left
behind. An endless loop inside one call to C code, such as ``sum(itertools.count())``, cannot be ended in this way.
Elsewhere, whoever watches the commands bounds their number. Interrupting the kernel (KeyboardInterrupt) ends the trial
itself.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import linecache
import math
import operator
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from streamlab.results.verdict import Objection, nothing_yet
from streamlab.servers.in_browser import IN_BROWSER

#: Seconds that one call of a learner's function may take. Right answers take some milliseconds.
TIME_LIMIT: Final = 3.0

_NONE_RETURNED: Final = "a function that ends without `return` gives back None."
#: The hint where nothing better is known of an error.
BY_ITSELF: Final = "call it by itself on a small example, in a cell of its own, and look at what it does there."
_LONGEST: Final = 90
#: Seconds after which an alarm that was swallowed is repeated.
_AGAIN: Final = 0.1


class Stop(BaseException):
    """Ends a learner's function from within, by way of a command or a handler that it calls.

    No Exception: a function that catches its errors, which may be right, does not catch this one.
    """

    def __init__(self, objection: Objection) -> None:
        super().__init__(str(objection))
        self.objection = objection


class OutOfTime(BaseException):
    """What is raised in code that has run for too long."""


def call(answer: object, case: str, *args: object, may_raise: type[BaseException] | tuple[()] = ()) -> Any:
    """Call a learner's function, and return what it returns.

    The words of an objection begin with `case`, such as ``"With 3 entries,"``. An exception `may_raise` passes, also if
    the function raises another one because of it. Raises `Objection` if there is no function yet, or it cannot be
    called in this way, fails, or does not end.
    """
    function = as_function(answer, *args)
    try:
        with time_limit(TIME_LIMIT):
            said = function(*args)
    except (KeyboardInterrupt, Objection):
        raise
    except Stop as stop:
        raise stop.objection from None
    except OutOfTime as error:
        words = f"{case} it was still running after {TIME_LIMIT:g} s{in_line(error)}."
        hint = "a loop that never ends? Say what has to become true for it to end, and look where that happens."
        raise Objection(words, hint) from None
    except BaseException as error:  # whatever a learner's function may do
        cause = next((e for e in chain_of(error) if may_raise and isinstance(e, may_raise)), None)
        if cause is not None:
            raise cause from error
        if isinstance(error, SystemExit):
            raise Objection(f"{case} it ended the whole program (sys.exit).", "use return.") from error
        raise Objection(f"{case} it raised {told(error)}{in_line(error)}.", hint_for(error)) from error
    if said is ...:
        raise nothing_yet()
    if inspect.iscoroutine(said):
        said.close()
        raise _asynchronous(answer)
    return said


def as_function(answer: object, *args: object) -> Callable[..., Any]:
    """Return an answer as a function that can be called with these arguments; raise `Objection` if it is none."""
    if answer is ...:
        raise nothing_yet()
    if not callable(answer):
        hint = "it begins with def."
        if answer is None:
            hint = f"was the function called, and its result assigned? {_NONE_RETURNED}"
        raise Objection(f"{shown(answer)} is not a function.", hint)
    if inspect.iscoroutinefunction(answer):
        raise _asynchronous(answer)
    try:
        signature = inspect.signature(answer)
        signature.bind(*args)
    except ValueError:  # what is written in C may not tell
        return answer
    except TypeError:
        raise Objection(
            f"{name_of(answer)} cannot be called with {count_of(len(args), 'argument')}: it is "
            f"{name_of(answer)}{signature}.",
            "leave the first line of the function as it was given.",
        ) from None
    return answer


def _asynchronous(answer: object) -> Objection:
    hint = "write it with def and without await: the client here is an ordinary redis.Redis."
    return Objection(f"{name_of(answer)} is an async function.", hint)


def listed(made: object, case: str, most: int, wanted: str) -> list[Any]:
    """Return what a learner's iterable gives, `most` items at the most; object to what is no list, as `returned` does.

    It may be a generator that fails.
    """
    if not isinstance(made, Iterable) or isinstance(made, str | Mapping):
        raise returned(made, case, wanted)
    items: list[Any] = call(lambda: list(itertools.islice(made, most)), case)
    return items


# ---- what went wrong -------------------------------------------------------------------------------


def told(error: BaseException) -> str:
    """Return an error as one line: its type and what it says."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {shorten(said, 200)}" if said else type(error).__name__


def hint_for(error: BaseException) -> str:
    """Return what to think of where a function has ended with an error of its own."""
    said = str(error)
    if isinstance(error, RecursionError):
        return "it calls itself again and again: what makes it stop?"
    if isinstance(error, IndexError):
        return "mind the case that there is nothing: then there is no first or last entry either."
    if isinstance(error, TypeError | AttributeError) and "NoneType" in said:
        return "something there is None: what does the command return when there is nothing?"
    if isinstance(error, AttributeError) and "Redis" in said:
        return "a client's methods have the names of the commands, in small letters: client.xrange, client.xack."
    if isinstance(error, NameError):
        return "is the name spelled as in the first line of the function?"
    if said.startswith("NOGROUP") or "NOGROUP" in said:
        return "no such group at that key: are key and group where the method wants them? r.xack(key, group, …)."
    if type(error).__module__.startswith("redis"):
        return "that is Redis' answer to the command in that line: are its arguments in order?"
    return BY_ITSELF


def in_line(error: BaseException) -> str:
    """Return the learner's line in which an error was raised, as words; nothing if it is not known."""
    line = learners_line(error)
    return f", in the line {line!r}" if line else ""


def learners_line(error: BaseException) -> str:
    """Return the last line of code that is the learner's own: neither this package's nor an installed one's."""
    found = ""
    traceback = error.__traceback__
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if not is_ours(name):
            line = linecache.getline(name, traceback.tb_lineno).strip()
            found = line or found
        traceback = traceback.tb_next
    return shorten(found, _LONGEST)


def is_ours(filename: str) -> bool:
    """Return whether a file is one of this package's, of an installed package, or of Python's own."""
    return filename.startswith((_PACKAGE, "<frozen")) or any(
        part in filename for part in ("site-packages", "dist-packages", _STANDARD_LIBRARY)
    )


_PACKAGE: Final = __file__.rpartition("checks")[0]
_STANDARD_LIBRARY: Final = contextlib.__file__.rpartition("contextlib")[0]


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and those because of which, or while, it was raised; groups with all that is in them."""
    todo, seen = [error], set[int]()
    while todo:
        one = todo.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions
        todo += [e for e in (one.__cause__, one.__context__) if e is not None]


# ---- how long it may take --------------------------------------------------------------------------


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in what runs inside if it takes longer.

    So many seconds of the processor's time, or twice as many of the wall's: a busy machine is no endless loop. The
    wall's are counted in alarms, which a process that has no processor, or is stopped, does not hear. By an alarm
    signal: in the main thread, where there are alarms, and where nothing else uses them. Elsewhere there is no limit.
    If it is swallowed (by a bare ``except:``), it is raised again where the next line of the learner's begins, which
    sooner or later is one that is in no ``try``.
    """
    if not has_alarms():
        yield
        return
    alarm = _Alarm(seconds, sys._getframe(2))
    _alarms.append(alarm)
    before = signal.signal(signal.SIGALRM, alarm.ring)
    tracer = sys.gettrace()
    signal.setitimer(signal.ITIMER_REAL, min(seconds, _AGAIN), _AGAIN)
    try:
        try:
            yield
        finally:
            alarm.is_on = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        _alarms.remove(alarm)
        if sys.gettrace() is not tracer:
            sys.settrace(tracer)


class _Alarm:
    """Raises `OutOfTime` in the code that is called from a frame."""

    def __init__(self, seconds: float, outermost: types.FrameType) -> None:
        self.is_on = True
        self._outermost = outermost
        self._n_left = math.ceil(2 * seconds / _AGAIN)
        self._end_of_work = time.process_time() + seconds
        self._has_rung = False

    def end_soon(self) -> None:
        self._n_left = min(self._n_left, 1)

    def ring(self, _: int, frame: types.FrameType | None) -> None:
        self._n_left -= 1
        is_due = self._n_left <= 0 or time.process_time() >= self._end_of_work
        if not self.is_on or not is_due:
            return
        if self._has_rung:  # and was swallowed
            while frame is not None and frame is not self._outermost:
                if not is_ours(frame.f_code.co_filename):
                    frame.f_trace = self._trace
                frame = frame.f_back
            sys.settrace(lambda *_: None)  # else no frame is traced
        self._has_rung = True
        raise OutOfTime

    def _trace(self, frame: types.FrameType, event: str, _: object) -> object:
        if self.is_on and event == "line":
            raise OutOfTime
        return self._trace


#: The one that is set, if any.
_alarms: list[_Alarm] = []


def cut_short() -> None:
    """Let what runs under a time limit end soon: it was told to (see `Stop`), and has swallowed that."""
    for alarm in _alarms:
        alarm.end_soon()


def has_alarms() -> bool:
    """Return whether there can be a time limit here and now."""
    return (
        hasattr(signal, "setitimer")
        and not IN_BROWSER  # which has the function, and no alarm
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, signal.SIG_IGN)
    )


# ---- what an answer may be -------------------------------------------------------------------------


def whole_number(answer: object) -> int | None:
    """Return an answer as a whole number, also if it is NumPy's or ``4.0``; None if it is none."""
    if isinstance(answer, bool):
        return None
    try:
        return operator.index(answer)  # type: ignore[arg-type]
    except TypeError:
        number = real_number(answer)
        return int(number) if number is not None and number.is_integer() else None


def real_number(answer: object) -> float | None:
    """Return an answer as a number, also if it is NumPy's or a Fraction; None if it is none. It may be infinite."""
    if isinstance(answer, bool | str | bytes) or not hasattr(answer, "__float__"):
        return None
    try:
        return float(answer)
    except Exception:  # an array, a Series of several
        return None


def is_about(said: float, truth: float, tolerance: float = 0.05) -> bool:
    """Return whether two numbers are the same, up to a part of the second."""
    return math.isclose(said, truth, rel_tol=0, abs_tol=tolerance * abs(truth))


def shown(answer: object, longest: int = _LONGEST) -> str:
    """Return how an answer looks, in one line that is not too long."""
    try:
        return shorten(" ".join(repr(answer).split()), longest)
    except Exception:  # of the learner's own class
        return f"a {type(answer).__name__}"


def shorten(text: str, longest: int) -> str:
    """Return a text of at most so many characters."""
    return text if len(text) <= longest else f"{text[: longest - 2]} …"


def name_of(answer: object) -> str:
    """Return what a function is called."""
    function = getattr(answer, "func", answer)  # of a partial
    return str(getattr(function, "__name__", type(function).__name__))


def returned(said: object, case: str, wanted: str) -> Objection:
    """Return what to say of a function that gave back something else than was asked for."""
    if said is None:
        return Objection(f"{case} it returned None.", f"{_NONE_RETURNED} {wanted}")
    return Objection(f"{case} it returned {shown(said)}.", wanted)


def count_of(n: int, word: str = "entry") -> str:
    """Return ``1 entry``, ``4 entries``, ``2 arguments``."""
    many = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{n} {word if n == 1 else many}"
