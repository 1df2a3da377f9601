"""Figures with words for those who cannot see them: in a notebook, or as a file."""

from __future__ import annotations

import base64
import html
import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

#: Pixels per inch: as drawn, and as shown. Twice as fine as a plain screen needs looks good on all.
_DRAWN_DPI = 160
_SHOWN_DPI = 88


class Chart(Figure):
    """A matplotlib figure that can also be told: `alt` says in a sentence or two what is to be seen.

    Made without ``pyplot``, so that nothing keeps it open, whatever the backend.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)
        self.alt = ""

    def __repr__(self) -> str:
        return f"<Chart: {self.alt}>"

    def _repr_html_(self) -> str:
        return to_html(self, self.alt)


class Picture:
    """A figure as JupyterLab and nbconvert show it, with its alternative text.

    ``repr`` is the alternative text, so that a notebook's committed output can be compared and a reader
    without a browser gets the message.
    """

    def __init__(self, html: str, alt: str) -> None:
        self.alt = alt
        self._html = html

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return f"<Figure: {self.alt}>"


def show(figure: Figure, alt: str | None = None) -> Picture:
    """Return a figure for a notebook's cell to show, with alternative text.

    Parameters
    ----------
    alt
        What is to be seen, in a sentence or two. None takes what the figure itself says of its run.

    Raises
    ------
    ValueError
        If there is no text: the figure is not one of this package's, and none was given.
    """
    words = getattr(figure, "alt", "") if alt is None else alt
    if not words:
        raise ValueError("this figure says nothing about itself: give show(figure, alt='…')")
    return Picture(to_html(figure, words), words)


def to_html(figure: Figure, alt: str) -> str:
    """Return a figure as an HTML image.

    An ``<img>`` of one's own is what keeps its alternative text both in JupyterLab and in nbconvert; both
    drop that of an ``image/png`` output.
    """
    width = round(figure.get_figwidth() * _SHOWN_DPI)
    data = base64.b64encode(to_png(figure)).decode("ascii")
    return (
        f'<img alt="{html.escape(alt)}" width="{width}" style="max-width: 100%; height: auto" '
        f'src="data:image/png;base64,{data}">'
    )


def to_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    # Without the name of the program that made it: it has a version in it.
    figure.savefig(buffer, format="png", dpi=_DRAWN_DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})
    return buffer.getvalue()
