"""What is said of an answer to an exercise."""

from __future__ import annotations

import html
from dataclasses import dataclass

_COLOURS = {True: "#009E73", False: "#D55E00"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of an answer: whether it is right, why, and what to think of next if it is not.

    True in a condition if the answer is right. Shows itself in a notebook, and as text.
    """

    passed: bool
    words: str
    hint: str = ""

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        lines = f"{self._head} {self.words}"
        return f"{lines}\n  Hint: {self.hint}" if self.hint else lines

    def _repr_html_(self) -> str:
        hint = f"<br><b>Hint:</b> {html.escape(self.hint)}" if self.hint else ""
        return (
            f'<div role="status" style="border-left: 5px solid {_COLOURS[self.passed]}; '
            f'padding: 0.4em 0.9em"><b>{self._head}</b> {html.escape(self.words)}{hint}</div>'
        )

    @property
    def _head(self) -> str:
        return "✓ Right." if self.passed else "✗ Not yet."


class Objection(Exception):
    """An answer that cannot even be tried, or fails while it is; carries what to say about it."""

    def __init__(self, words: str, hint: str = "") -> None:
        super().__init__(words)
        self.verdict = Verdict(False, words, hint)


def nothing_yet() -> Objection:
    """Return what to say where the exercise is still as it was given."""
    return Objection(
        "There is no answer yet.", "replace the … in the cell above, and run both again."
    )
