"""What shall happen, as data: a `Scenario`, what it is made of, and where it comes from.

Everything here is imported when it is first used; neither redis nor asyncio is needed for any of it.
"""

from typing import TYPE_CHECKING

from streamlab.actors.on_demand import on_demand

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
else:
    __all__, __getattr__, __dir__ = on_demand(
        __name__,
        {
            "actors": "Arrivals Consumer Producer Service consumers producers",
            "files": "from_dict from_toml to_dict to_toml",
            "named": "SCENARIOS load_scenario",
            "scenario": "EPOCH_MS Scenario",
            "values": "ScenarioError",
        },
    )
