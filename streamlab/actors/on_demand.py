"""A package's names, imported when they are first used: a scenario, which has a `Recovery`, needs no Redis client."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def on_demand(
    package: str, places: Mapping[str, str]
) -> tuple[list[str], Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__all__`, `__getattr__` and `__dir__` of a package.

    `places` are modules in it, or beside it if they begin with a dot, each with its names, separated by blanks. A
    module without names is a name itself.
    """
    place_of = {name: place for place, names in places.items() for name in names.split() or [place.split(".")[-1]]}

    def get(name: str) -> object:
        if name not in place_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        place = place_of[name]
        module = import_module(f".{place}", package)
        return getattr(module, name) if places[place] else module

    return sorted(place_of), get, lambda: [*vars(sys.modules[package]), *place_of]
