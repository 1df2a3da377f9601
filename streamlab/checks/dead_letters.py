"""Verdicts on the exercises about entries that are given up, and about what becomes of them."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections import Counter
from typing import Final

from streamlab.checks.mishaps import (
    GROUP,
    KEY,
    Died,
    Fields,
    Mishap,
    Streams,
    comes_through,
    dies_at,
    each_step,
    no_mishap,
)
from streamlab.results.verdict import Objection, Verdict, judged

DEAD: Final = "{orders}:dead"
WORKER, OTHER = "ann", "bob"

# ---- giving up -------------------------------------------------------------------------------------


@judged
def gives_up(answer: object) -> Verdict:
    """Check a worker that gives up what was delivered too often, to a dead-letter stream (``XPENDING``, ``XADD``).

    ``answer(client, key, group, consumer, handle, limit, dead)`` is to do what is pending for `consumer`, then what is
    new, by ``handle(entry_id, fields)``, and to acknowledge each. It is started again whenever an entry has killed it;
    no entry is given to the handler more than `limit` times.
    """
    for seed in (0, 0, 1, 2):  # one of them twice: what a process counts dies with it
        _check_giving_up(answer, seed)
    _check_letter_first(answer)
    return Verdict(True, "Four groups, an entry that kills in each: that one is a dead letter, the others are done.")


class _Kitchen(Streams):
    """A stream and a group, with an entry that kills whoever handles it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = random.Random(seed)
        self.limit = rng.randint(2, 3)
        self.client.xgroup_create(KEY, GROUP, id="0", mkstream=True)
        ids = [f"{n}000-0" for n in range(1, 9)]
        for n, entry_id in enumerate(ids, 1):
            self.client.xadd(KEY, {"number": n, "dish": "soup"}, id=entry_id)
        self.client.xreadgroup(GROUP, OTHER, {KEY: ">"}, count=1)
        self.of_other, *self.ids = ids
        self.poison = self.ids[rng.randint(1, 3)]
        self.n_poisoned = 0
        self.handled: list[str] = []
        self.n_starts = 0
        self.worker = self.process()

    def handle(self, entry_id: str, fields: Fields) -> None:
        if entry_id not in self.ids:
            hint = "do what is pending for this consumer, and what is new: XREADGROUP with 0, then with >."
            self.worker.life.refuse(f"The handler was given {entry_id!r}, which is pending for {OTHER}.", hint)
        if self.pending().get(entry_id) != WORKER:
            hint = "acknowledge after the work, not before."
            self.worker.life.refuse(f"When {entry_id} was handled it was not pending any more.", hint)
        if entry_id == self.poison:
            self.n_poisoned += 1
            self.worker.life.is_over = True  # whoever catches even this is dead all the same
            raise Died
        self.handled.append(entry_id)

    def start(self, answer: object, may_raise: type[BaseException] | tuple[()] = ()) -> bool:
        """Start the worker; return whether it came to its end alive."""
        self.n_starts += 1
        case = f"At start {self.n_starts},"
        self.worker = self.process()
        args = (self.worker, KEY, GROUP, WORKER, self.handle, self.limit, DEAD)
        return comes_through(answer, case, self.worker.life, *args, may_raise=may_raise)

    def n_delivered(self) -> int:
        rows = self.client.xpending_range(KEY, GROUP, self.poison, self.poison, 1)
        return rows[0]["times_delivered"] if rows else 0


def _check_giving_up(answer: object, seed: int) -> None:
    kitchen = _Kitchen(seed)
    while not kitchen.start(answer):
        if kitchen.n_starts < kitchen.limit + 4:
            continue
        hint = "before handle(…), ask XPENDING for times_delivered; give up what is above the limit."
        if kitchen.n_delivered() <= kitchen.limit:
            hint = "its delivery count does not grow: JUSTID does not count."
        words = f"{kitchen.poison} has killed it {kitchen.n_poisoned} times; the limit is {kitchen.limit}."
        raise Objection(words, hint)
    _check_innocent(kitchen)
    _check_poison(kitchen)
    _check_letter(kitchen)
    _check_rest(kitchen)


def _check_innocent(kitchen: _Kitchen) -> None:
    """Object if an entry was given up that has killed nobody."""
    given_up = {letter.get("number") for letter in kitchen.orders(DEAD)}
    for entry_id in kitchen.ids:
        if entry_id == kitchen.poison or entry_id[0] not in given_up:
            continue
        if entry_id in kitchen.handled:
            hint = "a dead letter is what was delivered more often than the limit, and nothing else."
            raise Objection(f"{entry_id} was done, and is in the dead-letter stream.", hint)
        hint = "what is handed out together with an entry that kills is counted each time as well: read with count=1."
        raise Objection(f"{entry_id} is in the dead-letter stream, and no handler ever saw it.", hint)


def _check_poison(kitchen: _Kitchen) -> None:
    """Object unless the entry that kills got its tries, and no more of them."""
    limit, poison, n = kitchen.limit, kitchen.poison, kitchen.n_poisoned
    pending = kitchen.pending()
    if not n and not kitchen.handled:
        hint = "XREADGROUP with 0 for what is pending, then with >, and handle(entry_id, fields) for each."
        raise Objection("It came to its end, and its handler was given nothing.", hint)
    if pending.get(poison) == WORKER:
        hint = "it is not new any more: begin with the own history (0), then read >."
        raise Objection(f"{poison} killed the worker, and is still pending for it at the end.", hint)
    if n > limit:
        hint = "times_delivered counts this delivery too: give up what is above the limit (>), before handle(…)."
        raise Objection(f"The handler was given {poison} {n} times; the limit is {limit}.", hint)
    if n < limit:
        raise Objection(
            f"The handler was given {poison} {n} times; it may have it {limit} times.",
            "give up what is above the limit (>), not what has reached it. And ask XPENDING for the count: one that is "
            "kept in the process dies with it.",
        )


def _check_letter(kitchen: _Kitchen) -> None:
    """Object unless the entry is in the dead-letter stream once, whole, with where it came from."""
    poison = kitchen.poison
    found = [
        (letter_id, fields)
        for letter_id, fields in kitchen.entries(DEAD)
        if poison in fields.values() or fields.get("number") == poison[0]
    ]
    if not found:
        hint = "XADD its fields to the stream dead, then XACK."
        raise Objection(f"{poison} is neither pending nor in the dead-letter stream: it is lost.", hint)
    if len(found) > 1:
        hint = "a letter is written once, when the count is above the limit; then XACK, or it will come again."
        raise Objection(f"{poison} is in the dead-letter stream {len(found)} times.", hint)
    ((letter_id, letter),) = found
    if letter.get("dish") != "soup" or letter.get("number") != poison[0]:
        hint = 'it needs the fields of the entry, all of them: {**fields, "id": entry_id}.'
        raise Objection(f"The dead letter is {letter}.", hint)
    if letter_id == poison:
        hint = "keep it as a field. A later entry may be given up first, and then XADD refuses the smaller id."
        raise Objection(f"The dead letter has the entry's id, {poison}, as its own.", hint)
    if poison not in letter.values():
        hint = f"add its original id ({poison}) as a field; the dead-letter stream gives it a new one."
        raise Objection(f"The dead letter {letter} does not tell which entry it was.", hint)


def _check_rest(kitchen: _Kitchen) -> None:
    for entry_id in kitchen.ids:
        if entry_id != kitchen.poison and entry_id not in kitchen.handled:
            hint = "go on after the dead letter, until there is nothing new: XREADGROUP with >."
            raise Objection(f"{entry_id} was never handled.", hint)
    pending = kitchen.pending()
    if pending.pop(kitchen.of_other, "") != OTHER:
        hint = f"{OTHER} is working on it: leave it alone."
        raise Objection(f"{kitchen.of_other} is not pending for {OTHER} any more.", hint)
    if pending:
        raise Objection(f"{next(iter(pending))} is still pending.", "XACK each entry once it is done.")


def _check_letter_first(answer: object) -> None:
    """Let the dead-letter key be of another type: then the entry has to stay pending."""
    kitchen = _Kitchen(seed=3)
    kitchen.client.set(DEAD, "not a stream")
    for _ in range(kitchen.limit + 2):
        with contextlib.suppress(Exception):  # to say so in any way is right
            kitchen.start(answer, may_raise=Exception)
    if kitchen.pending().get(kitchen.poison) != WORKER:
        hint = "XADD first, and XACK only if that has succeeded; not both in MULTI, which executes XACK all the same."
        raise Objection(f"The dead-letter key was of another type (WRONGTYPE), and {kitchen.poison} is lost.", hint)


# ---- dead letters put back -------------------------------------------------------------------------


@judged
def puts_back(answer: object) -> Verdict:
    """Check a function that puts dead letters back into their stream and loses none (``XADD``, then ``XDEL``).

    ``answer(client, dead, key)`` is to add what the stream `dead` holds to the stream `key`, without the fields that
    begin with ``dead:``, and to leave `dead` empty; even if it dies at one of its commands and is called again.
    """
    _check_putting_back(answer)
    n_deaths = _check_deaths(answer)
    _check_late_letter(answer)
    _check_stream_first(answer)
    return Verdict(True, f"Killed at {n_deaths} places and called again: no letter is lost, and none is left.")


class _Office(Streams):
    """A stream, and a dead-letter stream with three letters in it."""

    def __init__(self) -> None:
        super().__init__()
        for n in (1, 2, 3):
            self.client.xadd(KEY, {"number": n, "dish": "soup"}, id=f"{n}000-0")
            self.add_letter(n)
        self.client.xadd(KEY, {"number": 4, "dish": "soup"}, id="9000-0")
        self.before = self.entries()

    def add_letter(self, n: int) -> None:
        envelope = {"dead:id": f"{n}000-0", "dead:group": GROUP, "dead:deliveries": 4}
        self.client.xadd(DEAD, {**envelope, "number": n, "dish": "soup"}, id=f"{n}500-0")

    def call(
        self, answer: object, case: str, mishap: Mishap = no_mishap, may_raise: type[BaseException] | tuple[()] = ()
    ) -> bool:
        """Call the function in a process of its own; return whether that came through alive."""
        client = self.process(mishap)
        return comes_through(answer, case, client.life, client, DEAD, KEY, may_raise=may_raise)

    def returned(self) -> list[Fields]:
        """Return the entries that were put back."""
        now, n = self.entries(), len(self.before)
        if now[:n] != self.before:
            raise Objection("Entries that were in the stream are gone.", "add to it, and delete nothing there.")
        return [fields for _, fields in now[n:]]

    def numbers(self) -> Counter[str]:
        """Return how often each order was put back."""
        return Counter(fields.get("number", "") for fields in self.returned())

    def n_left(self) -> int:
        return len(self.orders(DEAD))


def _check_putting_back(answer: object) -> None:
    office, case = _Office(), "With three dead letters,"
    office.call(answer, case)
    for number in ("1", "2", "3"):
        n = office.numbers()[number]
        if n != 1:
            hint = "XADD each of them once." if n else "XADD each of them to the stream key."
            raise Objection(f"{case} order {number} was put back {n} times.", hint)
    for fields in office.returned():
        if inside := [name for name in fields if name.startswith("dead:")]:
            hint = "that was the envelope: leave out the fields that begin with dead:."
            raise Objection(f"{case} an entry came back with the field {inside[0]}.", hint)
        if fields.get("dish") != "soup":
            raise Objection(f"{case} an entry came back as {fields}.", "with all the fields that it had before.")
    if office.n_left():
        hint = "XDEL each of them once it has been put back. (XACK takes nothing out of a stream.)"
        raise Objection(f"{case} {office.n_left()} of them are in the dead-letter stream still.", hint)


def _check_deaths(answer: object) -> int:
    """Let it die before and after each of its commands; return at how many places."""
    for n_deaths, (nth, when) in enumerate(each_step()):
        office, case = _Office(), f"It was killed {when} command {nth}; called again,"
        survived = office.call(answer, case, dies_at(nth, when))
        office.call(answer, case)
        got = office.numbers()
        if office.n_left():
            hint = "what the first call has left must be found by the second."
            raise Objection(f"{case} it left {office.n_left()} in the dead-letter stream.", hint)
        for number in ("1", "2", "3"):
            if not got[number]:
                hint = "XADD first, then XDEL: a letter that comes twice does no harm, a lost one does."
                raise Objection(f"{case} it did not put back order {number}, which is lost.", hint)
        if survived:
            return n_deaths
    raise AssertionError("counting does not end")


def _check_late_letter(answer: object) -> None:
    """Let one more letter arrive when the function has just looked."""
    office, looks = _Office(), itertools.count()

    def mishap(when: str, words: str) -> None:
        if when == "after" and DEAD in words and next(looks) == 0:
            office.add_letter(5)

    office.call(answer, "While another letter arrived,", mishap)
    if not office.n_left() and not office.numbers()["5"]:
        hint = "delete just the letters that were put back, by their ids (XDEL): not the stream (DEL, XTRIM)."
        raise Objection("A letter that arrived while it was working is lost.", hint)


def _check_stream_first(answer: object) -> None:
    """Let the stream's key be of another type: then no letter may go."""
    office = _Office()
    office.client.delete(KEY)
    office.client.set(KEY, "not a stream")
    with contextlib.suppress(Exception):  # to say so in any way is right
        office.call(answer, "With a key of another type,", may_raise=Exception)
    if office.n_left() < 3:
        hint = "XDEL only if XADD has succeeded; not both in MULTI, which executes XDEL all the same."
        raise Objection("XADD failed (WRONGTYPE), and a letter is gone from the dead-letter stream.", hint)
