"""Answers to the exercises of lesson 05: right ones in other styles, and likely wrong ones."""

from tests.checks.answers import Exercise, Wrong

_MAXLEN = Exercise(
    verdict="checks.enough_maxlen(",
    right=[
        "my_maxlen = 300",
        "my_maxlen = 400",
        "my_maxlen = 600",  # twice the 300 that have to be kept
        "my_maxlen = 299",  # one is in work by then, and the others fit
        "my_maxlen = 512",
        "my_maxlen = 450.0",
        "my_maxlen = int(300 * 1.5)",
        "my_maxlen = Lab(sale).run().backlog_max",
        "my_maxlen = 2 * Lab(sale).run().backlog_max",
        "my_maxlen = Lab(sale).run().backlog_max + 1",
        "my_maxlen = sale.producers[0].arrivals.burst * 2",
        "import numpy as np\nmy_maxlen = np.int64(350)",
        "my_maxlen = max(Lab(sale).run().series.backlog) + 100",
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("my_maxlen = None", "None is not a MAXLEN"),
        Wrong("my_maxlen = '400'", "'400' is not a MAXLEN"),
        Wrong("my_maxlen = sale.replace(maxlen=400)", "give the number itself"),
        Wrong("my_maxlen = print(400)", "gives back None"),
        Wrong("my_maxlen = 0", "0 is not a MAXLEN"),
        Wrong("my_maxlen = -300", "a whole number of at least 1"),
        Wrong("my_maxlen = 300.5", "300.5 is not a MAXLEN"),
        Wrong("my_maxlen = math.inf", "inf is not a MAXLEN"),
        # As in the lesson; what the consumer does in a second; the average.
        Wrong("my_maxlen = 100", "at least the largest backlog"),
        Wrong("my_maxlen = 60", "at least the largest backlog"),
        Wrong("my_maxlen = 200", "were trimmed before any consumer had read them"),
        # ~ keeps some more than asked for, this time.
        Wrong("my_maxlen = 250", "must not be relied on"),
        Wrong("my_maxlen = 298", "it was luck"),
        # Everything; more than twice as many.
        Wrong("my_maxlen = 1200", "up to 600 is reasonable"),
        Wrong("my_maxlen = 601", "more than twice as many"),
        Wrong("my_maxlen = 1_000_000", "memory is what MAXLEN is for"),
    ],
)

_MOST = Exercise(
    verdict="checks.most_producers(",
    right=[
        "my_producers = 7",
        "my_producers = 7.0",
        "my_producers = int(0.90 / (30 * 0.004))",
        "my_producers = math.floor(0.9 / 0.12)",
        "my_producers = 90 // 12",
        "my_producers = int(0.9 * 250 / 30)",
        "my_producers = max(n for n in range(1, 20) if n * 30 * 0.004 <= 0.9)",
        "my_producers = [n * 0.12 <= 0.9 for n in range(1, 20)].count(True)",
        """
my_producers = 1
while (my_producers + 1) * 30 * 0.004 <= 0.90:
    my_producers += 1
""",
        """
for n in range(1, 12):
    run = Lab(regular.with_producers(n)).run()
    if run.consumers["C1"].utilisation > 0.9:
        break
    my_producers = n
""",
        "import numpy as np\nmy_producers = np.floor(0.9 / 0.12)",
        "my_producers = round(7.5 - 0.5)",
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("my_producers = None", "None is not a number of producers"),
        Wrong("my_producers = 'seven'", "'seven' is not a number of producers"),
        Wrong("my_producers = regular.with_producers(7)", "give the number itself"),
        Wrong("my_producers = lambda: 7", "not a function"),
        Wrong("my_producers = 0", "from 1 to 100"),
        Wrong("my_producers = 7.5", "Half a one is none"),
        Wrong("my_producers = -7", "-7 is not a number of producers"),
        # Rounded up; up to a load of 1; one too few; what one consumer does in a second.
        Wrong("my_producers = 8", "take fewer producers"),
        Wrong("my_producers = round(0.9 / 0.12 + 0.4)", "take fewer producers"),
        Wrong("my_producers = 6", "more producers would do"),
        Wrong("my_producers = 1", "the sum of all rates × service time"),
        Wrong("my_producers = 75", "take fewer producers"),
        Wrong("my_producers = 250", "from 1 to 100"),
    ],
)

EXERCISES = [_MAXLEN, _MOST]
