"""What shall happen, as data: a `Scenario`, what it is made of, and where it comes from.

Everything here is imported when it is first used; neither redis nor asyncio is needed for any of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamlab.scenario.actors import Arrivals as Arrivals
    from streamlab.scenario.actors import Consumer as Consumer
    from streamlab.scenario.actors import Producer as Producer
    from streamlab.scenario.actors import Service as Service
    from streamlab.scenario.actors import consumers as consumers
    from streamlab.scenario.actors import producers as producers
    from streamlab.scenario.files import from_dict as from_dict
    from streamlab.scenario.files import from_toml as from_toml
    from streamlab.scenario.files import to_dict as to_dict
    from streamlab.scenario.files import to_toml as to_toml
    from streamlab.scenario.named import SCENARIOS as SCENARIOS
    from streamlab.scenario.named import load_scenario as load_scenario
    from streamlab.scenario.scenario import EPOCH_MS as EPOCH_MS
    from streamlab.scenario.scenario import Scenario as Scenario
    from streamlab.scenario.values import ScenarioError as ScenarioError

_PLACES: Final = {
    "actors": "Arrivals Consumer Producer Service consumers producers",
    "files": "from_dict from_toml to_dict to_toml",
    "named": "SCENARIOS load_scenario",
    "scenario": "EPOCH_MS Scenario",
    "values": "ScenarioError",
}
_PLACE_OF: Final = {name: place for place, names in _PLACES.items() for name in names.split()}

__all__ = sorted(_PLACE_OF)


def __getattr__(name: str) -> object:
    if name not in _PLACE_OF:
        raise AttributeError(f"module 'streamlab.scenario' has no attribute {name!r}")
    return getattr(import_module(f"streamlab.scenario.{_PLACE_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
