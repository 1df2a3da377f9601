"""The buttons of the control panel, as plain data: made of what actions declare, drawn by the view."""

from __future__ import annotations

import inspect
import math
from typing import Any, Final

import attrs

from streamlab.scenario.action import AMOUNTS, COUNTS, IN_ORDER, KEYWORDS, LOSABLE, TIMES, Action
from streamlab.scenario.actions import ACTIONS

#: What is chosen where it is shown, rather than asked for beside the button.
_SHOWN: Final = ("target", "consumer", "ids", "group")
#: What of the recovery can be changed on the panel, by its keywords.
_CHANGES: Final = {"strategy": "", "min_idle": "min-idle"}


def all_buttons() -> list[dict[str, Any]]:
    """Return a button for each kind of action: what is written on it, whom it is for, how its text is written."""
    return [_button(kind) for kind in ACTIONS.values()]


def _button(kind: type[Action[Any]]) -> dict[str, Any]:
    explained = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    fields = []
    for item in attrs.fields(kind):
        if item.name == "changes":
            fields += [_field(name, keyword) for name, keyword in _CHANGES.items()]
        elif item.name != "at":
            in_place = item.name in (*IN_ORDER, *AMOUNTS)
            keyword = "" if in_place else KEYWORDS.get(item.name, item.name)
            fields.append(_field(item.name, keyword, item.default))
    button = kind.button
    return {
        "word": kind.word,
        "label": button.label,
        "hint": explained.replace("`", ""),
        "aim": button.aim,
        "at_hand": button.at_hand,
        "needs": button.needs,
        "undoes": button.undoes,
        "fields": fields,
    }


def _field(name: str, keyword: str, default: Any = None) -> dict[str, Any]:
    """Return how a field is written, after its keyword if it has one; and, if it is asked for, what it may be."""
    if isinstance(default, tuple):
        default = " ".join(default)
    kind = "time" if name in TIMES else "count" if name in COUNTS else "words" if name == "entry" else "other"
    return {
        "name": name,
        "keyword": keyword,
        "kind": kind,
        "asked": name not in _SHOWN,
        "default": None if default in (attrs.NOTHING, math.inf) else default,
        "choices": LOSABLE if name == "command" else None,  # each with who sends it
    }
