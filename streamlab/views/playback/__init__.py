"""`Playback`: a run to be looked at again, in a notebook or as a page of its own, which can be sent to anybody.

    Playback(run)                           # in a cell's last line: plays it there
    Playback(run).save("crash.html")        # one file: opens in any browser, asks nothing for anything
    Playback.load("crash.jsonl")            # a run that was saved

The page shows what the control panel shows, by the same script, and holds the run itself, compressed.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
from pathlib import Path
from typing import Final

from streamlab.results.run import Run
from streamlab.results.whole_file import write_whole
from streamlab.scenario.small_table import length
from streamlab.views.playback.recording import record
from streamlab.views.shown.esm import bundle

_HERE: Final = Path(__file__).parent
_PANEL: Final = _HERE.parent / "panel"
#: Nothing is asked for from anywhere: the browser itself sees to it.
_ONLY_ITSELF: Final = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main id="playback"><noscript>{words}</noscript></main>
<script type="application/gzip" id="recording">{data}</script>
<script type="module">
{script}
</script>
</body>
</html>
"""


class Playback:
    """A run that is played back: its timeline, who had which entry, what was pending, and how it was recovered.

    `has_ended` is False for a run so far, as ``lab.run_until`` returns it.
    """

    def __init__(self, run: Run, *, has_ended: bool = True) -> None:
        self.run = run
        self._has_ended = has_ended

    @classmethod
    def load(cls, path: str | Path) -> Playback:
        """Play back a run that `Run.save` wrote. Raises `RunFileError` if the file does not hold one."""
        return cls(Run.load(path))

    def page(self) -> str:
        """Return the page, as HTML."""
        recording = json.dumps(record(self.run, has_ended=self._has_ended), separators=(",", ":"))
        run = self.run
        return _PAGE.format(
            policy=_ONLY_ITSELF,
            title=html.escape(f"{run.scenario.name} ({run.engine}): a recorded run"),
            style="\n".join(path.read_text("utf-8") for path in (_PANEL / "view.css", _HERE / "page.css")),
            words=f"<pre>{html.escape(str(run))}</pre><p>With scripts, this page plays the run.</p>",
            data=base64.b64encode(gzip.compress(recording.encode(), mtime=0)).decode(),
            script=bundle(_PANEL / "view" / "playback.mjs"),
        )

    def save(self, path: str | Path) -> None:
        """Write the page: whole, or not at all (`OSError`)."""
        write_whole(Path(path), [self.page().encode()])

    def _repr_html_(self) -> str:
        words = html.escape(f"The run of {self.run.scenario.name}, played back")
        return (
            f'<iframe title="{words}" srcdoc="{html.escape(self.page())}" '
            'style="width: 100%; height: 720px; border: 0"></iframe>'
        )

    def __repr__(self) -> str:
        run = self.run
        return f"<Playback of {run.scenario.name} ({run.engine}): {length(run.duration)}>"
