"""`Action`: something that is done to a run, as data; what its fields may be, and how they are written."""

from __future__ import annotations

import math
import shlex
from typing import Any, ClassVar, Final, Generic, Literal, TypeVar

import attrs

from streamlab.actors.recovery import Recovery

#: The field by which an entry kills whoever touches it.
POISON_FIELD: Final = "poison"
#: Who does what is done by hand, and behind everybody's back: no actor has this name.
LAB: Final = "lab"
#: … and begins so if it concerns one of several groups: ``lab:billing``.
LAB_IN: Final = f"{LAB}:"
#: Redis commands whose replies can be lost, and who sends them.
LOSABLE: Final = {
    "XREADGROUP": "consumer",
    "XACK": "consumer",
    "XADD": "producer",
    "XAUTOCLAIM": "consumer",
    "XCLAIM": "consumer",
    "EVALSHA": "consumer",
}

#: Whom an action is for, or what it changes; an actor is a consumer or a producer.
Aim = Literal[
    "consumer",
    "producer",
    "actor",
    "pending entries",
    "group",
    "stream",
    "server",
    "consumers",
    "producers",
    "recovery",
    "dead letters",
    "run",
]

R_co = TypeVar("R_co", covariant=True)


def is_by_hand(actor: str) -> bool:
    """Return whether an event has this actor because it was caused by hand, or behind everybody's back."""
    return actor == LAB or actor.startswith(LAB_IN)


class ActionError(ValueError):
    """An action that makes no sense. The message says what to write instead."""


@attrs.frozen
class Button:
    """How an action is offered where it is done by a click.

    What is `at_hand` stands beside what it is for, all else in a menu. `needs` is what its target must be; an
    action that `undoes` another one (its word) takes its place meanwhile.
    """

    label: str
    aim: Aim
    at_hand: bool = False
    needs: Literal["", "alive", "paused"] = ""
    undoes: str = ""


@attrs.frozen(eq=False, repr=False)
class Action(Generic[R_co]):
    """Something that is done to a run. What it returns when it is done by hand is its parameter.

    `at` is in seconds after the start of the run; None in an action that is done by hand: now. `nth` counts from 1.
    """

    word: ClassVar[str] = ""
    #: How it is written; what stands in brackets may be left out.
    form: ClassVar[str] = ""
    button: ClassVar[Button]
    #: What it does, for who was struck by it: a sentence with the names of its fields in braces.
    sentence: ClassVar[str] = ""
    #: Whether its duration may be infinite.
    may_last_for_ever: ClassVar[bool] = False

    def __attrs_post_init__(self) -> None:
        for item in attrs.fields(type(self)):
            value = getattr(self, item.name)
            if value is not None or item.default is attrs.NOTHING:
                _check(self, item.name, value)

    # How it is compared and shown is inherited (`eq=False, repr=False`): attrs would compile that anew for each of the
    # thirty kinds of action, which every worker and every command has to import.
    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, item.name) == getattr(other, item.name) for item in attrs.fields(type(self)))

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, item.name) for item in attrs.fields(type(self)))))

    def __repr__(self) -> str:
        values = (f"{item.name}={getattr(self, item.name)!r}" for item in attrs.fields(type(self)))
        return f"{type(self).__name__}({', '.join(values)})"

    def __str__(self) -> str:
        words, pairs = [self.word], []
        for item in attrs.fields(type(self)):
            value = getattr(self, item.name)
            if item.name in IN_ORDER:
                words += () if value is None else (value,) if isinstance(value, str) else value
            elif item.name in AMOUNTS:
                words.append(_text(item.name, value))
            elif item.name == "changes":
                words += [change for name, change in value if name == "strategy"]
                pairs += [f"{n.replace('_', '-')} {_text(n, change)}" for n, change in value if n != "strategy"]
            elif value is not None and value != item.default:
                pairs.append(f"{KEYWORDS.get(item.name, item.name)} {_text(item.name, value)}")
        return " ".join([*map(shlex.quote, words), *pairs])

    def in_short(self) -> str:
        """Return its text with a rounded time, to be shown."""
        return str(self.dated(round(self.when, 3)) if self.is_dated else self)

    def in_words(self) -> str:
        """Return what it does, and at which moment, as a sentence without a full stop; its text, if it has none."""
        values = {item.name: getattr(self, item.name) for item in attrs.fields(type(self))}
        if "nth" in values:
            values["nth"] = ordinal(values["nth"])
        moment = f"at {self.when:.3f} s " if isinstance(self, TimedAction) else ""
        return moment + self.sentence.format(**values) if self.sentence else str(self)

    @property
    def needs_counting(self) -> bool:
        """Whether it comes to anything only where consumers look at each entry that they begin."""
        return False

    @property
    def is_dated(self) -> bool:
        """Whether it says when."""
        return self.when == self.when

    @property
    def when(self) -> float:
        """Seconds after the start of the run; not a number for one that has no time yet."""
        at: float | None = getattr(self, "at")  # noqa: B009 (each has one)
        return math.nan if at is None else float(at)

    def dated(self, at: float) -> Action[R_co]:
        """Return the same action at a time of the run."""
        return attrs.evolve(self, at=at)  # type: ignore[call-arg]


@attrs.frozen(eq=False, repr=False)
class TimedAction(Action[R_co]):
    """An action at a moment of the run."""


@attrs.frozen(eq=False, repr=False)
class ProcessAction(TimedAction[R_co]):
    """What is done to a process, or to the server as one: the server need not be there for that."""


@attrs.frozen(eq=False, repr=False)
class CountedAction(Action[None]):
    """Something at an entry that a worker handles, or at a command that it sends: it happens where that is.

    Counted from `at` on: from the beginning, or from the moment at which it was done by hand.
    """

    target: str
    nth: int = 1

    @property
    def needs_counting(self) -> bool:
        return True

    def counted_from(self, n: int) -> CountedAction:
        """Return what happens at the same entry, when so many more are counted before it."""
        return attrs.evolve(self, nth=self.nth + n)


def ordinal(n: int) -> str:
    """Return ``1st``, ``2nd``, ``11th``, ``23rd``."""
    return f"{n}{'th' if 10 <= n % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


# ---- fields --------------------------------------------------------------------------------------

#: Fields that are written by their values, in this order; the others after a keyword.
IN_ORDER: Final = ("target", "command", "ids", "entry")
#: … of which these are one word or more.
SEVERAL: Final = ("ids", "entry")
#: … and these are a number or a time, right after the action's word.
AMOUNTS: Final = ("rate", "mean", "maxlen")
KEYWORDS: Final = {"duration": "for", "consumer": "for", "group": "in", "min_idle": "min-idle"}
#: … and these are names.
NAMES: Final = ("target", "command", "consumer", "group")
COUNTS: Final = ("nth", "times", "max_deliveries", "maxlen")
TIMES: Final = ("at", "duration", "mean", "min_idle", "interval", "heartbeat", "restart_after", "remove_after")
#: What a change of the recovery may be, beside a number.
WORDS: Final[dict[str, Any]] = {"none": None, "yes": True, "no": False}


def _text(name: str, value: Any) -> str:
    if value is None or isinstance(value, bool):
        return next(word for word, meant in WORDS.items() if meant is value)
    if not isinstance(value, int | float):
        return shlex.quote(str(value))
    number = f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return f"{number}s" if name in TIMES else number


def _check(action: Action[Any], name: str, value: Any) -> None:
    word, form = action.word, action.form
    if name in NAMES:
        if not isinstance(value, str) or not value or not value.isprintable():
            raise ActionError(f"{word}: the {name} is {value!r}: write {form}")
        if name == "command" and value not in LOSABLE:
            raise ActionError(f"{word}: {value} is none of {', '.join(LOSABLE)}")
    elif name == "ids":
        if not value or not all(isinstance(each, str) and each for each in value):
            raise ActionError(f"{word}: there is nothing to {word}: give the ids of entries, {form}")
    elif name == "entry":
        if not value or not all(isinstance(each, str) and each.find("=") > 0 for each in value):
            raise ActionError(f"{word}: an entry has fields: write {form}")
    elif name == "changes":
        _check_changes(value, form)
    elif name in COUNTS:
        least = 0 if name == "maxlen" else 1
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ActionError(f"{word}: {name} is {value!r}: a whole number of at least {least}")
    else:
        fine = isinstance(value, int | float) and not isinstance(value, bool) and value == value
        for_ever = name == "duration" and action.may_last_for_ever
        from_0 = name in ("at", "mean", "min_idle")
        if not fine or value < 0 or (value == 0 and not from_0) or (value == math.inf and not for_ever):
            raise ActionError(f"{word}: {name} is {value!r}: {'at least 0' if from_0 else 'more than 0'}")


def _check_changes(changes: tuple[tuple[str, Any], ...], form: str) -> None:
    """Require that these are fields of `Recovery`; whether they go together is seen when they are carried out."""
    for name, _ in changes:
        if name not in Recovery.__dataclass_fields__:
            known = ", ".join(Recovery.__dataclass_fields__)
            raise ActionError(f"set-recovery: a recovery has no {name!r}: it has {known}")
    if not changes:
        raise ActionError(f"set-recovery: nothing is to change: write {form}")
