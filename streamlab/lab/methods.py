"""Methods of a lab that are declared by actions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from streamlab.scenario import ScenarioError
from streamlab.scenario.action import Action, ActionError

P = ParamSpec("P")
R = TypeVar("R")


def doing(kind: Callable[P, Action[R]]) -> Callable[Concatenate[Any, P], R]:
    """Return the method of a lab that does an action of this kind."""

    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            action = kind(*args, **kwargs)
        except ActionError as error:
            raise ScenarioError(str(error)) from None
        done: R = self.do(action)
        return done

    method.__doc__ = kind.__doc__
    method.__name__ = getattr(kind, "word", "").replace("-", "_")
    method.__qualname__ = f"Lab.{method.__name__}"
    method.__signature__ = inspect.signature(kind)  # type: ignore[attr-defined]
    return method
