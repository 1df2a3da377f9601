"""Answers to the exercises of lesson 14: right ones in other styles, and likely wrong ones."""

from tests.checks.answers import Exercise, Wrong

_ENOUGH = Exercise(
    verdict="checks.enough_consumers(",
    right=[
        "my_consumers = 5",
        "my_consumers = 5.0",
        "import numpy as np\nmy_consumers = np.int64(5)",
        "my_consumers = 1 + 4  # one is dead",
        # By theory: those that are left keep the limit.
        "my_consumers = 1 + next(n for n in range(1, 50) if MMc(100, 0.025, n).sojourn_quantile(0.99) <= 0.150)",
        """
alive = 1
while MMc(100, 0.025, alive).sojourn_quantile(0.99) > 0.150:
    alive += 1
my_consumers = alive + 1
""",
        """
queues = {n: MMc.of(other_shop.with_consumers(n - 1)) for n in range(2, 10)}
my_consumers = min(n for n, queue in queues.items() if queue.sojourn_quantile(0.99) < 0.150)
""",
        # By a sweep, with other seeds, and as many as one likes.
        """
found = sweep_over(other_shop, consumers=range(3, 8), seeds=range(1, 4))
my_consumers = next(r.values["consumers"] for r in found.rows if r.estimate("sojourn_p99").value <= 0.150)
""",
        """
found = sweep_over(other_shop, consumers=[4, 5, 6], seeds=[7, 8])
my_consumers = min(
    row.values["consumers"] for row in found.rows if all(run.sojourn_p99 < 0.150 for run in row.runs)
)
""",
        # By single runs.
        """
for my_consumers in range(3, 10):
    if Lab(other_shop.with_consumers(my_consumers)).run().sojourn.p99 <= 0.150:
        break
""",
        # By a data frame.
        """
from streamlab import tables
frame = tables.sweep(sweep_over(other_shop, consumers=range(4, 7), seeds=[1, 2]))
my_consumers = frame.index[frame["sojourn_p99"] <= 0.150].min()
""",
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("my_consumers = None", "None is not a number of consumers"),
        Wrong("my_consumers = '5'", "'5' is not a number of consumers"),
        Wrong("my_consumers = other_shop.with_consumers(5)", "give the number itself"),
        Wrong("my_consumers = MMc(100, 0.025, 5)", "a whole number from 1 to 100"),
        Wrong("my_consumers = sweep_over(other_shop, consumers=[5], seeds=[1])", "a whole number from 1 to 100"),
        Wrong("my_consumers = math.inf", "a whole number from 1 to 100"),
        Wrong("my_consumers = 2.5", "Half a one is none"),
        # The load rounded up; what keeps the limit while all are alive; the dead one forgotten entirely.
        Wrong("my_consumers = math.ceil(100 * 0.025)", "those that are left have to keep waits short"),
        Wrong("my_consumers = 4", "With 4 consumers, 1 of them dead, 99 % of the entries are done within 206 ms"),
        Wrong("my_consumers = 1", "not one entry is done"),
        Wrong("my_consumers = 2", "take more consumers"),
        # To be on the safe side.
        Wrong("my_consumers = 6", "fewer consumers would do"),
        Wrong("my_consumers = 10", "which is still allowed"),
    ],
)

_BY_MMC = "MMc(rate, service_time, n).sojourn_quantile(0.99)"

_NEEDED = Exercise(
    verdict="checks.consumers_needed(",
    right=[
        f"""
def consumers_needed(rate, service_time, limit):
    if math.log(100) * service_time > limit:
        return math.inf
    return next(n for n in range(1, 10_000) if {_BY_MMC} <= limit)
""",
        # What no number does is found by trying a large one.
        f"""
def consumers_needed(rate, service_time, limit):
    for n in range(1, 1000):
        if {_BY_MMC} <= limit:
            return n
    return math.inf
""",
        f"""
import itertools

def consumers_needed(rate, service_time, limit):
    if MMc(rate, service_time, 5000).sojourn_quantile(0.99) > limit:
        return float("inf")
    for n in itertools.count(1):
        if {_BY_MMC} <= limit:
            return n
""",
        f"""
def consumers_needed(rate, service_time, limit):
    kept = (n for n in range(1, 500) if {_BY_MMC} < limit)
    return next(kept, math.inf)
""",
        f"""
consumers_needed = lambda rate, service_time, limit: min(
    (n for n in range(1, 99) if {_BY_MMC} <= limit), default=math.inf
)
""",
        # From the load on.
        f"""
def consumers_needed(rate, service_time, limit):
    n = math.floor(rate * service_time) + 1
    while {_BY_MMC} > limit:
        n += 1
        if n > 1000:
            return math.inf
    return n
""",
        # By halving.
        f"""
def consumers_needed(rate, service_time, limit):
    low, high = 0, 1024
    n = high
    if {_BY_MMC} > limit:
        return math.inf
    while high - low > 1:
        n = (low + high) // 2
        low, high = (low, n) if {_BY_MMC} <= limit else (n, high)
    return high
""",
        # By calling itself.
        f"""
def consumers_needed(rate, service_time, limit, n=1):
    if n > 200:
        return math.inf
    return n if {_BY_MMC} <= limit else consumers_needed(rate, service_time, limit, n + 1)
""",
        # NumPy's infinity, and a float.
        f"""
import numpy as np

def consumers_needed(rate, service_time, limit):
    quantiles = np.array([{_BY_MMC} for n in range(1, 200)])
    return float(np.argmax(quantiles <= limit) + 1) if (quantiles <= limit).any() else np.inf
""",
        # With Erlang's formula written out, and the distribution of waiting and work together.
        """
def consumers_needed(rate, service_time, limit):
    mu, load = 1 / service_time, rate * service_time
    if math.exp(-mu * limit) >= 0.01:
        return math.inf
    for n in range(math.floor(load) + 1, 150):
        last = load**n / math.factorial(n) / (1 - load / n)
        waits = last / (last + sum(load**k / math.factorial(k) for k in range(n)))
        spare = n * mu - rate
        both = (spare * math.exp(-mu * limit) - mu * math.exp(-spare * limit)) / (spare - mu)
        if (1 - waits) * math.exp(-mu * limit) + waits * both <= 0.01:
            return n
""",
        # By simulation: one long run for each number.
        """
def consumers_needed(rate, service_time, limit):
    if service_time * math.log(100) >= limit:
        return math.inf
    tried = shop.with_rate(rate).with_service(service_time).replace(entries=3000, duration=None)
    n = math.ceil(rate * service_time)
    while Lab(tried.with_consumers(n)).run().sojourn.p99 > limit:
        n += 1
    return n
""",
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("consumers_needed = None", "None is not a function"),
        Wrong("consumers_needed = 4", "4 is not a function"),
        Wrong("def consumers_needed(rate):\n    return 4", "leave the first line"),
        Wrong("def consumers_needed(rate, service_time, limit):\n    return None", "without `return`"),
        Wrong("def consumers_needed(rate, service_time, limit):\n    return 'four'", "return a number of consumers"),
        Wrong("def consumers_needed(rate, service_time, limit):\n    return nothing", "NameError"),
        Wrong("def consumers_needed(rate, service_time, limit):\n    return math.inf", "look for the first"),
        # The load alone, rounded up or not.
        Wrong(
            "def consumers_needed(rate, service_time, limit):\n    return math.ceil(rate * service_time)",
            "with 3 it takes 63 ms until 99 % are done",
        ),
        Wrong(
            "def consumers_needed(rate, service_time, limit):\n    return rate * service_time",
            "half a consumer is none",
        ),
        Wrong(
            "def consumers_needed(rate, service_time, limit):\n    return int(rate * service_time)",
            "so few cannot keep up at all",
        ),
        # The mean, or the wait, in place of the p99 of the sojourn time.
        Wrong(
            """
def consumers_needed(rate, service_time, limit):
    return next((n for n in range(1, 99) if MMc(rate, service_time, n).sojourn_mean <= limit), math.inf)
""",
            "The mean, or the wait alone, says less",
        ),
        Wrong(
            """
def consumers_needed(rate, service_time, limit):
    return next((n for n in range(1, 99) if MMc(rate, service_time, n).waiting_quantile(0.99) <= limit), math.inf)
""",
            "The mean, or the wait alone, says less",
        ),
        # One more, for the dead; from a number on that is too large.
        Wrong(
            f"""
def consumers_needed(rate, service_time, limit):
    return 1 + next((n for n in range(1, 99) if {_BY_MMC} <= limit), math.inf)
""",
            "fewer would do",
        ),
        # It never ends where no number is enough; it ends, with a number; it ends with None.
        Wrong(
            f"""
def consumers_needed(rate, service_time, limit):
    n = 1
    while {_BY_MMC} > limit:
        n += 1
    return n
""",
            "here no number is enough",
        ),
        Wrong(
            f"""
def consumers_needed(rate, service_time, limit):
    for n in range(1, 100):
        if {_BY_MMC} <= limit:
            break
    return n
""",
            "more consumers do not shorten it: math.inf",
        ),
        Wrong(
            f"""
def consumers_needed(rate, service_time, limit):
    for n in range(1, 100):
        if {_BY_MMC} <= limit:
            return n
""",
            "without `return`",
        ),
    ],
)

EXERCISES = [_ENOUGH, _NEEDED]
