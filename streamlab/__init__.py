"""A course and laboratory for Redis Streams consumer groups.

    from streamlab import Lab, Recovery, checks, plots

    run = Lab("crash").run()
    plots.show(plots.recovery(run))

Everything here is imported when it is first used. Paths within the package may change; these names, and those of
`streamlab.actors` and `streamlab.testing`, do not.
"""

import sys
from typing import TYPE_CHECKING

from streamlab.actors.on_demand import on_demand
from streamlab.version import __version__ as __version__

if TYPE_CHECKING:
    from streamlab import checks as checks
    from streamlab.actors import Recovery as Recovery
    from streamlab.actors import consume as consume
    from streamlab.actors import ensure_group as ensure_group
    from streamlab.actors import produce as produce
    from streamlab.actors import reclaim as reclaim
    from streamlab.actors import scripts as scripts
    from streamlab.lab.both import run_both as run_both
    from streamlab.lab.errors import LabError as LabError
    from streamlab.lab.lab import Lab as Lab
    from streamlab.lab.strategies import RecoveryTable as RecoveryTable
    from streamlab.lab.strategies import compare as compare
    from streamlab.lab.sweep import sweep as sweep
    from streamlab.lab.sweep import sweep_over as sweep_over
    from streamlab.lab.watch import Watch as Watch
    from streamlab.learner.magics import load_ipython_extension as load_ipython_extension
    from streamlab.model import StreamModel as StreamModel
    from streamlab.results.comparison import Agreement as Agreement
    from streamlab.results.comparison import Comparison as Comparison
    from streamlab.results.run import Run as Run
    from streamlab.results.sweep_table import SweepTable as SweepTable
    from streamlab.results.theory import MMc as MMc
    from streamlab.scenario import Arrivals as Arrivals
    from streamlab.scenario import Consumer as Consumer
    from streamlab.scenario import Producer as Producer
    from streamlab.scenario import Scenario as Scenario
    from streamlab.scenario import Service as Service
    from streamlab.scenario import consumers as consumers
    from streamlab.scenario import producers as producers
    from streamlab.scenario.action import Action as Action
    from streamlab.scenario.action_texts import parse_action as parse_action
    from streamlab.scenario.actions import AddConsumer as AddConsumer
    from streamlab.scenario.actions import Autoclaim as Autoclaim
    from streamlab.scenario.actions import Claim as Claim
    from streamlab.scenario.actions import CrashBeforeAck as CrashBeforeAck
    from streamlab.scenario.actions import CrashBeforeEffect as CrashBeforeEffect
    from streamlab.scenario.actions import Disconnect as Disconnect
    from streamlab.scenario.actions import Fail as Fail
    from streamlab.scenario.actions import GroupDestroyed as GroupDestroyed
    from streamlab.scenario.actions import Kill as Kill
    from streamlab.scenario.actions import LostReply as LostReply
    from streamlab.scenario.actions import Pause as Pause
    from streamlab.scenario.actions import PauseInWork as PauseInWork
    from streamlab.scenario.actions import Poison as Poison
    from streamlab.scenario.actions import Restart as Restart
    from streamlab.scenario.actions import Resume as Resume
    from streamlab.scenario.actions import SetRate as SetRate
    from streamlab.scenario.actions import SetRecovery as SetRecovery
    from streamlab.scenario.actions import SetService as SetService
    from streamlab.scenario.actions import Slow as Slow
    from streamlab.scenario.actions import StreamDeleted as StreamDeleted
    from streamlab.scenario.actions import TrimWhilePending as TrimWhilePending
    from streamlab.scenario.failing import Failover as Failover
    from streamlab.scenario.failing import NetworkCut as NetworkCut
    from streamlab.scenario.failing import PowerLoss as PowerLoss
    from streamlab.scenario.failing import ServerDown as ServerDown
    from streamlab.scenario.named import load_scenario as load_scenario
    from streamlab.scenario.random_faults import Weights as Weights
    from streamlab.scenario.random_faults import random_faults as random_faults
    from streamlab.scenario.replay import replay as replay
    from streamlab.scenario.values import ScenarioError as ScenarioError
    from streamlab.servers.client import stream_client as stream_client
    from streamlab.servers.client import sync_stream_client as sync_stream_client
    from streamlab.servers.cluster import PrivateCluster as PrivateCluster
    from streamlab.servers.connect import close_servers as close_servers
    from streamlab.servers.connect import connect as connect
    from streamlab.servers.connect import connect_async as connect_async
    from streamlab.servers.embedded import EmbeddedServer as EmbeddedServer
    from streamlab.servers.private import PrivateServer as PrivateServer
    from streamlab.servers.processes import guarded_popen as guarded_popen
    from streamlab.servers.programs import find_servers as find_servers
    from streamlab.servers.proxy import Proxy as Proxy
    from streamlab.servers.replicas import PrivateReplicas as PrivateReplicas
    from streamlab.views import plots as plots
    from streamlab.views import tables as tables
    from streamlab.views.panel import Panel as Panel
    from streamlab.views.playback import Playback as Playback
    from streamlab.views.plots import group_states as group_states
    from streamlab.virtual.loop import VirtualLoop as VirtualLoop
    from streamlab.virtual.redis import SimulatedServer as SimulatedServer
else:
    if sys.platform == "emscripten":  # a page in a browser, which fetches some packages when they are first used
        from streamlab.views.fetched import offer

        offer()
    __all__, __getattr__, __dir__ = on_demand(
        __name__,
        {
            "actors": "Recovery consume ensure_group produce reclaim",
            "actors.scripts": "",
            "checks": "",
            "lab.both": "run_both",
            "lab.lab": "Lab",
            "lab.strategies": "RecoveryTable compare",
            "lab.sweep": "sweep sweep_over",
            "lab.watch": "Watch",
            "learner.magics": "load_ipython_extension",
            "model": "StreamModel",
            "results.run": "Run",
            "results.comparison": "Agreement Comparison",
            "results.sweep_table": "SweepTable",
            "results.theory": "MMc",
            "lab.errors": "LabError",
            "scenario.values": "ScenarioError",
            "scenario.named": "load_scenario",
            "scenario.action": "Action",
            "scenario.action_texts": "parse_action",
            "scenario.actions": (
                "AddConsumer Autoclaim Claim CrashBeforeAck CrashBeforeEffect Disconnect Fail "
                "GroupDestroyed Kill LostReply Pause PauseInWork Poison Restart Resume SetRate "
                "SetRecovery SetService Slow StreamDeleted TrimWhilePending "
            ),
            "scenario.failing": "Failover NetworkCut PowerLoss ServerDown",
            "scenario.random_faults": "random_faults Weights",
            "scenario.replay": "replay",
            "scenario": "Arrivals Consumer Producer Scenario Service consumers producers",
            "servers.client": "stream_client sync_stream_client",
            "servers.cluster": "PrivateCluster",
            "servers.connect": "close_servers connect connect_async",
            "servers.embedded": "EmbeddedServer",
            "servers.private": "PrivateServer",
            "servers.programs": "find_servers",
            "servers.processes": "guarded_popen",
            "servers.proxy": "Proxy",
            "servers.replicas": "PrivateReplicas",
            "views.plots.group_states": "",
            "views.panel": "Panel",
            "views.playback": "Playback",
            "views.plots": "",
            "views.tables": "",
            "virtual.loop": "VirtualLoop",
            "virtual.redis": "SimulatedServer",
        },
    )
