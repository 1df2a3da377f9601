"""What a scenario's values may be: the one place that says no, and in which words.

Whoever makes the mistake, a Python program, a TOML file, a saved run or the shell, is told the same: the path of the
value, the value, and what is allowed.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Self, get_args

import attrs

#: What attrs calls with the record, the field and the value.
Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


class ScenarioError(ValueError):
    """A scenario that makes no sense. The message says which value, and what to write instead."""


class InvalidValue(ScenarioError):
    """A value of a scenario that is refused.

    `path` leads to it from the record that it belongs to, or, once the record's place is known, from the scenario;
    `record` is what that record is called as long as its place is not known.
    """

    def __init__(self, problem: str, path: tuple[str | int, ...], record: str = "") -> None:
        super().__init__(problem, path, record)
        self.problem = problem
        self.path = path
        self.record = record

    def __str__(self) -> str:
        return f"{'.'.join(map(str, (self.record, *self.path) if self.record else self.path))} {self.problem}"

    def within(self, *path: str | int) -> InvalidValue:
        """Return the same error, of a record that is at `path`."""
        return InvalidValue(self.problem, (*path, *self.path))


@contextlib.contextmanager
def located(*path: str | int) -> Iterator[None]:
    """Say of what is refused in this block that it is at `path` of the scenario."""
    try:
        yield
    except InvalidValue as error:
        raise error.within(*path) from None


def require(holds: object, message: str) -> None:
    """Raise `ScenarioError` unless this holds."""
    if not holds:
        raise ScenarioError(message)


def choose_from(value: object, known: Iterable[str]) -> str:
    """Say what there is to choose from, first of all what was probably meant."""
    import difflib  # only for a mistake

    known = list(known)
    close = difflib.get_close_matches(value, known, n=1) if isinstance(value, str) else []
    return f"{f'did you mean {close[0]}? ' if close else ''}known are {', '.join(known)}"


class Record:
    """A part of a scenario: an immutable attrs class that checks itself."""

    __slots__ = ()
    #: What it is called in an error, as long as its place in the scenario is not known.
    called: ClassVar[str] = ""

    def replace(self, **changes: Any) -> Self:
        """Return the same with other values in some fields.

        Raises
        ------
        ScenarioError
            If a name is unknown, or a value makes no sense.
        """
        record: Any = self  # each subclass is an attrs class
        check_keys(changes, [field.name for field in attrs.fields(type(record))], self.called)
        evolved: Self = attrs.evolve(record, **changes)
        return evolved

    def invalid(self, field: str, problem: str, *path: str | int) -> InvalidValue:
        """Return the error that says what is wrong with a field, or with what is at `path` in it."""
        return InvalidValue(problem, (field, *path), self.called)


def check_keys(names: Iterable[str], known: Sequence[str], record: str = "") -> None:
    """Raise `InvalidValue` if a name is not a known one."""
    for name in names:
        if name not in known:
            raise InvalidValue(f"is an unknown key: {choose_from(name, known)}", (name,), record)


# ---- validators ------------------------------------------------------------------------------------


class Rule:
    """A validator: what is not `fine` is refused, and the error says what is `allowed`."""

    __slots__ = ("_allowed", "_fine")

    def __init__(self, fine: Callable[[Any], bool], allowed: str) -> None:
        self._fine, self._allowed = fine, allowed

    def __call__(self, record: Record, field: attrs.Attribute[Any], value: object) -> None:
        """Check a record's field, as attrs does."""
        if not self._fine(value):
            raise record.invalid(field.name, self._refusal(value))

    def check(self, value: object, what: str) -> None:
        """Check an argument, which is called `what`."""
        if not self._fine(value):
            raise InvalidValue(self._refusal(value), (what,))

    def _refusal(self, value: object) -> str:
        return f"is {short(value)}: give {self._allowed}"


def short(value: object) -> str:
    """Write a value, not at any length."""
    try:
        written = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "a number of thousands of digits"
    return written if len(written) <= 80 else f"{written[:77]}…"


def version_numbers(text: object) -> tuple[int, ...]:
    """Return a version as numbers; none if it is not one."""
    parts = text.split(".") if isinstance(text, str) else []
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()


def finite(*, least: float = 0.0, above: bool = False, most: float = sys.float_info.max, of: str = "") -> Rule:
    """Require a finite number that is at least (or above) `least` and at most `most`; `of` is its unit."""

    def fine(value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and least <= value <= most and not (above and value == least)

    bound = f"{'above' if above else 'of at least'} {least:g}"
    upper = f" and at most {most:,g}" if most < sys.float_info.max else ""
    return Rule(fine, f"a number{f' of {of}' if of else ''} {bound}{upper}")


def whole(least: int) -> Rule:
    """Require a whole number of at least `least`."""

    def fine(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    return Rule(fine, f"a whole number of at least {least}")


def printable(*, or_empty: bool = False) -> Rule:
    """Require a text that can be printed, and is not empty unless it may be."""
    return Rule(
        lambda value: isinstance(value, str) and value.isprintable() and (or_empty or value != ""), "a printable name"
    )


def text() -> Rule:
    """Require a text."""
    return Rule(lambda value: isinstance(value, str), "a text")


def a(kind: type) -> Rule:
    """Require a record of this kind, which is a table in TOML."""
    return Rule(lambda value: isinstance(value, kind), f"{_one(kind)} (in TOML, a table)")


def one_of(kinds: object) -> Validator:
    """Require one of a `Literal`'s texts."""
    known = get_args(kinds)

    def validate(record: Record, field: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or value not in known:
            raise record.invalid(field.name, f"is {short(value)}: {choose_from(value, known)}")

    return validate


def some(kind: type, *, at_least: int = 0, form: str) -> Validator:
    """Require a tuple of this kind of thing; `form` says how it is written in TOML."""

    def validate(record: Record, field: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, tuple):
            raise record.invalid(field.name, f"is {short(value)}: give a tuple of {field.name} (in TOML, {form})")
        for i, item in enumerate(value):
            if not isinstance(item, kind):
                raise record.invalid(field.name, f"is {short(item)}: give {_one(kind)} (in TOML, {form})", i)
        if len(value) < at_least:
            raise record.invalid(field.name, f"are {len(value)}: give at least {at_least}")

    return validate


def _one(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"
