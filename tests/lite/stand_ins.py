"""Stand-ins for numpy, matplotlib and pandas in a page that cannot fetch them; put into its kernel before a lesson.

They take whatever is done with them, as a frame or a figure does: an operation gives another stand-in. What is within
is made up, so a cell of the lesson that asks for it (is it true, what number is it, what are its parts?) gets a
`LooksInside`. The library, which asks so as to draw, is told something that it can go on with.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, MutableSequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAMES = ("numpy", "matplotlib", "pandas")


class LooksInside(Exception):
    """A cell looks into a figure or a table, and a stand-in has nothing inside."""


def _refuse_a_cell() -> None:
    """Raise if it was a cell that asked."""
    if sys._getframe(2).f_globals.get("__name__") == "__main__":
        raise LooksInside("this cell looks into a figure or a table, for which there is a stand-in here")


class StandIn(ModuleType):
    """A module, and whatever is had from one: it is called, indexed, reckoned with, and made a class's base."""

    __path__: MutableSequence[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # by which a notebook asks what it can be shown as, and Python what it can do
            raise AttributeError(name)
        return StandIn(name)

    def __call__(self, *_: object, **__: object) -> StandIn:
        return StandIn(self.__name__)

    def __setitem__(self, _: object, value: object) -> None:
        pass

    def __repr__(self) -> str:
        return "<stand-in>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __hash__(self) -> int:
        return id(self)

    def __mro_entries__(self, _: object) -> tuple[type]:
        return (Base,)

    def __bool__(self) -> bool:
        _refuse_a_cell()
        return True

    def __int__(self) -> int:
        _refuse_a_cell()
        return 1

    def __index__(self) -> int:
        _refuse_a_cell()
        return 0

    def __float__(self) -> float:
        _refuse_a_cell()
        return 2.0

    def __len__(self) -> int:
        _refuse_a_cell()
        return 2

    def __contains__(self, _: object) -> bool:
        _refuse_a_cell()
        return False

    def __iter__(self) -> Iterator[StandIn]:
        _refuse_a_cell()
        return iter(
            [StandIn("part")] * (3 if self.__name__ == "to_rgb" else 2)
        )  # limits are two, a colour's parts three


class Base(StandIn):
    """What a class of the library's is made from, that takes any arguments."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__("made")


def _another(self: StandIn, *_: object) -> StandIn:
    return StandIn("result")


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or"):
    setattr(StandIn, f"__{_name}__", _another)
    setattr(StandIn, f"__r{_name}__", _another)
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "abs", "invert", "round", "getitem"):
    setattr(StandIn, f"__{_name}__", _another)


class Finder(MetaPathFinder, Loader):
    """Finds these packages, and whatever module of theirs."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.split(".")[0] in NAMES else None

    def create_module(self, spec: ModuleSpec) -> StandIn:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def put_in_place() -> None:
    """Let whoever imports one of these get a stand-in."""
    sys.meta_path.insert(0, Finder())
