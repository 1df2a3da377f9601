"""Try your own consumer: under random faults, in virtual time, in a test of your own.

    from streamlab.testing import assert_survives

    async def bill(client, stream, group, consumer, handler): ...

    def test_bill_survives():
        assert_survives(bill)

`assert_survives` runs four of them, lets them die, stand still and lose their connections, and says which entry was
lost, left or done twice. `docs/testing.md` tells the rest. The pytest plugin (`streamlab.testing.plugin`) is there as
soon as streamlab is installed. Everything here is imported when it is first used.
"""

from typing import TYPE_CHECKING

from streamlab.actors.on_demand import on_demand

if TYPE_CHECKING:
    from streamlab.servers.processes import guarded_popen as guarded_popen
    from streamlab.testing.failing import ConsumerFailed as ConsumerFailed
    from streamlab.testing.seeing import replay as replay
    from streamlab.testing.seeing import replay_lab as replay_lab
    from streamlab.testing.simulation import Simulation as Simulation
    from streamlab.testing.surviving import assert_survives as assert_survives
else:
    __all__, __getattr__, __dir__ = on_demand(
        __name__,
        {
            ".servers.processes": "guarded_popen",
            "failing": "ConsumerFailed",
            "seeing": "replay replay_lab",
            "simulation": "Simulation",
            "surviving": "assert_survives",
        },
    )
