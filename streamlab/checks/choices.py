"""Verdict on choosing a means for a situation: a list, pub/sub, a stream, one group, several groups, or Kafka.

    checks.choices({"typing": "pub/sub", "thumbnails": "group", …})

Each wrong choice is answered with what would happen if it were made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from streamlab.checks.attempts import shown
from streamlab.results.verdict import Objection, Verdict, judged, nothing_yet

#: What can be chosen, with other ways to write it.
MEANS: Final[dict[str, tuple[str, ...]]] = {
    "list": ("lists", "a list", "lpush", "blmove", "brpop", "redis list"),
    "pub/sub": ("pubsub", "pub-sub", "pub sub", "publish", "publish/subscribe"),
    "stream": ("xread", "a stream", "stream with xread", "stream, xread", "stream + xread"),
    "group": (
        "one group", "a group", "consumer group", "xreadgroup", "stream with a group", "stream, group",
        "stream + group",
    ),
    "two groups": ("groups", "2 groups", "two consumer groups", "consumer groups", "several groups"),
    "kafka": ("apache kafka", "a kafka topic"),
}  # fmt: skip


class Situation(NamedTuple):
    """What is to be done: the simplest means that does all of it, what to ask oneself, what would happen otherwise."""

    best: str
    question: str
    otherwise: Mapping[str, str]


SITUATIONS: Final[dict[str, Situation]] = {
    "typing": Situation("pub/sub", "who wants the message a minute later?", {
        "list": "the first window that pops the message takes it away, and the others never show it",
        "stream": "it would be shown, and then kept and trimmed, though it is stale after two seconds",
        "group": "a group gives each message to one window only; all open windows are to show it",
        "two groups": "in each group one window gets the message; there are as many as people look at",
        "kafka": "the message would be on disk, on several machines, for days; it is stale in two seconds",
    }),
    "thumbnails": Situation("group", "who knows what a dead worker held, and how often a photo has been tried?", {
        "list": "BLMOVE keeps what a dead worker held, but nothing counts how often a photo was handed "
        "out, so the one that kills its workers is never found",
        "pub/sub": "all eight workers get every photo; and when none is listening, none ever gets it",
        "stream": "with XREAD each of the eight workers reads every photo, and makes its thumbnail",
        "two groups": "each of the two groups would make every thumbnail: twice the work",
        "kafka": "it can be done (share groups count deliveries, since Kafka 4.2), but eight workers and "
        "some photos do not need another system to look after",
    }),
    "dashboard": Situation("stream", "does a tab take an event away from the others, or only read it?", {
        "list": "the first tab that pops an event takes it away from the 29 others",
        "pub/sub": "a tab that was asleep, or is opened only now, never sees what was sent before",
        "group": "in a group the tabs share the events, and each shows about a thirtieth of them",
        "two groups": "within each group the tabs share the events, and none shows them all",
        "kafka": "its consumers can each keep a position too, but an hour of events for thirty tabs fits "
        "into the memory of one Redis",
    }),
    "orders": Situation("two groups", "how many times is one order to be handled, and by whom?", {
        "list": "an order that billing has popped is gone for shipping; and of two lists, the producer may "
        "fill one and die before it fills the other",
        "pub/sub": "shipping is a day behind: it would have lost that day",
        "stream": "with XREAD each worker of billing reads every order, and the customer is billed by all of them",
        "group": "in one group an order goes to billing or to shipping, never to both",
        "kafka": "two consumer groups of Kafka do the same; nothing that is said here asks for more than one Redis",
    }),
    "mail": Situation("list", "is there anything to be known of a note once it has been taken?", {
        "pub/sub": "a note that comes while the mail process restarts is gone, and it was to wait",
        "stream": "it works, with a bookmark to keep and a stream to trim; taking a note from a list does "
        "both at once",
        "group": "it works, with acknowledgements, pending entries and trimming to look after; a lost note is "
        "asked for again, so nothing needs them",
        "two groups": "one process takes the notes, and nobody else wants them",
        "kafka": "that is a cluster of brokers between two processes on one machine",
    }),
    "clicks": Situation("kafka", "how much is kept at the same time, and where does it lie?", {
        "list": "the team that pops a click takes it away from the eleven others",
        "pub/sub": "nothing is kept, and the teams want to read last year's again",
        "stream": "a stream lies in memory, and a year of this is 730 TB",
        "group": "in one group the twelve teams would share the clicks; and a year of them, 730 TB, would lie "
        "in memory",
        "two groups": "a group for each team is right, but a stream lies in memory, and a year of this is 730 TB",
    }),
}  # fmt: skip


@judged
def choices(answer: object) -> Verdict:
    """Check which means was chosen for each of the six situations of lesson 15.

    `answer` has for each key of `SITUATIONS` a key of `MEANS`, or another way to write it; or it is a list of
    six of them, in order.
    """
    said = _by_situation(answer)
    chosen = {name: _means(name, said[name]) for name in SITUATIONS}
    wrong = [name for name, situation in SITUATIONS.items() if chosen[name] != situation.best]
    if not wrong:
        return Verdict(True, "All six: each by the simplest means that does what was said.")
    name = wrong[0]
    situation = SITUATIONS[name]
    n_right = len(SITUATIONS) - len(wrong)
    return Verdict(
        False,
        f"{name}, by {chosen[name]}: {situation.otherwise[chosen[name]]}. ({n_right} of {len(SITUATIONS)} are right.)",
        situation.question,
    )


def _by_situation(answer: object) -> dict[str, object]:
    if answer is ...:
        raise nothing_yet()
    names = list(SITUATIONS)
    if isinstance(answer, Sequence) and not isinstance(answer, str | bytes):
        if len(answer) != len(names):
            hint = f"one for each of {', '.join(names)}; in a dict it is easier to see which."
            raise Objection(f"There are {len(answer)} choices for {len(names)} situations.", hint)
        answer = dict(zip(names, answer, strict=True))
    if not isinstance(answer, Mapping):
        hint = 'a dict: {"typing": "list", "thumbnails": …}, with one of ' + ", ".join(MEANS) + "."
        raise Objection(f"{shown(answer)} is not a choice for each situation.", hint)
    said = {str(name).strip().lower(): choice for name, choice in answer.items()}
    unknown = [name for name in said if name not in SITUATIONS]
    if unknown:
        raise Objection(f"There is no situation {unknown[0]!r}.", f"they are called {', '.join(names)}.")
    if said and all(choice is ... for choice in said.values()):
        raise nothing_yet()
    missing = [name for name in names if said.get(name, ...) is ...]
    if missing:
        raise Objection(f"There is no choice yet for {', '.join(missing)}.", SITUATIONS[missing[0]].question)
    return said


def _means(name: str, choice: object) -> str:
    text = " ".join(str(choice).lower().split()) if isinstance(choice, str) else ""
    for means, others in MEANS.items():
        if text == means or text in others:
            return means
    raise Objection(f"{name}: {shown(choice)} is none of the means.", f"one of {', '.join(MEANS)}, as text.")
