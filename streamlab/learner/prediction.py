"""Predictions: written before a cell is run, and shown under its result.

Where there is a widget to write in, `Prediction.answer` is what stands in it; and it can be set::

    prediction = Prediction()
    prediction.answer = "7.5 s"

In a lesson, the cell that asks is called after the one that answers: ``ID-predict`` belongs to ``ID``. Where a
notebook's program does not tell the kernel the names of cells, the next cell that is run is taken for the answer.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

#: What is added to a cell's id to name the cell that asks for a prediction of it.
ASKS: Final = "-predict"
_COLOUR: Final = "#0072B2"
_IN_CODE: Final = "Your prediction: write it behind %predict, and run this cell again."


class Prediction:
    """What a learner expects to see; with a field to write it in, where there are widgets; else `field` is None."""

    def __init__(self, answer: str = "", *, with_field: bool = False) -> None:
        self.field: Any = None
        self._on_late: Callable[[], object] = lambda: None
        if with_field and not answer and find_spec("ipywidgets") is not None:
            self.field = _field()
            self.field.observe(lambda _: self._on_late(), "value")
        self._answer = answer

    @property
    def answer(self) -> str:
        """What was predicted; "" if nothing was."""
        return (self._answer if self.field is None else self.field.value).strip()

    @answer.setter
    def answer(self, answer: str) -> None:
        if self.field is None:
            self._answer = answer
        else:
            self.field.value = answer

    def close(self, on_late: Callable[[], object]) -> None:
        """Let nothing more be written: the result is there.

        What was typed just before the result may come after it, since a browser sends a word in pieces: then
        `on_late` is called.
        """
        if self.field is not None:
            self._on_late = on_late
            self.field.disabled = True

    def asked(self) -> dict[str, Any]:
        """Return what asks for it, by MIME type: the field, or how to write it without one."""
        if self.field is None:
            return {"text/plain": f"Your prediction: {self.answer}" if self.answer else _IN_CODE}
        return {**self.field._repr_mimebundle_(), "text/plain": _IN_CODE}

    def told(self) -> dict[str, str]:
        """Return what stands under the result, by MIME type."""
        box = f"border-left: 5px solid {_COLOUR}; padding: 0.4em 0.9em"
        return {
            "text/plain": f"You predicted: {self.answer}",
            "text/html": f'<div role="status" style="{box}"><b>You predicted:</b> {html.escape(self.answer)}</div>',
        }


class Predictions:
    """The predictions of one notebook: `of` has each under the cell that it is about."""

    def __init__(self) -> None:
        self.of: dict[str, Prediction] = {}
        self._next: Prediction | None = None

    def ask(self, prediction: Prediction, cell: str) -> None:
        """Note that a cell has asked for a prediction."""
        if cell.endswith(ASKS):
            self.of[cell.removesuffix(ASKS)] = prediction
            self._next = None
        else:
            self._next = prediction

    def about(self, cell: str) -> Prediction | None:
        """Return what was predicted of a cell that was run just now; None if nothing was."""
        if self._next is not None:
            self.of[cell], self._next = self._next, None
        prediction = self.of.get(cell)
        return prediction if prediction is not None and prediction.answer else None


def _field() -> Any:
    import ipywidgets

    return ipywidgets.Text(
        description="Your prediction:",
        placeholder="write it here, then run the next cell",
        style={"description_width": "initial"},
        layout={"width": "min(40em, 98%)"},
    )
