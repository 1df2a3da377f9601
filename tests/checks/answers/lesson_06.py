"""Answers to the exercises of lesson 06: right ones in other styles, and likely wrong ones."""

from tests.checks.answers import Exercise, Wrong

_ASSIGNMENT = Exercise(
    verdict="checks.assignment(",
    right=[
        'my_assignment = ["C1", "C2", "C3", "C1", "C2", "C1", "C2"]',
        'my_assignment = ("C1", "C2", "C3", "C1", "C2", "C1", "C2")',
        'my_assignment = "C1 C2 C3 C1 C2 C1 C2".split()',
        'my_assignment = "C1 C2 C3 C1 C2 C1 C2"',
        'my_assignment = "C1, C2, C3, C1, C2, C1, C2"',
        'my_assignment = "1→C1, 2→C2, 3→C3, 4→C1, 5→C2, 6→C1, 7→C2"',
        'my_assignment = [(1, "C1"), (2, "C2"), (3, "C3"), (4, "C1"), (5, "C2"), (6, "C1"), (7, "C2")]',
        'my_assignment = [("C1", 1), ("C2", 2), ("C3", 3), ("C1", 4), ("C2", 5), ("C1", 6), ("C2", 7)]',
        'my_assignment = {1: "C1", 2: "C2", 3: "C3", 4: "C1", 5: "C2", 6: "C1", 7: "C2"}',
        'my_assignment = {"C1": [1, 4, 6], "C2": [2, 5, 7], "C3": [3]}',
        'my_assignment = {"C1": (1, 4, 6), "C2": (2, 5, 7), "C3": 3}',
        'my_assignment = enumerate(["C1", "C2", "C3", "C1", "C2", "C1", "C2"], 1)',
        'my_assignment = enumerate(["C1", "C2", "C3", "C1", "C2", "C1", "C2"])',
        "my_assignment = [1, 2, 3, 1, 2, 1, 2]",
        'my_assignment = ["c1", "c2", "c3", "c1", "c2", "c1", "c2"]',
        'my_assignment = ["C1", "C2", "C3"] + 2 * ["C1", "C2"]',
        'my_assignment = [f"C{n}" for n in (1, 2, 3, 1, 2, 1, 2)]',
        'my_assignment = pd.Series(["C1", "C2", "C3", "C1", "C2", "C1", "C2"])',
        "my_assignment = Lab(puzzle).run().assignment()",
        "my_assignment = [name for _, name in Lab(puzzle).run().assignment()]",
        'my_assignment = map("C{}".format, [1, 2, 3, 1, 2, 1, 2])',
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("my_assignment = None", "None is not a list of names"),
        Wrong("my_assignment = 7", "7 is not a list of names"),
        Wrong("my_assignment = [None] * 7", "is not a list of names"),
        Wrong("my_assignment = [...] * 7", "one name for each entry"),
        Wrong("my_assignment = Lab(puzzle).run()", "is not a list of names"),
        # A set has no order.
        Wrong('my_assignment = {"C1", "C2", "C3"}', "in their order"),
        # The round robin of the diagram; C3 not at all; C3 once more; by turns of two.
        Wrong('my_assignment = ["C1", "C2", "C3", "C1", "C2", "C3", "C1"]', "who waits when entry 6 comes"),
        Wrong('my_assignment = ["C1", "C2", "C1", "C2", "C1", "C2", "C1"]', "who waits when entry 3 comes"),
        Wrong('my_assignment = ["C1", "C2", "C3", "C1", "C2", "C1", "C3"]', "who waits when entry 7 comes"),
        Wrong('my_assignment = ["C3", "C1", "C2", "C3", "C1", "C2", "C3"]', "who waits when entry 1 comes"),
        Wrong('my_assignment = ["C1", "C2", "C3", "C2", "C1", "C2", "C1"]', "which of them has waited longest"),
        # The same, told otherwise.
        Wrong('my_assignment = [*enumerate("C1 C2 C3 C1 C2 C3 C1".split(), 1)]', "Entry 6 does not go to C3"),
        Wrong('my_assignment = {"C1": [1, 4, 7], "C2": [2, 5], "C3": [3, 6]}', "Entry 6 does not go to C3"),
        # Too few, too many, another name, producers.
        Wrong('my_assignment = ["C1", "C2", "C3"]', "one name for each entry"),
        Wrong('my_assignment = ["C1", "C2", "C3", "C1", "C2", "C1", "C2", "C3"]', "8 names; there are 7 entries"),
        Wrong('my_assignment = ["C1", "C2", "C4", "C1", "C2", "C1", "C2"]', "there are C1, C2, C3"),
        Wrong('my_assignment = ["P1", "P2", "P3", "P1", "P2", "P3", "P1"]', "There is no consumer 'P1'"),
        Wrong('my_assignment = ["alice"] * 7', "There is no consumer 'alice'"),
    ],
)

#: Known from elsewhere: the lesson does without.
_NAMES = "from streamlab import Arrivals, Service, consumers, producers\n"

_IN_A_ROW = Exercise(
    verdict="checks.in_a_row(",
    right=[
        "my_scenario = burst.with_count(7)",
        "my_scenario = burst.with_count(10)",
        "my_scenario = burst.with_count(100)",
        'my_scenario = burst.with_consumer("C1", count=7)',
        'my_scenario = burst.with_consumer("C3", count=8)',
        # The two others are slow.
        'my_scenario = diagram.with_consumer("C2", service=0.5).with_consumer("C3", service=0.5)',
        'my_scenario = burst.with_consumer("C2", service=1).with_consumer("C3", service=1)',
        # One is so fast that it waits longest, again and again.
        'my_scenario = diagram.with_rate(30).with_service(0.5).with_consumer("C1", service=0.0001)',
        # The two others stand still.
        'my_scenario = diagram.with_faults("pause C2 at 0ms for 5s", "pause C3 at 0ms for 5s")',
        # All three are overloaded, and so there is always something to prefetch.
        "my_scenario = diagram.with_service(0.5).with_count(7)",
        f"""
{_NAMES}bursts = producers(1, Arrivals("bursts", rate=50, burst=21))
my_scenario = diagram.replace(producers=bursts).with_count(7)
""",
        f"""
{_NAMES}my_scenario = Scenario(
    producers=producers(1, Arrivals("bursts", rate=100, burst=20)),
    consumers=consumers(3, Service("constant", mean=0.005), count=7),
    duration=1.0,
)
""",
        f"{_NAMES}my_scenario = burst.replace(consumers=consumers(5, Service(), count=20))",
        f"""
{_NAMES}crowd = producers(3, Arrivals("poisson", rate=400))
my_scenario = diagram.replace(producers=crowd).with_count(50)
""",
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("my_scenario = None", "None is not a Scenario"),
        Wrong("my_scenario = 7", "7 is not a Scenario"),
        Wrong('my_scenario = ["C1"] * 7', "begin with one from above"),
        Wrong("my_scenario = Lab(burst.with_count(7)).run()", "not its Lab or its run"),
        Wrong("my_scenario = burst.with_count", "a method is called"),
        # As they are.
        Wrong("my_scenario = burst", "if it asks for several (COUNT)"),
        Wrong("my_scenario = diagram", "if it asks for several (COUNT)"),
        # COUNT, and nothing is waiting.
        Wrong("my_scenario = diagram.with_count(7)", "COUNT is the most that a consumer gets"),
        Wrong("my_scenario = diagram.with_count(100)", "several have to be waiting"),
        Wrong("my_scenario = burst.with_count(6)", "COUNT is the most"),
        # Alone.
        Wrong("my_scenario = burst.with_consumers(1)", "leave them all in the group"),
        Wrong("my_scenario = diagram.with_consumers(2).with_count(7)", "There are 2 consumers; 3 were asked for"),
        # Too few entries.
        Wrong("my_scenario = burst.replace(entries=5).with_count(7)", "There are only 5 entries"),
        # Milliseconds, or a rate of anything.
        Wrong("my_scenario = diagram.with_rate(10_000_000)", "too many to try"),
    ],
)

EXERCISES = [_ASSIGNMENT, _IN_A_ROW]
