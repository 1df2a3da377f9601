"""Run a sequence of steps against a server and against the model, and compare every reply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from random import Random

from streamlab.model.commands import CommandError, StreamCommands, Waiter

from .generate import Args, Generator
from .wire import Answer, Server

N_READERS = 3

IMPLEMENTATION_FIGURES = frozenset({"radix-tree-keys", "radix-tree-nodes"})
"""Figures of XINFO STREAM that tell how a server stores a stream: not compared."""

TIMES = frozenset({"idle", "inactive", "seen-time", "active-time"})
"""Figures of XINFO in ms, compared with tolerance."""


@dataclass(frozen=True)
class Step:
    """One thing to do.

    ``reader`` None: the commands, on the main connection (several: as a transaction, or as a pipeline).
    Otherwise one command, on the connection of that reader, which it may block.
    """

    commands: tuple[tuple[str, ...], ...]
    reader: int | None = None
    is_pipeline: bool = False

    def __str__(self) -> str:
        text = " ; ".join(" ".join(_quoted(arg) for arg in args) for args in self.commands)
        if self.reader is not None:
            return f"[reader {self.reader}] {text}"
        together = "pipeline" if self.is_pipeline else "MULTI"
        return f"{together} {text}" if len(self.commands) > 1 else text


def _reads_last(args: Sequence[str]) -> bool:
    """Tell whether a read says ``+``: Valkey has it, but takes a deleted entry for the last one."""
    return args[0].upper().startswith("XREAD") and "+" in args


def _quoted(arg: str) -> str:
    if len(arg) > 100:
        return f"{arg[:10]}…({len(arg)} characters)"
    return arg if arg.isascii() and arg.isprintable() and arg and " " not in arg else repr(arg)


VALKEYS_OWN = frozenset({"lag", "entries-read"})
"""Figures of XINFO that Valkey reckons in ways of its own after deletions: not compared with it."""


@dataclass(frozen=True)
class Waiting:
    """A reader that waits, for something in these keys."""

    keys: Sequence[str]


class Divergence(AssertionError):
    """The model and the server answered differently."""


class Pair:
    """A server and a model that are given the same commands."""

    def __init__(self, server: Server, protocol: int = 2, *, exact: bool = False) -> None:
        self.server = server
        self.exact = exact
        self.main = server.connect(protocol, exact=exact)
        self.readers = [server.connect(protocol, exact=exact) for _ in range(N_READERS)]
        self.reader_ids = [str(reader.ask("CLIENT", "ID")) for reader in self.readers]
        self.waiters: list[Waiting | None] = []
        self.answers: dict[int, Answer] = {}
        self.reset()

    def reset(self) -> None:
        """Begin a new sequence: no keys, nobody blocked."""
        for number, waiter in enumerate(self.waiters):
            if waiter is not None:
                assert self.main.ask("CLIENT", "UNBLOCK", self.reader_ids[number]) == 1
                reply = self.readers[number].receive()
                assert not reply, reply
        self.main.ask("FLUSHALL")
        self.reset_model()
        self.waiters = [None] * N_READERS
        self.answers.clear()
        self.woken: dict[int, Answer] = {}  # by reader, the last answer to a read that waited
        self.slack_ms = 1
        self.done: list[Step] = []

    def close(self) -> None:
        for connection in (self.main, *self.readers):
            connection.close()

    # --- doing --------------------------------------------------------------------------------

    def do(self, step: Step) -> None:
        """Do a step on both sides; raise `Divergence` if they differ."""
        self.done.append(step)
        if self.server.kind == "valkey" and any(map(_reads_last, step.commands)):
            return
        if step.reader is not None:
            if self.waiters[step.reader] is None:
                self._read(step.reader, step.commands[0])
        elif len(step.commands) == 1:
            self._command(step.commands[0])
        elif step.is_pipeline:
            self._pipeline(step.commands)
        else:
            self._transaction(step.commands)
        self._compare_readers()

    def _command(self, args: Sequence[str]) -> None:
        before, reply, after = self.main.ask_timed(args)
        self._note_time(before, after)
        expected = self.ask_model(args, _time_of(args, reply, before, after))
        self._compare(args, reply, expected)

    def _pipeline(self, commands: Sequence[Sequence[str]]) -> None:
        self.main.send(("TIME",), *commands, ("TIME",))
        replies = [self.main.receive() for _ in range(len(commands) + 2)]
        self._several(commands, replies[1:-1], replies[0], replies[-1], is_transaction=False)

    def _transaction(self, commands: Sequence[Sequence[str]]) -> None:
        self.main.send(("TIME",), ("MULTI",), *commands, ("EXEC",), ("TIME",))
        replies = [self.main.receive() for _ in range(len(commands) + 4)]
        results = replies[-2]
        if isinstance(results, CommandError):
            self.compare_refusal(commands, replies[2:-2])
            return
        assert isinstance(results, list)
        self._several(commands, results, replies[0], replies[-1], is_transaction=True)

    def _several(
        self,
        commands: Sequence[Sequence[str]],
        replies: Sequence[Answer],
        began: Answer,
        ended: Answer,
        *,
        is_transaction: bool,
    ) -> None:
        before, after = _ms(began), _ms(ended)
        self._note_time(before, after)
        times = [_time_of(args, reply, before, after) for args, reply in zip(commands, replies, strict=True)]
        expected = self.ask_model_together(commands, times, is_transaction=is_transaction)
        for args, reply, answer in zip(commands, replies, expected, strict=True):
            self._compare(args, reply, answer)

    def _read(self, number: int, args: Sequence[str]) -> None:
        before = _ms(self.main.ask("TIME"))
        reader = self.readers[number]
        reader.send(args)
        expected = self.read_from_model(number, args, before)
        if isinstance(expected, Waiting):
            self.waiters[number] = expected
            self._wait_until_blocked(number, args)
        else:
            try:
                reply = reader.receive()
            except TimeoutError:
                raise self._divergence(args, "blocks", expected) from None
            self._compare(args, reply, expected)
        self._note_time(before, _ms(self.main.ask("TIME")))

    def _wait_until_blocked(self, number: int, args: Sequence[str]) -> None:
        """Wait until the server, too, has taken notice of a read that blocks in the model."""
        for _ in range(1000):
            line = str(self.main.ask("CLIENT", "LIST", "ID", self.reader_ids[number]))
            flags = line.split(" flags=")[1].split(" ")[0]
            if "b" in flags:
                return
            reply = self.readers[number].poll()
            if reply is not False:
                raise self._divergence(args, reply, "blocks")
        raise self._divergence(args, "neither blocks nor answers", "blocks")

    # --- the model's side ---------------------------------------------------------------------

    def reset_model(self) -> None:
        """Reset the model; nobody is blocked in it any more."""
        self.model = StreamCommands(version=self.server.as_redis)

    def ask_model(self, args: Sequence[str], now_ms: int) -> Answer:
        """Execute a command at a time, which must not block."""
        reply = self._execute(args, now_ms)
        assert not isinstance(reply, Waiter), "the main connection must not block"
        return reply

    def ask_model_together(
        self, commands: Sequence[Sequence[str]], times: Sequence[int], *, is_transaction: bool
    ) -> list[Answer]:
        """Execute commands, each at a time of its own, as a transaction or as a pipeline."""
        with self.model.transaction() if is_transaction else nullcontext():
            return [
                self.ask_model(args, now_ms) if not is_transaction else self._queued(args, now_ms)
                for args, now_ms in zip(commands, times, strict=True)
            ]

    def _queued(self, args: Sequence[str], now_ms: int) -> Answer:
        reply = self._execute(args, now_ms, may_block=False)
        assert not isinstance(reply, Waiter)
        return reply

    def read_from_model(self, number: int, args: Sequence[str], now_ms: int) -> Answer | Waiting:
        """Read as a reader; when one that waits is woken, its answer is found in `answers`."""
        reply = self._execute(args, now_ms)
        if not isinstance(reply, Waiter):
            return reply
        reply.on_ready = lambda answer: self.answers.__setitem__(number, answer)
        return Waiting(reply.keys)

    def collect_answers(self) -> None:
        """See that the answers to readers that have been woken are in `answers`."""

    def compare_refusal(self, commands: Sequence[Sequence[str]], replies: Sequence[Answer]) -> None:
        """Compare how commands were refused that could not all be queued: the model knows no queue."""

    def _execute(self, args: Sequence[str], now_ms: int, may_block: bool = True) -> Answer | Waiter:
        try:
            return self.model.execute(list(args), now_ms, may_block=may_block)
        except CommandError as error:
            return error

    # --- comparing ----------------------------------------------------------------------------

    def _note_time(self, before: int, after: int) -> None:
        self.slack_ms = max(self.slack_ms, after - before + 1)

    def _compare_readers(self) -> None:
        """Compare which blocked readers have been answered, and what."""
        if not any(self.waiters):
            return
        self.main.ask("PING")  # by its reply, those to the readers have been sent
        self.collect_answers()
        for number, waiter in enumerate(self.waiters):
            if waiter is None:
                continue
            reply = self.readers[number].poll()
            answer: Answer | bool = self.answers.pop(number, False)
            if reply is False and answer is not False:
                raise self._divergence((f"reader {number}",), "still blocked", answer)
            if reply is not False and answer is False:
                raise self._divergence((f"reader {number}",), reply, "still blocked")
            if reply is not False:
                assert not isinstance(answer, bool)
                self.waiters[number] = None
                self.woken[number] = reply
                self._compare((f"reader {number}", *waiter.keys), reply, answer)

    def _compare(self, args: Sequence[str], reply: Answer, expected: Answer) -> None:
        masked = IMPLEMENTATION_FIGURES
        if isinstance(expected, CommandError) and not self.exact:  # hiredis replaces what is no text
            text = str(expected).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            expected = CommandError(text)
        if self.server.kind == "valkey":
            masked |= VALKEYS_OWN
        if not same(args, reply, expected, self.slack_ms, masked):
            raise self._divergence(args, reply, expected)

    def _divergence(self, args: Sequence[str], reply: object, expected: object) -> Divergence:
        steps = "\n".join(f"  {step}" for step in self.done)
        return Divergence(
            f"after\n{steps}\n{' '.join(map(_quoted, args))}\n  server: {_shown(reply)}\n  model:  {_shown(expected)}"
        )


def _shown(reply: object) -> str:
    return repr(str(reply)) if isinstance(reply, CommandError) else repr(reply)


def _ms(reply: Answer) -> int:
    assert isinstance(reply, list)
    return int(str(reply[0])) * 1000 + int(str(reply[1])) // 1000


def _time_of(args: Sequence[str], reply: Answer, before: int, after: int) -> int:
    """Tell the server's time: that of the id it made for ``XADD *``, if that is a time."""
    if args[0].upper() == "XADD" and isinstance(reply, str):
        ms = int(reply.split("-")[0])
        if before <= ms <= after:
            return ms
    return before


def same(args: Sequence[str], reply: Answer, expected: Answer, slack_ms: int, masked: frozenset[str]) -> bool:
    """Compare replies in full, but for the times and for the masked figures of XINFO."""
    if isinstance(reply, CommandError) or isinstance(expected, CommandError):
        return isinstance(reply, CommandError) and isinstance(expected, CommandError) and str(reply) == str(expected)
    name = args[0].upper()
    if name == "XINFO":
        return _same_info(reply, expected, slack_ms, masked)
    if name == "XPENDING":
        return _same_lines(reply, expected, 2, slack_ms)
    if name == "XREADGROUP" or name.startswith("READER"):
        return _same_read(reply, expected, slack_ms)
    return reply == expected


def _near(a: object, b: object, slack_ms: int) -> bool:
    return isinstance(a, int) and isinstance(b, int) and abs(a - b) <= slack_ms


def _same_lines(a: Answer, b: Answer, time_at: int, slack_ms: int) -> bool:
    """Compare lists of pending entries."""
    if not (isinstance(a, list) and isinstance(b, list) and len(a) == len(b)):
        return a == b
    return all(x == y or _same_line(x, y, time_at, slack_ms) for x, y in zip(a, b, strict=True))


def _same_line(a: Answer, b: Answer, time_at: int, slack_ms: int) -> bool:
    if not (isinstance(a, list) and isinstance(b, list) and len(a) == len(b) > time_at):
        return False
    near = _near(a[time_at], b[time_at], slack_ms)
    return near and a[:time_at] + a[time_at + 1 :] == b[:time_at] + b[time_at + 1 :]


def _same_read(a: Answer, b: Answer, slack_ms: int) -> bool:
    """Compare replies of XREADGROUP, whose entries have idle times if claimed."""
    if a == b or not (isinstance(a, list) and isinstance(b, list) and len(a) == len(b)):
        return a == b
    for x, y in zip(a, b, strict=True):
        if not (isinstance(x, list) and isinstance(y, list)):
            return False
        if x[0] != y[0] or not _same_lines(x[1], y[1], 2, slack_ms):
            return False
    return True


def _same_info(a: Answer, b: Answer, slack_ms: int, masked: frozenset[str]) -> bool:
    if not (isinstance(a, list) and isinstance(b, list)):
        return a == b
    if not (a and b and isinstance(a[0], str) and len(a) > 3):
        return len(a) == len(b) and all(_same_info(x, y, slack_ms, masked) for x, y in zip(a, b, strict=True))
    if a[::2] != b[::2]:
        return False
    for name, x, y in zip(a[::2], a[1::2], b[1::2], strict=True):
        if name in masked:
            continue
        if name in TIMES:
            if not _near(x, y, slack_ms):
                return False
        elif name in ("pel", "pending") and isinstance(x, list):
            lines_name_consumers = any(isinstance(line, list) and len(line) == 4 for line in x)
            if not _same_lines(x, y, 2 if lines_name_consumers else 1, slack_ms):
                return False
        elif name in ("groups", "consumers") and isinstance(x, list):
            if not _same_info(x, y, slack_ms, masked):
                return False
        elif x != y:
            return False
    return True


# --- sequences --------------------------------------------------------------------------------


def random_steps(rng: Random, version: tuple[int, int, int], at_most: int = 40) -> list[Step]:
    """Make a sequence of steps."""
    make = Generator(rng, version)
    steps: list[Step] = []
    if rng.randrange(30) == 0:
        steps += [_step(args) for args in make.many()]
    with_readers = rng.randrange(3) == 0
    n_steps = len(steps) + rng.randrange(10, at_most + 1)
    first = [
        ["SET", "plain", "text"],
        ["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"],
        ["XGROUP", "CREATE", "s", "h", "$", "MKSTREAM"],
        ["XADD", "s", "1-1", "a", "1"],
    ][: rng.randrange(5)]
    for args in first:
        make.imagine(args)
        steps.append(_step(args))
    while len(steps) < n_steps:
        if with_readers and rng.randrange(3) == 0:
            steps.append(Step((tuple(make.blocking()),), rng.randrange(N_READERS)))
        elif rng.randrange(12) == 0:
            steps.append(Step(tuple(tuple(make.command()) for _ in range(rng.randrange(2, 4)))))
        else:
            steps.append(_step(make.command()))
    return steps


def _step(args: Args) -> Step:
    return Step((tuple(args),))


def pipelined(steps: Iterable[Step]) -> list[Step]:
    """Put single commands that follow each other into pipelines."""
    joined: list[Step] = []
    for step in steps:
        is_single = step.reader is None and len(step.commands) == 1
        if is_single and joined and joined[-1].is_pipeline and len(joined[-1].commands) < 7:
            joined[-1] = Step(joined[-1].commands + step.commands, is_pipeline=True)
        else:
            joined.append(Step(step.commands, step.reader, is_pipeline=is_single))
    return joined


def run(pair: Pair, steps: Iterable[Step]) -> Divergence | None:
    """Run a sequence; return where it diverged."""
    pair.reset()
    try:
        for step in steps:
            pair.do(step)
    except Divergence as divergence:
        return divergence
    return None


def shrink(make_pair: Callable[[], Pair], steps: list[Step]) -> tuple[list[Step], Divergence]:
    """Leave out steps as long as the sequence still diverges."""
    divergence = _run_fresh(make_pair, steps)
    assert divergence is not None, "the sequence does not diverge again"
    size = len(steps) // 2
    while size:
        start = 0
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            found = _run_fresh(make_pair, fewer)
            if found is None:
                start += size
            else:
                steps, divergence = fewer, found
        size //= 2
    return steps, divergence


def _run_fresh(make_pair: Callable[[], Pair], steps: list[Step]) -> Divergence | None:
    pair = make_pair()  # a divergence leaves readers in any state
    try:
        return run(pair, steps)
    finally:
        pair.close()
