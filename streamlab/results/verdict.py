"""`Verdict`: whether something is right, why, and what to think of next if it is not."""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec

P = ParamSpec("P")

_COLOURS = {True: "#009E73", False: "#D55E00"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of an answer, or of a run: whether it is right, why, and what to think of next if not.

    True in a condition if it is right. Shows itself in a notebook, and as text.

    Attributes
    ----------
    story
        What happened to the entry that it is about, a line for each event.
    rule
        The rule that was looked at, if it is one of the invariants: ``"I1"``.
    """

    passed: bool
    words: str
    hint: str = ""
    story: tuple[str, ...] = ()
    rule: str = ""

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        lines = [f"{self._head} {self.words}", *(f"    {line}" for line in self.story)]
        if self.hint:
            lines.append(f"  Hint: {self.hint}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        story = f"<pre>{html.escape(chr(10).join(self.story))}</pre>" if self.story else ""
        hint = f"<br><b>Hint:</b> {html.escape(self.hint)}" if self.hint else ""
        return (
            f'<div role="status" style="border-left: 5px solid {_COLOURS[self.passed]}; '
            f'padding: 0.4em 0.9em"><b>{self._head}</b> {html.escape(self.words)}{story}{hint}</div>'
        )

    def about(self, group: str) -> Verdict:
        """Return the same verdict, which says of which group it is."""
        return dataclasses.replace(self, words=f"{group}: {self.words}")

    @property
    def _head(self) -> str:
        if self.rule:
            return f"{'✓' if self.passed else '✗'} {self.rule}:"
        return "✓ Right." if self.passed else "✗ Not yet."


class Objection(Exception):
    """An answer that cannot even be tried, or fails while it is; carries what to say about it."""

    def __init__(self, words: str, hint: str = "") -> None:
        super().__init__(words)
        self.verdict = Verdict(False, words, hint)


def judged(check: Callable[P, Verdict]) -> Callable[P, Verdict]:
    """Let a check end by raising an `Objection`: what that says is its verdict."""

    @functools.wraps(check)
    def judge(*args: P.args, **options: P.kwargs) -> Verdict:
        try:
            return check(*args, **options)
        except Objection as objection:
            return objection.verdict

    return judge


def nothing_yet() -> Objection:
    """Return what to say where the exercise is still as it was given."""
    return Objection("There is no answer yet.", "replace the … in the cell above, and run both again.")
