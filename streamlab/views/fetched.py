"""What a page in a browser does not have at first: numpy, matplotlib and pandas, which are fetched when first used.

They have wheels for a browser on Pyodide's own site only. `offer` lets an ``import`` fetch them; without the site it
fails and says so, and where a figure would be a `Missing` one stands.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_FIGURES = "streamlab.views.plots"
#: About how much there is to fetch, numpy with it. That alone is not fetched: other libraries ask for it in vain.
SIZES = {"matplotlib": "15 MB", "pandas": "12 MB"}


def offer() -> None:
    """Let an ``import`` of these fetch them."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


class _Finder(MetaPathFinder):
    """Comes last: what is asked for has not been found."""

    def __init__(self) -> None:
        self._unreachable: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in SIZES:
            return None
        if fullname not in self._unreachable:
            _fetch(fullname)
        spec = PathFinder.find_spec(fullname)
        if spec is None:
            self._unreachable.add(fullname)
            raise ModuleNotFoundError(
                f"{fullname} comes from Pyodide's own site when it is first used, and that site could not be reached: "
                "check your connection, then restart the kernel",
                name=fullname,
            )
        return spec


def _fetch(name: str) -> None:
    """Load a package of Pyodide's, and say that it takes a moment; nothing is raised if it cannot be reached."""
    pyodide_js: Any = import_module("pyodide_js")
    ffi: Any = import_module("pyodide.ffi")
    if not ffi.can_run_sync():  # a browser without JSPI
        raise ModuleNotFoundError(
            f"this browser cannot fetch {name} in the midst of a cell: run `import {name}` in a cell of its own first",
            name=name,
        )
    print(f"Fetching {name} for this page (once, about {SIZES[name]}) …")
    ffi.run_sync(pyodide_js.loadPackage(name))


class Missing:
    """Stands where a figure would be that cannot be drawn: whatever is drawn on it, it says what is missing."""

    def __init__(self, why: str, alt: str = "") -> None:
        self.why = why
        self.alt = alt

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # by which a notebook asks what it can be shown as
            raise AttributeError(name)
        return self

    def __call__(self, *_: object, **__: object) -> Missing:
        return self

    def __getitem__(self, _: object) -> Missing:
        return self

    def __repr__(self) -> str:
        return f"<Figure, not drawn: {self.alt or self.why}>"

    def _repr_html_(self) -> str:
        told = f"<br>What it would show: {html.escape(self.alt)}" if self.alt else ""
        return (
            '<div style="border: 1px dashed #767676; padding: 0.8em; max-width: 44em">'
            f"<b>There would be a figure here.</b> {html.escape(self.why)}.{told}</div>"
        )


def late(owner: str, places: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    """Return functions of a module that import the real ones when first one is called, and make way for them.

    `places` says in which module of the figures each is. If what that needs cannot be had, they return `Missing`.
    """

    def one(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            given = args[0] if args else None
            if isinstance(given, Missing):
                return Missing(given.why, kwargs.get("alt") or given.alt)
            try:
                import_module("matplotlib")
                modules = {place: import_module(f"{_FIGURES}.{place}") for place in places.values()}
            except ModuleNotFoundError as error:
                if error.name not in SIZES:
                    raise
                return Missing(str(error), kwargs.get("alt", ""))
            # An import puts the module where its function was, of the same name.
            vars(sys.modules[owner]).update({each: getattr(modules[place], each) for each, place in places.items()})
            return getattr(modules[places[name]], name)(*args, **kwargs)

        call.__name__ = call.__qualname__ = name
        return call

    return {name: one(name) for name in places}
