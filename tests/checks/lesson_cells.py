"""Which cells of a lesson an exercise depends on, by the names that they bind and look at."""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterable, Iterator, Sequence


def bound(source: str) -> set[str]:
    """Return the names that a piece of code binds, or whose items or attributes it sets."""
    names = {s.get_name() for s in _top(source).get_symbols() if s.is_assigned() or s.is_imported()}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            names |= {base.id for base in ast.walk(node.value) if isinstance(base, ast.Name)}
    return names


def loaded(source: str) -> set[str]:
    """Return the names that a piece of code looks at, and that are not a function's own."""
    top = _top(source)
    names = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    for table in _inside(top):
        names |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
    return names


def _top(source: str) -> symtable.SymbolTable:
    return symtable.symtable(source, "<cell>", "exec")


def _inside(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _inside(child)


def needed(sources: Sequence[str], roots: Iterable[str]) -> list[bool]:
    """Return for each cell whether code depends on it: by the names that it binds, directly or not.

    A cell that changes things in another way (a command, a method) is not found: an exercise begins with its own.
    ``%%writefile`` is always needed.
    """
    wanted = {name for root in roots for name in loaded(root) - bound(root)}
    found = []
    for source in reversed(sources):
        if source.startswith("%%"):
            wanted |= set(re.findall(r"{(\w+)", source.partition("\n")[0]))
            found.append(True)
            continue
        is_needed = bool(bound(source) & wanted)
        if is_needed:
            wanted |= loaded(source)
        found.append(is_needed)
    return found[::-1]
