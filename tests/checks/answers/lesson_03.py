"""Answers to the exercises of lesson 03: right ones in other styles, and likely wrong ones."""

from tests.checks.answers import Exercise, Wrong

#: Known from elsewhere: the lesson does without.
_NAMES = "from streamlab import Arrivals, Service, consumers, producers\n"

_UTILISATION = Exercise(
    verdict="checks.utilisation(",
    right=[
        "my_scenario = clockwork.with_rate(160)",
        "my_scenario = clockwork.with_service(0.008)",
        "my_scenario = clockwork.with_rate(0.8 / SERVICE_TIME)",
        "my_scenario = clockwork.with_service(0.8 / ARRIVAL_RATE)",
        "my_scenario = clockwork.with_rate(80).with_service(0.010)",
        "my_scenario = clockwork.with_rate(320).with_consumers(2)",
        "my_scenario = clockwork.with_rate(161)",
        'my_scenario = clockwork.with_consumer("C1", service=0.008)',
        'my_scenario = clockwork.with_arrivals("constant", rate=160)',
        f'{_NAMES}my_scenario = clockwork.with_consumer("C1", service=Service("constant", mean=0.008))',
        f'{_NAMES}my_scenario = clockwork.replace(producers=producers(1, Arrivals("constant", rate=160)))',
        f'{_NAMES}my_scenario = clockwork.replace(consumers=consumers(1, Service("constant", mean=8 / 1000)))',
        f"""
{_NAMES}my_scenario = Scenario(
    producers=producers(4, Arrivals("constant", rate=40)),
    consumers=consumers(1, Service("constant", mean=SERVICE_TIME)),
    duration=2.0,
)
""",
        # Found by trying.
        """
for rate in range(100, 200, 10):
    my_scenario = clockwork.with_rate(rate)
    if Lab(my_scenario).run().consumers["C1"].utilisation > 0.79:
        break
""",
        # Random, and long enough.
        'my_scenario = Lab("one-to-one").scenario.with_rate(160).replace(duration=40.0)',
        "my_scenario = clockwork.with_producers(2).with_rate(80)",
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("my_scenario = None", "None is not a Scenario"),
        Wrong("my_scenario = 0.8", "0.8 is not a Scenario"),
        Wrong("my_scenario = 160", "begin with one from above"),
        Wrong("my_scenario = clockwork.with_rate", "with what it needs: with_rate(…)"),
        Wrong("my_scenario = Lab(clockwork.with_rate(160))", "not its Lab"),
        Wrong("my_scenario = Lab(clockwork.with_rate(160)).run()", "not its Lab or its run"),
        Wrong("my_scenario = print(clockwork.with_rate(160))", "gives back None"),
        # As it was; the wrong side; over the edge.
        Wrong("my_scenario = clockwork", "one of the two has to be more"),
        Wrong("my_scenario = clockwork.with_rate(80)", "one of the two has to be more"),
        Wrong("my_scenario = clockwork.with_service(0.0095)", "one of the two has to be less"),
        Wrong("my_scenario = clockwork.with_rate(250)", "has to stay under 1"),
        Wrong("my_scenario = clockwork.with_service(0.012)", "has to stay under 1"),
        # Milliseconds; seconds for a rate; entries a minute.
        Wrong("my_scenario = clockwork.with_service(8)", "8 ms is 0.008"),
        Wrong("my_scenario = clockwork.with_rate(0.16)", "in entries per second"),
        Wrong("my_scenario = clockwork.with_rate(160_000_000)", "too many to try"),
        # Twice the consumers, each half as busy.
        Wrong("my_scenario = clockwork.with_rate(160).with_consumers(2)", "one of the two has to be more"),
    ],
)

_DRAIN_TIME = Exercise(
    verdict="checks.drain_time(",
    right=[
        """
def drain_time(backlog, rate, service_time):
    surplus = 1 / service_time - rate
    return backlog / surplus if surplus > 0 else math.inf
""",
        """
def drain_time(backlog, rate, service_time):
    load = rate * service_time
    if load < 1:
        return backlog * service_time / (1 - load)
    return float("inf")
""",
        """
def drain_time(backlog, rate, service_time):
    try:
        seconds = backlog / (1 / service_time - rate)
    except ZeroDivisionError:
        return math.inf
    return seconds if seconds >= 0 else math.inf
""",
        "drain_time = lambda b, r, s: b / (1 / s - r) if r * s < 1 else math.inf",
        # In words of queueing.
        """
def drain_time(backlog, rate, service_time):
    mu, lam = 1 / service_time, rate
    if lam >= mu:
        return math.inf
    return backlog / (mu - lam)
""",
        # What is there takes so long, and what comes meanwhile; a geometric series.
        """
def drain_time(backlog, rate, service_time):
    if rate * service_time >= 1:
        return math.inf
    total, waiting = 0.0, backlog
    while waiting > 1e-9:
        took = waiting * service_time
        total += took
        waiting = took * rate
    return total
""",
        # Millisecond by millisecond.
        """
def drain_time(backlog, rate, service_time):
    if rate >= 1 / service_time:
        return math.inf
    now = 0
    while backlog > 0:
        now += 1
        backlog += (rate - 1 / service_time) / 1000
    return now / 1000
""",
        # By a simulation.
        """
def drain_time(backlog, rate, service_time):
    if rate * service_time >= 1:
        return math.inf
    done, added, now = 0, backlog, 0.0
    while done < added:
        now += service_time
        done += 1
        added = backlog + int(now * rate)
    return now
""",
        # NumPy and Decimal.
        """
import numpy as np

def drain_time(backlog, rate, service_time):
    with np.errstate(divide="ignore"):
        seconds = np.float64(backlog) / (1 / service_time - rate)
    return seconds if seconds > 0 else np.inf
""",
        """
from fractions import Fraction

def drain_time(backlog, rate, service_time):
    surplus = 1 / Fraction(str(service_time)) - Fraction(str(rate))
    return Fraction(backlog) / surplus if surplus > 0 else math.inf
""",
        # With a name of its own for each case, rounded, and with printing.
        """
def drain_time(backlog, rate, service_time):
    goes, comes = 1 / service_time, rate
    print(f"{goes:g} go and {comes:g} come")
    if goes > comes:
        seconds = round(backlog / (goes - comes), 2)
    else:
        seconds = math.inf
    return seconds
""",
        # A partial of a more general one.
        """
import functools

def seconds(consumers, backlog, rate, service_time):
    left = consumers / service_time - rate
    return backlog / left if left > 0 else math.inf

drain_time = functools.partial(seconds, 1)
""",
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("drain_time = None", "None is not a function"),
        Wrong("def drain_time(backlog, rate, service_time):\n    return None", "without `return`"),
        Wrong("def drain_time(backlog, rate, service_time):\n    print(backlog * service_time)", "without `return`"),
        Wrong("drain_time = 4.0", "4.0 is not a function"),
        Wrong("def drain_time(backlog):\n    return backlog", "leave the first line"),
        Wrong("def drain_time(backlog, rate, service_time):\n    return '4 s'", "return a number of seconds"),
        Wrong("def drain_time(backlog, rate, service_time):\n    return backlog / nothing", "NameError"),
        # What comes meanwhile is forgotten; what goes, is.
        Wrong("def drain_time(backlog, rate, service_time):\n    return backlog * service_time", "and rate more come"),
        Wrong("def drain_time(backlog, rate, service_time):\n    return backlog / rate", "1 / service_time entries go"),
        # It never ends, and is given a number.
        Wrong(
            "def drain_time(backlog, rate, service_time):\n    return backlog / (1 / service_time - rate)",
            "return math.inf",
        ),
        Wrong(
            "def drain_time(backlog, rate, service_time):\n    return abs(backlog / (1 / service_time - rate))",
            "return math.inf",
        ),
        # At a load of exactly 1.
        Wrong(
            """
def drain_time(backlog, rate, service_time):
    if rate * service_time > 1:
        return math.inf
    return backlog / (1 / service_time - rate)
""",
            "as many come as go",
        ),
        # Milliseconds; the other way round.
        Wrong(
            """
def drain_time(backlog, rate, service_time):
    if rate * service_time >= 1:
        return math.inf
    return 1000 * backlog / (1 / service_time - rate)
""",
            "return seconds",
        ),
        Wrong("def drain_time(backlog, rate, service_time):\n    return math.inf", "fewer come than go"),
        # Step by step, without an end.
        Wrong(
            """
def drain_time(backlog, rate, service_time):
    now = 0.0
    while backlog != 0:
        now += service_time
    return now
""",
            "a loop that never ends",
        ),
        Wrong(
            """
def drain_time(backlog, rate, service_time):
    return service_time + drain_time(backlog - 1 + rate * service_time, rate, service_time)
""",
            "what makes it stop",
        ),
    ],
)

EXERCISES = [_UTILISATION, _DRAIN_TIME]
