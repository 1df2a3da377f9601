"""The site: it is made without a warning, asks nobody else for anything, and shows what the course shows."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import streamlab
import streamlab.actors
import streamlab.testing

#: It takes half a minute to make; `make site` finds broken references, but not all that is looked for here.
pytestmark = pytest.mark.further("the documents as a site")
ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """What a page loads, what it links to, which anchors it has, and its pictures."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.pictures: list[dict[str, str | None]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {name for name in (found.get("id"), found.get("name")) if name}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")
        elif tag == "link" and found.get("href"):
            self.loads.append(found["href"] or "")
        elif found.get("src"):
            self.loads.append(found["src"] or "")
        if tag == "img":
            self.pictures.append(found)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """All pages of the site by their files, made anew; a warning, such as of a link to nowhere, is an error.

    One of the processes that run these tests makes it, for all of them.
    """
    pytest.importorskip("sphinx", reason="the site needs the group `site`")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"
    folder.mkdir(exist_ok=True)
    said = folder / "said"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", "-d", f"{folder}/made"]
            made = subprocess.run([*command, ".", f"{folder}/site"], cwd=ROOT, capture_output=True, text=True)
            said.write_text(f"{made.returncode} {made.stderr}")
    assert said.read_text() == "0 "
    return {path: Page(path) for path in (folder / "site").rglob("*.html")}


def test_the_course_is_all_there(pages: dict[Path, Page]) -> None:
    """Every lesson has a page, and so have the documents that the README leads to."""
    names = {path.stem for path in pages}
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} <= names
    assert {"index", "README", "DESIGN", "api", "testing", "torture", "TEACHING"} <= names


def test_nobody_else_is_asked(pages: dict[Path, Page]) -> None:
    """No script, style, font or picture comes from elsewhere, neither by a page nor by a style sheet."""
    outside = {(path.name, load) for path, page in pages.items() for load in page.loads if urlsplit(load).netloc}
    assert outside == set()
    (site,) = {path.parent for path in pages if path.name == "index.html"}
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    asks = re.compile(r"""(?:url\(|@import)\s*['"]?(?:https?:)?//""")
    assert [style for style in styles if asks.search(style)] == []


def test_no_link_leads_nowhere(pages: dict[Path, Page]) -> None:
    """Every link within the site has its page, and its anchor there."""
    broken = []
    for path, page in pages.items():
        for link in {*page.links, *page.loads}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists() or (
                parts.fragment and target in pages and parts.fragment not in pages[target].anchors
            ):
                broken.append((path.name, link))
    assert broken == []


def test_every_figure_says_what_it_shows(pages: dict[Path, Page]) -> None:
    """A picture has an alternative text of some words, not its file's name."""
    figures = [(path.name, each) for path, page in pages.items() for each in page.pictures]
    assert len(figures) > 40
    assert [(name, each.get("src", "")) for name, each in figures if " " not in (each.get("alt") or "")] == []


def test_no_cell_is_empty_where_a_widget_was(pages: dict[Path, Page]) -> None:
    """Where no kernel runs, a widget's place is taken by a still picture of it."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in pages}
    assert [name for name, text in texts.items() if "widget-view+json" in text] == []
    for name in ("00_start_here", "08_recovering_from_failures"):
        assert "All 3 consumers are alive. Nothing is stranded." in texts[name]


def test_the_reference_has_every_name_of_the_doors(pages: dict[Path, Page]) -> None:
    """What may be imported is told of: functions, classes, and the modules."""
    doors = {"streamlab": streamlab, "streamlab.actors": streamlab.actors, "streamlab.testing": streamlab.testing}
    (reference,) = [page for path, page in pages.items() if path.name == "api.html"]
    missing = []
    for door, module in doors.items():
        for name in module.__all__:
            thing = getattr(module, name)
            inner = f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"
            if (
                not {f"{door}.{name}", f"streamlab.{name}", inner, f"module-{getattr(thing, '__name__', '')}"}
                & reference.anchors
            ):
                missing.append(f"{door}.{name}")
    assert missing == []
