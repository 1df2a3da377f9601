"""Answers to the exercises of lesson 04: right ones in other styles, and likely wrong ones."""

from tests.checks.answers import Exercise, Wrong

_FEWEST = Exercise(
    verdict="checks.fewest_consumers(",
    right=[
        "my_consumers = 12",
        "my_consumers = 12.0",
        "import math\nmy_consumers = math.ceil(ARRIVAL_RATE * 0.012 / 0.85)",
        "my_consumers = -(-800 * 12 // 850)",
        "my_consumers = int(ARRIVAL_RATE * 0.012 / 0.85) + 1",
        "my_consumers = int('12')",
        "import numpy as np\nmy_consumers = np.ceil(800 * 0.012 / 0.85)",
        "import numpy as np\nmy_consumers = np.int64(12)",
        "my_consumers = next(n for n in range(1, 100) if 800 * 0.012 / n <= 0.85)",
        """
my_consumers = 1
while ARRIVAL_RATE * 0.012 / my_consumers > 0.85:
    my_consumers += 1
""",
        # By trying it.
        """
for my_consumers in range(9, 20):
    run = Lab(demanding.with_consumers(my_consumers)).run()
    if max(c.utilisation for c in run.consumers.values()) <= 0.85:
        break
""",
        "my_consumers = pd.Series({n: 9.6 / n for n in range(1, 20)}).loc[lambda load: load <= 0.85].index[0]",
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("my_consumers = None", "None is not a number of consumers"),
        Wrong("my_consumers = '12'", "'12' is not a number of consumers"),
        Wrong("my_consumers = [12]", "a whole number from 1 to 100"),
        Wrong("my_consumers = demanding.with_consumers(12)", "give the number itself"),
        Wrong("my_consumers = print(12)", "gives back None"),
        Wrong("my_consumers = 0", "0 is not a number of consumers"),
        Wrong("my_consumers = True", "True is not a number of consumers"),
        Wrong("my_consumers = 10_000", "from 1 to 100"),
        # A load of 9.6; of 11.3, not rounded up; the limit forgotten, or turned round.
        Wrong("my_consumers = 9.6", "Half a one is none"),
        Wrong("my_consumers = 11.29", "round to the side on which the limit is kept"),
        Wrong("my_consumers = 10", "take more consumers"),
        Wrong("my_consumers = 11", "take more consumers"),
        Wrong("my_consumers = 8", "rate × service time, over the number of consumers"),
        Wrong("my_consumers = 13", "fewer consumers would do"),
        Wrong("my_consumers = 16", "fewer consumers would do"),
    ],
)

#: Known from elsewhere: the lesson does without.
_NAMES = "from streamlab import Service\n"

_SHARE = Exercise(
    verdict="checks.share(",
    right=[
        'my_scenario = four.with_consumer("C2", service=0.011)',
        'my_scenario = four.with_consumer("C2", service=0.0105)',
        'my_scenario = four.with_consumer("C2", service=0.0115)',
        'my_scenario = four.with_consumer("C2", service=11 / 1000)',
        'my_scenario = four.with_consumer("C2", service=4.4 * SERVICE_TIME)',
        f'{_NAMES}my_scenario = four.with_consumer("C2", service=Service("constant", mean=0.011))',
        'my_scenario = four.with_consumer(name="C2", service=0.0109)',
        # Random times, with the same mean.
        f'{_NAMES}my_scenario = four.with_consumer("C2", service=Service("exponential", mean=0.0105))',
        # All four written down.
        """
service = {"C1": SERVICE_TIME, "C2": 0.011, "C3": SERVICE_TIME, "C4": SERVICE_TIME}
my_scenario = four.replace(
    consumers=tuple(
        c.replace(service=c.service.replace(mean=service[c.name]))
        for c in four.consumers
    ),
)
""",
        # Found by trying.
        """
for ms in range(8, 30):
    my_scenario = four.with_consumer("C2", service=ms / 1000)
    if Lab(my_scenario).run().shares["C2"] < 0.105:
        break
""",
        # By halving.
        """
low, high = 0.009, 0.018
while high - low > 1e-3:
    middle = (low + high) / 2
    my_scenario = four.with_consumer("C2", service=middle)
    low, high = (middle, high) if Lab(my_scenario).run().shares["C2"] > 0.1 else (low, middle)
my_scenario = four.with_consumer("C2", service=high)
""",
        # From the scenario of the lesson.
        'my_scenario = uneven.with_consumer("C2", service=0.011)',
        'my_scenario = four.replace(duration=2.0).with_consumer("C2", service=0.011)',
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("my_scenario = None", "None is not a Scenario"),
        Wrong("my_scenario = 0.1", "0.1 is not a Scenario"),
        Wrong("my_scenario = 0.011", "begin with one from above"),
        Wrong('my_scenario = Lab(four.with_consumer("C2", service=0.011)).run()', "not its Lab or its run"),
        Wrong("my_scenario = four.with_consumer", "with what it needs"),
        # As it was; as in the lesson; ten times the time is not a tenth.
        Wrong("my_scenario = four", "C2 is like the 3 others"),
        Wrong("my_scenario = uneven", "make C2 faster"),
        Wrong('my_scenario = four.with_consumer("C2", service=10 * SERVICE_TIME)', "make C2 faster"),
        Wrong('my_scenario = four.with_consumer("C2", service=0.005)', "make C2 slower"),
        # Milliseconds.
        Wrong('my_scenario = four.with_consumer("C2", service=11)', "11 ms is 0.011"),
        # All of them; another one; one of the others as well; without C2.
        Wrong("my_scenario = four.with_service(0.011)", "change C2, and leave the others"),
        Wrong('my_scenario = four.with_consumer("C3", service=0.011)', "not alike any more"),
        Wrong(
            'my_scenario = four.with_consumer("C2", service=0.011).with_consumer("C4", service=0.002)',
            "leave them as they are",
        ),
        Wrong("my_scenario = four.with_consumers(1)", "change a consumer, do not remove one"),
        # Ten consumers: a tenth each, but not the three others as they were.
        Wrong("my_scenario = four.with_consumers(10)", "leave the others as they are"),
    ],
)

EXERCISES = [_FEWEST, _SHARE]
