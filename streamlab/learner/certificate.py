"""A certificate: a page to be printed that says which exercises somebody has done. It loads nothing from elsewhere."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Final

from streamlab.learner.exercises import Lesson
from streamlab.learner.progress import Progress, day
from streamlab.results.whole_file import write_whole
from streamlab.version import __version__

_STYLE: Final = """
@page { margin: 0 }
* { box-sizing: border-box }
body { margin: 0; background: #eceff1; color: #222; font: 11pt/1.4 Georgia, "Times New Roman", serif }
main {
  width: 190mm; height: 258mm; margin: 10mm auto; padding: 4mm; background: white;
  border: 1mm solid #0072b2; break-inside: avoid;
}
.inner {
  height: 100%; border: 0.3mm solid #0072b2; padding: 11mm 13mm 8mm; text-align: center;
  display: flex; flex-direction: column;
}
svg { width: 120mm; height: 13mm; margin: 0 auto 5mm }
h1 { font-size: 31pt; font-weight: normal; letter-spacing: 0.06em; margin: 0 0 7mm }
.name {
  font-size: 25pt; margin: 2mm auto 5mm; padding: 0 8mm 1.5mm; border-bottom: 0.3mm solid #999;
  overflow-wrap: anywhere; max-width: 100%;
}
.long { font-size: 15pt }
.deed { font-size: 14pt; margin: 0 }
.deed b { font-size: 17pt; font-weight: normal }
table { width: 100%; margin: auto 0; border-collapse: collapse; text-align: left; font-size: 10.5pt }
td { padding: 1.1mm 1mm; border-bottom: 0.2mm solid #ddd }
td + td { text-align: right; white-space: nowrap }
.done { color: #006b4f }
.open { color: #767676 }
footer { display: flex; justify-content: space-between; align-items: end; text-align: left }
footer p { margin: 0 }
small { color: #595959; font-size: 8.5pt; line-height: 1.3; display: block; max-width: 105mm }
@media print {
  body { background: none; print-color-adjust: exact; -webkit-print-color-adjust: exact }
}
"""
#: A stream: entries in their order, the first of them acknowledged.
_ENTRIES: Final = 12
#: Characters of a name that fit into a line in large letters.
_SHORT_NAME: Final = 32


def write_certificate(progress: Progress, name: str, path: Path) -> None:
    """Write the page to a file. Raises `OSError`."""
    write_whole(path, [certificate(progress, name).encode()])


def certificate(progress: Progress, name: str) -> str:
    """Return the page."""
    rows = "\n".join(_row(lesson, progress) for lesson in progress.lessons)
    dated = "" if progress.last is None else f"<p>{day(progress.last)}</p>"
    every = f"all {progress.n_exercises} exercises"
    deed = every if progress.is_complete else f"{progress.n_done} of the {progress.n_exercises} exercises"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Certificate: Redis Streams and consumer groups</title>
<style>{_STYLE}</style>
</head>
<body>
<main><div class="inner">
{_stream(progress)}
<h1>Certificate</h1>
<p class="deed">This certifies that</p>
<p class="name{" long" * (len(name) > _SHORT_NAME)}">{html.escape(name)}</p>
<p class="deed">has solved {deed} of the course</p>
<p class="deed"><b>Redis Streams and consumer groups</b></p>
<table>
{rows}
</table>
<footer>
<small>Each answer was run and checked by streamlab {html.escape(__version__)} on the learner's own computer. This was
not a supervised examination.</small>
{dated}
</footer>
</div></main>
</body>
</html>
"""


def _row(lesson: Lesson, progress: Progress) -> str:
    n_done = sum(exercise.key in progress.done for exercise in lesson.exercises)
    n = len(lesson.exercises)
    kind, words = ("done", f"✓ {n_done} of {n}") if n_done == n else ("open", f"{n_done} of {n}")
    return f'<tr><td>{html.escape(lesson.title)}</td><td class="{kind}">{words}</td></tr>'


def _stream(progress: Progress) -> str:
    """Draw a stream of entries: as many of them filled as is done of the course."""
    filled = round(_ENTRIES * progress.n_done / max(1, progress.n_exercises))
    boxes = "".join(
        f'<rect x="{10 * n + 1}" y="2" width="8" height="9" rx="1" stroke="#0072b2" stroke-width="0.4" '
        f'fill="{"#0072b2" if n < filled else "white"}"/>'
        for n in range(_ENTRIES)
    )
    return f'<svg viewBox="0 0 120 13" role="img" aria-label="A stream of entries">{boxes}</svg>'
