"""Verdicts on the exercises about consumer groups: what is pending, and a consumer that comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import redis

from streamlab.checks.attempts import count_of, shown
from streamlab.checks.trial_streams import GROUP, KEY, Entry, Trial, compare, pending_of
from streamlab.checks.watched import Command
from streamlab.model.records import parse_groups
from streamlab.results.verdict import Objection, Verdict, judged, nothing_yet


@judged
def pending_exactly(client: redis.Redis, key: str, group: str, expected: Mapping[str, Sequence[str]]) -> Verdict:
    """Check that of a stream all is delivered, and just this is pending: ids by consumer (``XPENDING``)."""
    try:
        return _pending_exactly(client, key, group, expected)
    except redis.ResponseError as error:
        raise Objection(f"Redis says of {key}: {error}.", _MADE_ABOVE) from None


_MADE_ABOVE: Final = "the stream and its group are made in the first lines of the cell above: run it again."


def _pending_exactly(client: redis.Redis, key: str, group: str, expected: Mapping[str, Sequence[str]]) -> Verdict:
    states = {state.name: state for state in parse_groups(client.xinfo_groups(key))}
    if group not in states:
        raise Objection(f"The stream {key} has no group {group}.", _MADE_ABOVE)
    if states[group].last_delivered_id == "0-0" and not states[group].pending:
        raise nothing_yet()
    holders = {entry_id: name for name, ids in expected.items() for entry_id in ids}
    held = pending_of(client, key, group)
    for entry_id, name in holders.items():
        if entry_id not in held:
            hint = f"it has to be delivered to {name} (XREADGROUP with >), and not acknowledged."
            raise Objection(f"{entry_id} is not pending.", hint)
        if held[entry_id] != name:
            hint = f"it has to be {name} who reads it: mind the counts of the XREADGROUP before."
            raise Objection(f"{entry_id} is pending for {held[entry_id]}; {name} was asked for.", hint)
    info: Any = client.xinfo_stream(key)
    if str(info.get("max-deleted-entry-id", "0-0")) != "0-0":
        hint = "XACK is what tells the group that an entry is done; XDEL takes it away from all groups."
        raise Objection(f"{info['max-deleted-entry-id']} was deleted from the stream.", hint)
    for entry_id, name in held.items():
        if entry_id not in holders:
            raise Objection(f"{entry_id} is pending, too, for {name}.", f"{name} is done with it: XACK.")
    undelivered: Any = client.xrange(key, f"({states[group].last_delivered_id}")
    if undelivered:
        hint = "every entry has to be read by somebody: XREADGROUP with >."
        raise Objection(f"{count_of(len(undelivered))} from {undelivered[0][0]} on still undelivered.", hint)
    told = "; ".join(f"{', '.join(ids)} for {name}" for name, ids in expected.items())
    return Verdict(True, f"Pending: {told}. All others are acknowledged.")


@judged
def worker(answer: object) -> Verdict:
    """Check a consumer that comes back after a crash (``XREADGROUP`` with its own history, then ``>``, and ``XACK``).

    ``answer(client, key, group, consumer, handle)`` is to call ``handle(entry_id, fields)`` for each entry that is
    pending for `consumer`, then for each new one, to acknowledge them afterwards, one by one or several at once, and to
    return when nothing is left. `handle` fails once: the function may end by that error (it is then started again),
    leave that entry pending, or try it again.
    """
    for seed in range(3):
        _Worker(answer, Trial(seed)).check()
    return Verdict(True, "Three times: first what was left over, then what was new; acknowledged when done.")


class _HandlerFails(Exception):
    """What a handler raises that cannot go on."""


class _Worker:
    """A trial of a consumer: what its handler was given, and what it acknowledged."""

    def __init__(self, answer: object, trial: Trial) -> None:
        self.answer = answer
        self.trial = trial
        trial.client.xgroup_create(KEY, GROUP, id="0", mkstream=True)
        trial.add(trial.random.randint(14, 18))
        for name in ("ann", "bob", "ann"):
            trial.client.xreadgroup(GROUP, name, {KEY: ">"}, count=trial.random.randint(2, 4))
        pending = trial.pending()
        self.others = {i: name for i, name in pending.items() if name == "bob"}
        self.left_over = [i for i, name in pending.items() if name == "ann"]
        self.expected = [entry for entry in trial.entries() if entry[0] not in self.others]
        self.fails_at = self.expected[trial.random.randint(1, len(self.expected) - 1)][0]
        self.tried: list[Entry] = []  # each entry once
        self.done: dict[str, int] = {}  # and how many failures had been by then
        self.n_failures = 0
        self.case = f"With {count_of(len(trial.entries()))}, some of them pending for it,"
        trial.watched.before = self.look_at
        trial.watched.endless = (
            "XREADGROUP with 0 gives again what has not been acknowledged: XACK each entry once it is done, and "
            "end when both its own history and > give nothing."
        )

    def check(self) -> None:
        self.start(self.case)
        if not self.n_failures:
            self.compare_all()
        self.start("Started again,")
        self.compare_all()
        left = self.trial.pending()
        if mine := [entry_id for entry_id in left if entry_id not in self.others]:
            words = f"{self.case} {count_of(len(mine))} still pending in the end: {mine[0]} for instance."
            raise Objection(words, "each is acknowledged once it is done: XACK.")
        if left != self.others:
            raise Objection(f"{self.case} it took over what is pending for bob.", "that is bob's work.")

    def start(self, case: str) -> None:
        """Run the consumer until it ends, by itself or by its handler's error."""
        trial = self.trial
        trial.watched.commands.clear()
        before = self.n_failures
        try:
            trial.watched.call(self.answer, case, KEY, GROUP, "ann", self.handle, may_raise=_HandlerFails)
        except _HandlerFails:
            if self.n_failures == before:
                raise
        if not trial.watched.commands:
            raise Objection(f"{case} it sent no command.", "XREADGROUP reads, XACK acknowledges.")

    def handle(self, entry_id: str, fields: dict[str, str]) -> None:
        """Take an entry as the learner's handler; fail once."""
        watched = self.trial.watched
        if self.trial.pending().get(entry_id) != "ann":
            words = f"When {shown(entry_id)} was handled it was not pending for the consumer."
            hint = "handle what XREADGROUP gave this consumer, and call handle(entry_id, fields)."
            if any("NOACK" in command.upper for command in watched.commands):
                hint = "with NOACK nothing is ever pending: a crash would lose it."
            watched.refuse(Objection(words, hint))
        if entry_id in self.others:
            words = f"It took over {entry_id}, which is pending for bob."
            watched.refuse(Objection(words, "that is bob's work."))
        if self.done.get(entry_id) == self.n_failures:
            words = f"{entry_id} was handled twice, though nothing had failed."
            hint = (
                "XREADGROUP with 0 gives again what has not been acknowledged: XACK it when it is done, or go on from "
                "its id."
            )
            watched.refuse(Objection(words, hint))
        if (entry_id, fields) not in self.tried:
            self.tried.append((entry_id, fields))
        if entry_id == self.fails_at and not self.n_failures:
            self.n_failures += 1
            raise _HandlerFails(f"the kitchen cannot do {entry_id} now")
        self.done[entry_id] = self.n_failures

    def look_at(self, command: Command, args: Sequence[Any]) -> Sequence[Any]:
        """Object to an acknowledgement of what is not done; let no command wait."""
        if command.name == "XACK":
            for entry_id in command.words[3:]:
                self.look_at_ack(entry_id)
        block = command.option("BLOCK")
        if block is None:
            return args
        if block == "0":
            hint = "it is to end when there is nothing left."
            self.trial.watched.refuse(Objection("It waits for ever (BLOCK 0).", hint))
        # Nobody adds anything meanwhile: it would wait in vain.
        at = command.position("BLOCK") + len(args)
        return [*args[:at], *args[at + 2 :]]

    def look_at_ack(self, entry_id: str) -> None:
        if entry_id in self.done or entry_id not in self.trial.pending():
            return
        if entry_id in self.others:
            words, hint = (f"It acknowledged {entry_id}, which is pending for bob.", "that is bob's work.")
        elif self.n_failures and entry_id == self.fails_at:
            words = f"Its handler failed on {entry_id}, and it was acknowledged all the same."
            hint = (
                "what was not done must not be acknowledged: leave it pending, try it again, or let the exception pass."
            )
        else:
            words = f"It acknowledged {entry_id} before handle had returned."
            hint = "XACK after the work, not before: else a crash between the two loses the entry."
        self.trial.watched.refuse(Objection(words, hint))

    def compare_all(self) -> None:
        """Object to what was not handled, or in another order."""
        got = [entry_id for entry_id, _ in self.tried]
        order = "what was given to an earlier life of this consumer comes first: XREADGROUP with 0 in place of >."
        missing = "call handle(entry_id, fields) for each entry that XREADGROUP gives: first with 0, then with >."
        if set(self.left_over) & set(got):  # it has read its history
            order = "first what was left over (XREADGROUP with 0), then what is new (with >); each from the oldest on."
            missing = "go on with > until it gives nothing: its own history has only what was delivered before."
        compare(self.tried, self.expected, self.case, twice="", order=order, missing=missing)
