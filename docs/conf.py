"""How Sphinx makes a site of the course, its API and its pages: `make site`.

The sources are where they are read on GitHub too, so that their links hold there and here; nothing is run.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

from streamlab.version import __version__

ROOT = Path(__file__).parents[1]
project = "streamlab"
author = "the streamlab authors"
release = version = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]

root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "notebooks/*.ipynb", "notebooks/*.md", "benchmarks/*.md", "examples/*.md"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}

nb_execution_mode = "off"  # the outputs are those that the tests compare
nb_ipywidgets_js: dict[str, object] = {}  # no page asks another site for anything
#: No kernel runs here: what a widget says of itself stands in its place.
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["colon_fence", "fieldlist"]
myst_heading_anchors = 3

default_role = "py:obj"  # `Lab` in a docstring is a link
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_google_docstring = False

html_theme = "furo"
html_title = "streamlab"
html_copy_source = html_domain_indices = False
html_show_sourcelink = False
copybutton_prompt_text = r">>> |\.\.\. |\$ |In \[\d*\]: "
copybutton_prompt_is_regexp = True

#: The site's contents, below the README's text, which is its first page.
CONTENTS = """
```{toctree}
:hidden:
:caption: The course

%(lessons)s
notebooks/GLOSSARY
notebooks/TEACHING
```

```{toctree}
:hidden:
:caption: In your own work

docs/testing
docs/torture
docs/class
docs/browser
docs/libraries
docs/persistence
docs/failover
examples/README
docs/api
```

```{toctree}
:hidden:
:caption: How it is made, and measured

DESIGN
benchmarks/README
benchmarks/RECOVERY
CONTRIBUTING
CHANGELOG
SECURITY
```
"""


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the contents below the README: on GitHub it does without."""
    if page == root_doc:
        lessons = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
        source[0] += CONTENTS % {"lessons": "\n".join(f"notebooks/{name}" for name in lessons)}


def open_with_the_readme(app: Sphinx, error: Exception | None) -> None:
    """Let the address of the site's folder lead to its first page."""
    if error is None and app.builder.format == "html":
        refresh = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=README.html">'
        page = f'{refresh}<title>streamlab</title><a href="README.html">streamlab</a>\n'
        Path(app.outdir, "index.html").write_text(page, encoding="utf-8")


def show_code(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Let indented lines of a docstring be code, as they are for those who read it in the source."""
    for number in range(len(lines) - 1, 1, -1):
        before, blank, line = lines[number - 2 : number + 1]
        if line.startswith("    ") and not blank and before and before[0].isalnum() and not before.endswith("::"):
            lines[number - 1 : number] = ["", "::", ""]


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_contents)
    app.connect("autodoc-process-docstring", show_code, priority=100)  # before napoleon, which indents
    app.connect("build-finished", open_with_the_readme)
