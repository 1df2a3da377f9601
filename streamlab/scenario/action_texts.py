"""Actions read from texts.

parse_action("kill C2 at 3s")                 # a process dies where it stands (SIGKILL)
parse_action("crash-before-ack C1 nth 5")     # … after the effect of its 5th entry, before XACK
parse_action("autoclaim for C1 at 5s")        # XAUTOCLAIM, by the lab's hand
"""

from __future__ import annotations

import re
import shlex
from typing import Any, Final

import attrs

from streamlab.actors.recovery import Recovery
from streamlab.scenario.action import (
    AMOUNTS,
    COUNTS,
    IN_ORDER,
    KEYWORDS,
    NAMES,
    SEVERAL,
    TIMES,
    WORDS,
    Action,
    ActionError,
    CountedAction,
)
from streamlab.scenario.actions import ACTIONS

_TIME = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)(ms|s|min|)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "": 1.0}


def seconds(text: str) -> float:
    """Read a time: ``3s``, ``250ms``, ``2min``, or a number of seconds.

    Raises
    ------
    ActionError
        If it is none.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ActionError(f"{text!r} is not a time: write 3s, 250ms or 2min")
    return float(match[1]) * _UNITS[match[2]]


def parse_action(text: str) -> Action[Any]:
    """Read an action as ``str(action)`` writes it.

    Raises
    ------
    ActionError
        If it is none, or something is missing or out of range.
    """
    try:
        word, *rest = shlex.split(text) or [""]
    except ValueError as error:
        raise ActionError(f"cannot read {text!r}: {error}") from None
    kind = ACTIONS.get(word.lower())
    if kind is None:
        raise ActionError(f"unknown action {text!r}: known are {', '.join(ACTIONS)}")
    return _Reader(text, kind, rest).read()


def parse_counted(text: str) -> CountedAction:
    """Read an action that counts."""
    action = parse_action(text)
    if not isinstance(action, CountedAction):
        raise ActionError(f"{text!r} counts nothing")
    return action


class _Reader:
    """Reads the words of an action after its first."""

    def __init__(self, text: str, kind: type[Action[Any]], words: list[str]) -> None:
        self._text, self._kind, self._words = text, kind, words
        self._items = attrs.fields_dict(kind)
        self._by_keyword = {KEYWORDS.get(name, name): name for name in self._items}
        self._values: dict[str, Any] = {}

    def read(self) -> Action[Any]:
        for name in (*IN_ORDER, *AMOUNTS):
            if name in self._items:
                self._take(name)
        changes = self._take_strategy() if "changes" in self._items else []
        if len(self._words) % 2:
            raise ActionError(f"cannot read {self._text!r}: write {self._kind.form}")
        for word, value in zip(self._words[::2], self._words[1::2], strict=True):
            name = self._by_keyword.get(word, "")
            if name in self._values or name in (*IN_ORDER, *AMOUNTS, "changes"):
                name = ""
            if name:
                self._values[name] = value if name in NAMES else self._number(name, value)
            elif "changes" in self._items:
                name = word.replace("-", "_")
                changes.append((name, WORDS[value] if value in WORDS else self._change(name, value)))
            else:
                raise ActionError(f"{word!r} does not belong into {self._text!r}: write {self._kind.form}")
        if changes:
            self._values["changes"] = tuple(changes)
        required = [name for name, item in self._items.items() if item.default is attrs.NOTHING]
        missing = [name for name in required if name not in self._values]
        if missing:
            raise ActionError(f"{self._text!r} lacks {' and '.join(missing)}: write {self._kind.form}")
        return self._kind(**self._values)

    def _take(self, name: str) -> None:
        """Take what stands in its place rather than after a keyword."""
        words, item = self._words, self._items[name]
        if name in SEVERAL:
            n = next((i for i, word in enumerate(words) if word in self._by_keyword), len(words))
            if n or item.default is attrs.NOTHING:
                self._values[name] = tuple(words[:n])
            del words[:n]
        elif item.default is None and (not words or words[0] in self._by_keyword):
            return
        elif not words:
            raise ActionError(f"{self._text!r} names no {name}: write {self._kind.form}")
        elif name in AMOUNTS:
            self._values[name] = self._number(name, words.pop(0))
        else:
            word = words.pop(0)
            self._values[name] = word.upper() if name == "command" else word

    def _take_strategy(self) -> list[tuple[str, Any]]:
        words = self._words
        if words and words[0] != "at" and words[0].replace("-", "_") not in Recovery.__dataclass_fields__:
            return [("strategy", words.pop(0))]
        return []

    def _change(self, name: str, text: str) -> Any:
        return text if name in ("dead_letter", "strategy") else self._number(name, text)

    def _number(self, name: str, text: str) -> float | int:
        if name in TIMES:
            return seconds(text)
        try:
            return int(text) if name in COUNTS else float(text)
        except ValueError:
            raise ActionError(f"{name} {text!r} is not a number: write {self._kind.form}") from None
