"""What to say of a learner's consumer that ended by an error, or that never waits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from streamlab.checks.attempts import hint_for, in_line, told
from streamlab.checks.consumer_watch import Watch

_N_COMMANDS_TOLD: Final = 8

#: By what a server's error begins with.
_OF_ERROR: Final = {
    "NOGROUP": "the group, or the whole stream, was destroyed: make it again (XGROUP CREATE … 0 MKSTREAM), and go on.",
    "UNBLOCKED": "the stream was deleted while a read waited for it; from Redis 7.2 on that is called NOGROUP as well. "
    "Make the group again (XGROUP CREATE … 0 MKSTREAM), and go on.",
    "BUSYGROUP": "the group is there already, another consumer or an earlier life has made it: BUSYGROUP is no error, "
    "go on.",
    "The XGROUP subcommand requires": "the whole stream was deleted: with MKSTREAM, XGROUP CREATE makes it as well.",
}
_LOST: Final = (
    "a lost connection is to be waited out: catch redis.ConnectionError, await asyncio.sleep(…) a little, read its own "
    "history again, and go on."
)
_GHOST: Final = (
    "an entry that is gone from the stream comes from its own history without fields, {}: there is nothing left to be "
    "done with it. Acknowledge it."
)
_VIRTUAL: Final = (
    "time is virtual here, and there are no sockets, threads, signals or processes: use the client that is given, and "
    "asyncio.sleep."
)


@dataclass(frozen=True)
class Diagnosis:
    """What is to be said of a run that went wrong: in words, with a hint and a story; and about which error."""

    words: str
    hint: str
    story: tuple[str, ...] = ()
    error: BaseException | None = None
    #: Whether the run was cut off, since nothing in it let time go on.
    hung: bool = False


def of_error(error: BaseException, culprit: str, watch: Watch) -> Diagnosis:
    """Return what to say of a consumer that ended by an error of its own."""
    words = f"{culprit} ended by itself: {told(error)}{in_line(error)}."
    return Diagnosis(words, _hint_for(error, watch), commands_told(watch, culprit), error)


def _hint_for(error: BaseException, watch: Watch) -> str:
    said = str(error)
    if isinstance(error, ConnectionError | TimeoutError | OSError):
        return _LOST
    if isinstance(error, ResponseError):
        for beginning, hint in _OF_ERROR.items():
            if said.startswith(beginning):
                return hint
        if watch.unknown:
            return about_unknown(watch)
        return "that is Redis' answer to the last command: are its arguments in order?"
    has_ghosts = any(life.ghosts for lives in watch.lives.values() for life in lives)
    if isinstance(error, KeyError | AttributeError | TypeError) and has_ghosts:
        return _GHOST
    if isinstance(error, NotImplementedError) or type(error) is RuntimeError:
        return _VIRTUAL
    if isinstance(error, TypeError | AttributeError) and "coroutine" in said:
        return "await is missing there: await client.xreadgroup(…)."
    return hint_for(error)


def about_unknown(watch: Watch) -> str:
    """Return what to say of commands that the simulated server does not have."""
    return (
        f"{', '.join(watch.unknown)}: the simulated server does not have it. It behaves as Redis 7.0, and has the "
        "commands on streams and on the other types; it has nothing to administer, and no Lua of one's own."
    )


def of_busy_loop(watch: Watch) -> Diagnosis:
    """Return what to say of consumers that keep asking, and never wait."""
    last = watch.last_commands("", 1)
    culprit = last[0].consumer if last else ""
    words = f"{culprit or 'a consumer'} went on and on and never waited: the clock never moved."
    return Diagnosis(words, _about_busy_loop(culprit, watch), commands_told(watch, culprit))


def _about_busy_loop(culprit: str, watch: Watch) -> str:
    sent = watch.last_commands(culprit, _N_COMMANDS_TOLD)
    if not sent:
        return "asyncio.sleep(0) does not wait: let XREADGROUP wait, with BLOCK."
    life = watch.last_life(culprit)
    if life is not None and life.is_cut_off:
        return "the server cannot be reached, and it tries again at once: await asyncio.sleep(…) before the next try."
    if life is not None and life.n_errors >= _N_COMMANDS_TOLD:
        for beginning, hint in _OF_ERROR.items():
            if life.last_error.startswith(beginning):
                return f"it catches {beginning}, and tries the same again: {hint}"
        return f"it is answered with an error, and tries the same again: {life.last_error}."
    names = {command.name for command in sent}
    reads = [command for command in sent if command.name == "XREADGROUP"]
    if reads and all(">" not in read.words for read in reads):
        if life is not None and life.ghosts:
            return f"its own history gives the same again until it is acknowledged, and {_GHOST}"
        return (
            "it reads its own history again and again. With an id (0), XREADGROUP ignores BLOCK and gives what is "
            "pending: go on from the last id until nothing comes, and then with > and BLOCK."
        )
    if any(">" in read.words and read.option("BLOCK") is None for read in reads):
        return "XREADGROUP without BLOCK returns at once: give it block=…, in milliseconds."
    if not reads and names & {"XAUTOCLAIM", "XPENDING", "XCLAIM"}:
        return "when the cursor is 0-0 the walk is over: read new entries then, with BLOCK, before the next walk."
    if not reads and any(len(consumers) > _N_COMMANDS_TOLD for consumers in watch.failed.values()):
        return "wait before an entry is tried again: await asyncio.sleep(…); and after a few tries leave it pending."
    return "wait before the next try: XREADGROUP with BLOCK, or await asyncio.sleep(…)."


def of_no_await(watch: Watch, seconds: float, error: BaseException) -> Diagnosis:
    """Return what to say of a consumer that ran for too long without giving others their turn."""
    last = watch.last_commands("", 1)
    culprit = last[0].consumer if last else ""
    sent = watch.last_commands(culprit, _N_COMMANDS_TOLD)
    if len(sent) == _N_COMMANDS_TOLD and sent[0].at == sent[-1].at:
        return replace(of_busy_loop(watch), hung=True)  # which only had not come to its end
    return Diagnosis(
        f"it was still running after {seconds:g} s{in_line(error)}.",
        "a loop in which nothing is awaited never lets the others go on: await handler(…), await client.…, or await "
        "asyncio.sleep(…).",
        commands_told(watch, culprit),
        hung=True,
    )


def commands_told(watch: Watch, culprit: str) -> tuple[str, ...]:
    """Return a consumer's last commands, a line for each."""
    sent = watch.last_commands(culprit, _N_COMMANDS_TOLD)
    return ("Its last commands:", *map(str, sent)) if sent else ()
