"""One course on both clocks: whatever goes wrong, alone and in pairs, the same lives are begun, paused and ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from streamlab import Lab, Run, Scenario
from streamlab.actors.events import CRASHED, PAUSED, RECREATED, RESUMED, STARTED, STOPPED
from streamlab.lab.overheads import Overheads
from streamlab.scenario import Arrivals, Service, consumers, producers
from streamlab.scenario.failing import ServerDown
from streamlab.scenario.random_faults import RANDOM_FAULTS

pytestmark = pytest.mark.real_time("compares times of real processes")

LIFECYCLE = (STARTED, CRASHED, PAUSED, RESUMED, RECREATED, STOPPED)
#: Seconds by which an event may come earlier or later on one engine than on the other.
TOLERANCE = 0.25
#: Who may have to wait for a processor between an action's time and its event's: the lab, the process, the lab again.
N_WAITS = 3
#: Seconds from one try to the next, at most, while the server is gone.
LONGEST_PAUSE = 1.0
#: Seconds for which entries are added.
DURATION = 4.0
#: Into how many runs the cases are dealt out: many processes that start at once keep each other waiting.
N_PARTS = 5
#: What befalls one consumer, alone or in pairs that meet: C stands for its name. What needs the next life leaves it
#: more than a second to come up, which is what that takes on a busy machine.
CASES = {
    "kill": ("kill C at 1s",),
    "kill twice before the restart": ("kill C at 1s", "kill C at 1.2s"),
    "kill, and kill the next life": ("kill C at 1s", "kill C at 2.5s"),
    "restart": ("restart C at 1s",),
    "restart twice": ("restart C at 1s", "restart C at 2.5s"),
    "kill, and restart before the supervisor does": ("kill C at 1s", "restart C at 1.3s"),
    "restart, and kill": ("restart C at 1s", "kill C at 2.5s"),
    "pause": ("pause C at 1s for 1s",),
    "overlapping pauses": ("pause C at 1s for 1s", "pause C at 1.5s for 1s"),
    "a pause within a pause": ("pause C at 1s for 1.5s", "pause C at 1.5s for 300ms"),
    "kill in a pause": ("pause C at 1s for 2s", "kill C at 1.5s"),
    "restart in a pause": ("pause C at 1s for 2s", "restart C at 1.5s"),
    "disconnect in a pause": ("pause C at 1s for 1s", "disconnect C at 1.5s"),
    "slow in a pause": ("pause C at 1s for 1s", "slow C at 1.5s for 1s factor 3"),
    "a pause before the restart": ("kill C at 1s", "pause C at 1.2s for 1s"),
    "a pause after the restart": ("kill C at 1s", "pause C at 3s for 500ms"),
    "slow": ("slow C at 1s for 1s factor 3",),
    "overlapping slow": ("slow C at 1s for 1s factor 2", "slow C at 1.5s for 1s factor 3"),
    "kill while slow": ("slow C at 1s for 2s factor 3", "kill C at 1.5s"),
    "restart while slow": ("slow C at 1s for 2s factor 3", "restart C at 1.5s"),
    "disconnect": ("disconnect C at 1s",),
    "disconnect, and kill": ("disconnect C at 1s", "kill C at 1.3s"),
    "disconnect before the restart": ("kill C at 1s", "disconnect C at 1.2s"),
    "disconnect, and restart": ("disconnect C at 1s", "restart C at 1.3s"),
    "crash before effect": ("crash-before-effect C nth 5",),
    "crash before effect, again": ("crash-before-effect C nth 5", "crash-before-effect C nth 9"),
    "crash before effect, and kill": ("crash-before-effect C nth 5", "kill C at 2.5s"),
    "crash before effect, and pause": ("crash-before-effect C nth 5", "pause C at 2.5s for 500ms"),
    "crash before ack": ("crash-before-ack C nth 5",),
    "crash before ack, and restart": ("crash-before-ack C nth 5", "restart C at 2.5s"),
    "crash before ack while slow": ("slow C at 200ms for 3s factor 2", "crash-before-ack C nth 5"),
    "pause in work": ("pause-in-work C nth 5 for 1s",),
    "pause in work, and kill": ("pause-in-work C nth 5 for 10s", "kill C at 2s"),
    "pause in work, and restart": ("pause-in-work C nth 5 for 10s", "restart C at 2s"),
    "pause in work, and a longer pause": ("pause-in-work C nth 5 for 1.5s", "pause C at 1.2s for 2s"),
    "pause in work after a crash": ("crash-before-effect C nth 3", "pause-in-work C nth 6 for 500ms"),
    "fail": ("fail C nth 5",),  # nobody claims: the error ends the consumer
    "fail, and kill": ("fail C nth 5", "kill C at 2.5s"),
    "fail twice": ("fail C nth 5 times 2",),
    "lost reply": ("lost-reply C XACK nth 3",),
    "lost reply, and kill": ("lost-reply C XACK nth 3", "kill C at 2s"),
    "lost reply in the next life": ("kill C at 1s", "lost-reply C XACK nth 15"),
    "lost reply in a pause": ("pause C at 1s for 1s", "lost-reply C XACK nth 1 at 1.5s"),
    "crash before ack in a pause": ("pause C at 1s for 1s", "crash-before-ack C nth 2 at 1.5s"),
    "crash before effect before the restart": ("kill C at 1s", "crash-before-effect C nth 2 at 1.3s"),
    "resume early": ("pause C at 1s for 2s", "resume C at 1.5s"),
    "resume of the living": ("resume C at 1s", "pause C at 1.5s for 500ms"),
    "a pause without an end, and kill": ("pause C at 1s", "kill C at 2s"),
    "slower service, and kill": ("set-service 100ms for C at 1s", "kill C at 1.5s"),
    "disconnect while slow": ("slow C at 1s for 1s factor 3", "disconnect C at 1.5s"),
}
#: What befalls the server or the stream, and what befalls a consumer meanwhile.
TOGETHER = {
    "server down": ("server-down at 1s for 1s",),
    "overlapping outages": ("server-down at 1s for 1s", "server-down at 1.5s for 1s"),
    "in an outage": (
        "server-down at 1s for 1s",
        "kill C1 at 1.4s",
        "pause C2 at 1.4s for 1s",
        "restart C3 at 1.4s",
        "disconnect C4 at 1.4s",
        "slow C5 at 1.4s for 1s",
        "group-destroyed at 1.5s",
    ),
    "a trimmed stream in an outage": ("server-down at 1s for 1s", "trim-while-pending at 1.5s"),
    "a deleted stream in an outage": ("server-down at 1s for 1s", "stream-deleted at 1.5s"),
    "an outage in a pause": ("pause C1 at 500ms for 2s", "server-down at 1s for 500ms"),
    "an outage before a restart": ("kill C1 at 900ms", "server-down at 1s for 1s"),
    "a group destroyed": ("group-destroyed at 1s", "kill C1 at 1.2s", "pause C2 at 900ms for 1s"),
    "a stream deleted": ("stream-deleted at 1s", "restart C1 at 1.2s", "pause C2 at 900ms for 1s"),
    "a stream trimmed": ("trim-while-pending at 1s", "kill C1 at 1.2s"),
    "poison": ("poison P1 nth 8",),
}


def scenario(faults: Iterable[str], n_consumers: int) -> Scenario:
    """Return a scenario in which each consumer is busy for a third of its time."""
    base = Scenario(
        name="course",
        producers=producers(1, Arrivals(rate=6.0 * n_consumers)),
        consumers=consumers(n_consumers, Service(mean=0.05)),
        duration=DURATION,
        drain=10.0,
    )
    return base.with_recovery("restart", restart_after=0.6, max_deliveries=3).with_faults(*faults)


def both(shown: Scenario) -> tuple[Run, Run, float]:
    """Run on both engines; a simulated process takes as long to start again as the real one did.

    Return the runs, and for how many seconds the machine kept this process, or a worker, waiting at the longest.
    """
    with longest_wait() as waits:
        live = Lab(shown, engine="live").run()
    waits += [wait.longest for wait in live.waits.values()]
    return Lab(shown, overheads=Overheads(starts=Overheads.of(live).starts)).run(), live, max(waits)


@contextmanager
def longest_wait() -> Iterator[list[float]]:
    """Give a list of how late a timer of 10 ms was, each time."""
    waits, is_over = [0.0], threading.Event()

    def look() -> None:
        while not is_over.is_set():
            before = time.monotonic()
            time.sleep(0.01)
            waits.append(time.monotonic() - before - 0.01)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield waits
    finally:
        is_over.set()
        thread.join()


def lives(run: Run) -> dict[str, list[tuple[str, float]]]:
    """Return what each actor's lives came to: kinds of events and their times, in order.

    Whoever comes first recreates a group that all have found gone.
    """
    found: dict[str, list[tuple[str, float]]] = {}
    for event in run.events:
        if event.kind in LIFECYCLE and event.actor != "P1":
            actor = "whoever" if event.kind == RECREATED else event.actor
            found.setdefault(actor, []).append((str(event.kind), event.at))
    return found


def differences(one: Run, other: Run, longest_wait: float, names: dict[str, str]) -> list[str]:
    """List how the lives of two runs differ, beyond what the machine kept them waiting for."""
    tolerance = TOLERANCE + N_WAITS * longest_wait
    found = []
    ours, theirs = lives(one), lives(other)
    # Who finds that the group is gone may have tried a moment too early: the next try is a pause later.
    has_outage = any(isinstance(fault, ServerDown) for fault in one.scenario.faults)
    for name in sorted({*ours, *theirs}):
        a, b = ours.get(name, []), theirs.get(name, [])
        what = f"{names.get(name, '')} ({name})"
        pairs = list(zip(a, b, strict=False))
        # Who comes up as a run ends may be too late for it.
        left = [at for _, at in a[len(pairs) :] + b[len(pairs) :] if at < DURATION - tolerance]
        if left or any(kind != theirs for (kind, _), (theirs, _) in pairs):
            found.append(f"{what}: {a} != {b}")
            continue
        # Of the first start and the last stop, times mean nothing.
        middle = pairs if name == "whoever" else pairs[1:-1]
        found += [
            f"{what}: {kind} at {at:.2f} != {at_other:.2f}"
            for (kind, at), (_, at_other) in middle
            if abs(at - at_other) > tolerance + (LONGEST_PAUSE if kind == RECREATED and has_outage else 0)
        ]
    return found


@pytest.mark.redis
@pytest.mark.usefixtures("default_server_binary")
@pytest.mark.parametrize("part", range(N_PARTS))
def test_what_befalls_one_consumer(part: int) -> None:
    """Some of the cases in one run, each with a consumer of its own."""
    cases = list(CASES.items())[part::N_PARTS]
    names = {f"C{i}": name for i, (name, _) in enumerate(cases, 1)}
    faults = [fault.replace(" C ", f" C{i} ") for i, (_, faults) in enumerate(cases, 1) for fault in faults]
    shown = scenario(faults, len(cases))
    runs = both(shown)
    assert differences(*runs, names) == []
    assert [run.pending for run in runs[:2]] == [0, 0]


@pytest.mark.redis
@pytest.mark.usefixtures("default_server_binary")
@pytest.mark.parametrize("name", TOGETHER)
def test_what_befalls_everybody(name: str) -> None:
    """The server or the stream, and consumers meanwhile."""
    shown = scenario(TOGETHER[name], 5)
    assert differences(*both(shown), {}) == []


def test_the_table_has_every_kind_of_fault() -> None:
    """But for those of servers of which a scenario says how they fail; and there are at least sixty cases."""
    texts = [text for table in (CASES, TOGETHER) for case in table.values() for text in case]
    assert {text.split()[0] for text in texts} >= set(RANDOM_FAULTS)
    assert len(CASES) + len(TOGETHER) >= 60
