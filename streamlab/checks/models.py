"""Verdicts on the appendix: what an approximate trim leaves, and a consumer group of one's own beside the model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from streamlab.checks.attempts import call, returned, shown, whole_number
from streamlab.model import StreamModel
from streamlab.results.verdict import Objection, Verdict, judged, nothing_yet

_GROUP: Final = "g"
_CONSUMERS: Final = ("alice", "bob")
_N_SEEDS, _N_STEPS = 4, 50
#: Entry id → (consumer, delivery count).
Held = dict[int, tuple[str, int]]


# ---- what an approximate trim leaves -----------------------------------------------------------------


def left_after_trim(answer: object, *, n_entries: int, max_length: int) -> Verdict:
    """Check how many of so many small entries are left after ``XTRIM … MAXLEN ~``.

    `answer` is a number of entries.
    """
    if answer is ...:
        return nothing_yet().verdict
    said = whole_number(answer)
    if said is None:
        hint = "a whole number of entries, without quotes."
        return Verdict(False, f"{shown(answer)} is not a number of entries.", hint)
    model = StreamModel()
    for n in range(1, n_entries + 1):
        model.add(("number", str(n)), n, (n, 0))
    n_removed = model.trim(max_length=max_length, approximate=True)
    left = len(model.entries)
    if said == left:
        return Verdict(True, f"{n_removed} go, in whole nodes; one more node would leave fewer than {max_length}.")
    return Verdict(False, *_why_not(said, left, n_entries, max_length))


def _why_not(said: int, left: int, n_entries: int, max_length: int) -> tuple[str, str]:
    """Return what is wrong with a number of entries left, and what to think of."""
    if said == n_entries - left:
        return f"{said} is how many go.", "the question is how many are left."
    if said == max_length:
        words = f"{said} would be left by MAXLEN =, which cuts a node in two."
        return words, "MAXLEN ~ removes whole nodes only. Which of them can go?"
    if said < max_length:
        words = f"{said} are fewer than the {max_length} that were asked for."
        return words, "a node stays if without it fewer than MAXLEN would be left."
    if said >= n_entries:
        words = f"There are {n_entries}, so {said} would mean that nothing goes."
        return words, "how many can go, and how many whole nodes is that?"
    if said % 100 == 0:
        hint = "nodes are filled from the oldest entry on: the one that is not full is the newest."
        return f"{said} would be whole nodes from the end.", hint
    if said > left:
        return f"Fewer than {said} are left.", "can one more node go?"
    return f"More than {said} are left.", "how many entries are in the nodes that go altogether?"


# ---- a consumer group of one's own -------------------------------------------------------------------


@judged
def tiny_group(answer: object) -> Verdict:
    """Check a consumer group of a few lines: it does what the model does, step by step.

    ``answer()`` makes one with ``read(stream, consumer, count)`` (``XREADGROUP … >``; `stream` is a list of ids, lowest
    first), ``history(consumer)`` (``XREADGROUP … 0``), ``ack(entry_id)`` (``XACK``), and a dict ``pending``: id →
    (consumer, delivery count).
    """
    for seed in range(_N_SEEDS):
        _SideBySide(answer, seed).run()
    words = f"{_N_SEEDS} streams, {_N_STEPS} random steps on each: the same as the model after every one."
    return Verdict(True, f"{words} That is a consumer group.")


class _SideBySide:
    """A learner's group and the model, which take the same steps."""

    def __init__(self, answer: object, seed: int) -> None:
        if answer is not ... and not isinstance(answer, type):
            raise Objection(f"{shown(answer)} is not a class.", "give the class, without brackets.")
        self.group: Any = call(answer, "When one was made,")
        self.random = random.Random(seed)
        self.stream: list[int] = []
        self.model = StreamModel()
        self.model.create_group(_GROUP)
        self.told: list[str] = []  # the steps so far, as code
        self.has_read = False

    def run(self) -> None:
        self.add(5)
        self.read("alice", 2)
        self.read("bob", 2)
        self.history("alice")
        self.ack(self.stream[0])
        self.ack(self.stream[0])
        self.ack(self.stream[4])  # nobody was given it
        self.read("alice", 2)
        self.read("alice", 2)  # there is nothing new
        self.delete()
        for _ in range(_N_STEPS):
            self.step(self.random.choice(("add", "read", "history", "ack", "delete")))

    def step(self, what: str) -> None:
        consumer = self.random.choice(_CONSUMERS)
        if what == "add" or not self.stream:
            self.add(self.random.randint(1, 4))
        elif what == "read":
            self.read(consumer, self.random.randint(1, 3))
        elif what == "history":
            self.history(consumer)
        elif what == "ack":
            self.ack(self.random.choice(self.stream))
        else:
            self.delete()

    # ---- steps ---------------------------------------------------------------------------------

    def add(self, n_entries: int) -> None:
        for _ in range(n_entries):
            last = self.stream[-1] if self.stream else 0
            entry_id = last + self.random.randint(1, 5)  # ids have gaps
            self.stream.append(entry_id)
            self.model.add(("f", "v"), entry_id, (entry_id, 0))

    def delete(self) -> None:
        """Delete an entry that is done from the stream (``XDEL``): who counts entries then counts wrong."""
        group = self.model.groups[_GROUP]
        for entry_id in self.stream:
            if (entry_id, 0) <= group.last_id and (entry_id, 0) not in group.pending:
                self.stream.remove(entry_id)
                self.model.delete([(entry_id, 0)])
                return

    def read(self, consumer: str, count: int) -> None:
        last_id = self.model.groups[_GROUP].last_id[0]
        given = self.model.read_group(_GROUP, consumer, 0, count)
        expected = [ms for (ms, _), _ in given]
        step = f"read({self.stream}, {consumer!r}, {count})"
        got = self._ids(step, self.group.read, list(self.stream), consumer, count)
        if got != expected:
            hint = _hint_for_read(got, expected, last_id, count)
            raise Objection(f"{step} returned {got}; it should be {expected}.{self._story()}", hint)
        self._compare(step, "what is given goes on the list, with a delivery count of 1.")
        self.has_read = True

    def history(self, consumer: str) -> None:
        found = self.model.history(_GROUP, consumer, (0, 0), 0)
        expected = [ms for (ms, _), _ in found]
        step = f"history({consumer!r})"
        got = self._ids(step, self.group.history, consumer)
        if got != expected:
            held = self._held(step)
            others = [i for i in got if i in held and held[i][0] != consumer]
            raise Objection(
                f"{step} returned {got}; it should be {expected}.{self._story()}",
                f"{others[0]} is pending for {held[others[0]][0]}: a history is the consumer's own."
                if others
                else "all that is pending for this consumer, lowest id first.",
            )
        self._compare(step, "reading one's history counts as a delivery of each of these, and of no others.")

    def ack(self, entry_id: int) -> None:
        expected = self.model.ack(_GROUP, [(entry_id, 0)])
        step = f"ack({entry_id})"
        said = self._call(step, self.group.ack, entry_id)
        if said != expected or not isinstance(said, int):
            wanted = "ack returns 1 if the entry was pending, whoever has it, else 0."
            if said is None:
                raise returned(said, f"{step}:", wanted)
            raise Objection(f"{step} returned {shown(said)}, not {expected}.{self._story()}", wanted)
        self._compare(step, "an acknowledgement takes this one entry off the list.")

    # ---- looking at the learner's --------------------------------------------------------------

    def _call(self, step: str, method: object, *args: object) -> Any:
        try:
            said = call(method, f"{step}:", *args)
        except Objection as objection:
            if self.has_read and objection.verdict.words == nothing_yet().verdict.words:
                name = step.partition("(")[0]
                raise Objection(f"{name} has no answer yet.", "read is right; go on.") from None
            raise
        self.told.append(step)
        return said

    def _ids(self, step: str, method: object, *args: object) -> list[Any]:
        said = self._call(step, method, *args)
        if not isinstance(said, Sequence) or isinstance(said, str):
            raise returned(said, f"{step}:", "return a list of ids; an empty one if there are none.")
        return list(said)

    def _held(self, step: str) -> Held:
        pending: Any = getattr(self.group, "pending", None)
        try:
            return {i: (owner, count) for i, (owner, count) in pending.items()}
        except (AttributeError, TypeError, ValueError):
            hint = "keep it as it was given: pending = {}, entry id → (consumer, delivery count)."
            raise Objection(f"After {step} pending is {shown(pending)}.", hint) from None

    def _compare(self, step: str, hint: str) -> None:
        expected = {
            ms: (pending.consumer.name, pending.delivery_count)
            for (ms, _), pending in self.model.pending(_GROUP, now_ms=0)
        }
        held = self._held(step)
        if held != expected:
            wrong = min(i for i in {*held, *expected} if held.get(i) != expected.get(i))
            raise Objection(
                f"After {step} entry {wrong} is {_told(held.get(wrong))}; it should be "
                f"{_told(expected.get(wrong))}.{self._story()}",
                hint,
            )

    def _story(self) -> str:
        """Return the last steps before this one, for whoever wants to repeat them."""
        before = [step.split("[")[0] + "…" + step.split("]")[1] if "[" in step else step
                  for step in self.told[-4:-1]]  # fmt: skip
        return f" (Before it: {', '.join(before)}.)" if before else ""


def _hint_for_read(got: list[Any], expected: list[int], last_id: int, count: int) -> str:
    if len(got) > count:
        return f"count is the most that may be given: {count}."
    if any(isinstance(i, int) and i <= last_id for i in got):
        return f"{last_id} was given before: only ids above last_id are new. Does it move up?"
    if sorted(map(str, got)) == sorted(map(str, expected)):
        return "lowest id first."
    if not got:
        return "last_id is the last id that was given, not the last of the stream."
    return "entries may have been deleted: compare ids with last_id, do not count them."


def _told(held: tuple[str, int] | None) -> str:
    return "not pending" if held is None else f"pending as {held!r}"
