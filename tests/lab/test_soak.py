"""The actors in a storm, as `python -m tests.soak` has it for as long as you like; and mistakes that it has to find."""

from __future__ import annotations

import dataclasses

import pytest

from streamlab.servers.programs import ServerBinary
from tests.soak.books import EVERYBODY, Book, Fault, Figures, count_added, count_processed
from tests.soak.ledger import ADDED, BEGUN, DONE, LATE, READY, SENDING, Record
from tests.soak.mutations import MUTATIONS
from tests.soak.plan import WORKERS, group_of
from tests.soak.storm import KINDS, soak


def test_nothing_is_lost_or_added_twice_or_left_behind(tmp_path, server_binary: ServerBinary) -> None:
    """Whatever is killed, paused, cut, demoted: all is done at least once; if twice, a fault explains it."""
    figures = soak(server_binary, tmp_path, seconds=4, every=0.15)
    assert figures.is_right, "\n".join(figures.lines())
    assert figures.faults.keys() == KINDS.keys()
    assert figures.added
    assert all(book.processed == figures.added for book in figures.groups.values())
    assert ("read-claim" in figures.groups) == (server_binary.kind == "redis" and server_binary.version >= (8, 4))


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory, default_server_binary: ServerBinary) -> Figures:
    """What a soak says if each mistake is made, in another group each."""
    folder = tmp_path_factory.mktemp("spoilt")
    return soak(
        default_server_binary,
        folder,
        seconds=4,
        every=0.2,
        # Those that these mistakes do not survive.
        kinds={"consumers killed": 6, "moments of lost replies": 2},
        mutations=list(MUTATIONS),
        stuck=3,
    )


@pytest.mark.further("the soak on its own tests")
@pytest.mark.parametrize("name", MUTATIONS)
def test_the_soak_finds_a_mistake(spoilt, name) -> None:
    """In the figure that tells of it, and that alone makes the soak fail."""
    mutation = MUTATIONS[name]
    group = group_of(WORKERS[mutation.who[0]])
    where = spoilt if group == "producers" else spoilt.groups[group]
    assert getattr(where, mutation.tells) > 0, "\n".join(spoilt.lines())
    assert not spoilt.is_right


# ---- the books -------------------------------------------------------------------------------------


def life(*records: tuple[float, str, str], number: int = 1) -> list[Record]:
    return [Record(at, what, number, f"P1:{entry_id}", entry_id) for at, what, entry_id in records]


#: One that holds an entry at a time has done 1-0 and begun the next; later, another has done 1-0 as well.
FIRST = life((0, READY, ""), (1, BEGUN, "1-0"), (1.1, DONE, "1-0"), (1.2, BEGUN, "2-0"), (1.3, DONE, "2-0"))
SECOND = life((2, READY, ""), (2.5, BEGUN, "1-0"), (2.6, DONE, "1-0"), (2.7, BEGUN, "3-0"))


@pytest.mark.parametrize(
    ("faults", "unexplained"),
    [
        ([], 1),
        ([Fault("cut", "E2", 1.05, 1.05)], 0),
        ([Fault("kill", EVERYBODY, 0.5, 1.01)], 0),
        ([Fault("pause", "E2", 1.15)], 0),  # it has not ended
        ([Fault("cut", "E1", 1.05, 1.05)], 1),  # of somebody else
        ([Fault("cut", "E1", 2.4, 2.4)], 0),  # it was the second that did not own it any more
        ([Fault("cut", "E1", 2.55, 2.55)], 1),  # once it had begun, it was too late
        ([Fault("cut", "E2", 1.25, 1.25)], 1),  # when it was acknowledged
    ],
)
def test_what_is_done_twice_needs_a_fault(faults, unexplained) -> None:
    """One that hit one of the two while it had the entry."""
    workers = [WORKERS["E2"], dataclasses.replace(WORKERS["E2"], name="E1")]
    books = count_processed(workers, {"E2": FIRST, "E1": SECOND}, ["1-0", "2-0"], faults)
    assert books == {"restart": Book(processed=2, twice=1, unexplained=unexplained)}


def late(at: float) -> list[Record]:
    return [Record(at, LATE, 1, "0.300", "-")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([dataclasses.replace(record, at=record.at * 6 - 5) for record in FIRST], SECOND),
        (FIRST[:3] + late(1.15) + FIRST[3:], SECOND),
        (FIRST, SECOND[:1] + late(2.4) + SECOND[1:]),
    ],
    ids=["took long", "no time to acknowledge", "no time to begin"],
)
def test_a_slow_machine_explains_what_was_done_twice(first, second) -> None:
    """If one stood still so long that the other could take the entry."""
    workers = [WORKERS["E2"], dataclasses.replace(WORKERS["E2"], name="E1")]
    books = count_processed(workers, {"E2": first, "E1": second}, ["1-0", "2-0"], [])
    assert books == {"restart": Book(processed=2, twice=1)}


def test_what_a_killed_life_had_begun_is_not_done() -> None:
    """It is lost, unless somebody does it."""
    pages = {"E2": life((0, READY, ""), (1, BEGUN, "1-0")) + life((2, READY, ""), number=2)}
    assert count_processed([WORKERS["E2"]], pages, ["1-0"], []) == {"restart": Book(lost=1)}


def test_what_was_told_to_have_been_added_must_be_there_once() -> None:
    figures = Figures()
    noted = [(0.0, what, n) for n in "1234" for what in (SENDING, ADDED)]
    pages = {"P1": life(*noted[:-1])}  # of the last, nobody was told
    count_added(pages, ["P1:1", "P1:2", "P1:2", "P1:4", "P1:5"], figures)
    assert (figures.added, figures.lost, figures.added_twice, figures.unsent) == (4, 1, 1, 1)
    assert not figures.is_right


@pytest.mark.parametrize("wrong", [{"lost": 1}, {"added_twice": 1}, {"unsent": 1}, {"dead": 1}, {"unexpected": ["P1"]}])
def test_the_soak_says_that_something_is_wrong(wrong) -> None:
    assert Figures().is_right
    assert not Figures(**wrong).is_right


@pytest.mark.parametrize("wrong", ["lost", "pending", "unexplained"])
def test_the_soak_says_that_something_is_wrong_in_a_group(wrong) -> None:
    assert Figures(groups={"g": Book(twice=1, failed=1)}).is_right
    assert not Figures(groups={"f": Book(), "g": Book(**{wrong: 1})}).is_right
