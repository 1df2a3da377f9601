"""Scenarios with several consumer groups: who is in which, what is about one of them, and what is refused."""

from __future__ import annotations

import pytest

from streamlab.scenario import Consumer, Scenario, ScenarioError, from_toml, load_scenario, to_toml

TWO = load_scenario("two-groups")


def test_who_is_in_which_group() -> None:
    """The scenario's group is that of consumers that name none; a consumer that names it is in the same."""
    assert TWO.groups == {"workers": ("C1", "C2"), "billing": ("B1",)}
    assert [TWO.groups.group_of(name) for name in ("C2", "B1")] == ["workers", "billing"]
    assert Scenario(consumers=(Consumer("A", group="workers"), Consumer("B"))).groups == {"workers": ("A", "B")}
    assert Scenario(consumers=(Consumer("A", group="mail"),)).groups == {"mail": ("A",)}


def test_a_group_as_if_there_were_no_other() -> None:
    """Its consumers and what is aimed at them stay, and what befalls all; one group alone is what it was."""
    faults = (
        "kill C1 at 1s",
        "kill B1 at 2s",
        "server-down at 3s",
        "group-destroyed at 4s in billing",
        "poison P1 nth 3",
    )
    billing = TWO.with_faults(*faults).of("billing")
    assert (billing.group, [c.name for c in billing.consumers]) == ("billing", ["B1"])
    assert [str(action) for action in billing.faults] == [
        "kill B1 at 2s", "server-down at 3s", "group-destroyed at 4s", "poison P1 nth 3"
    ]  # fmt: skip
    alone = load_scenario("one-to-many")
    assert alone.of("workers") is alone
    with pytest.raises(ScenarioError, match="no group 'biling': did you mean billing"):
        TWO.of("biling")


def test_toml() -> None:
    """A consumer's group is written beside its name."""
    text = to_toml(TWO.with_faults("group-destroyed at 4s in billing"))
    assert 'group = "billing"' in text
    assert from_toml(text) == TWO.with_faults("group-destroyed at 4s in billing")
    with pytest.raises(ScenarioError, match=r"consumers\.2\.group is '\\x07': give a printable name"):
        from_toml(to_toml(TWO).replace('group = "billing"', 'group = "\\u0007"'))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("group-destroyed at 1s", "there are 2 groups: say in workers or in billing"),
        ("ack 1-0 at 1s", "there are 2 groups: say in workers or in billing"),
        ("autoclaim at 1s", "there are 2 groups: say in workers or in billing"),
        ("claim 1-0 at 1s in bills", "no group 'bills': did you mean billing"),
        ("autoclaim for C1 at 1s in billing", "C1 is in workers, not in billing"),
    ],
)
def test_what_is_about_one_group_says_which(fault: str, words: str) -> None:
    """Before anything runs: what names neither a group nor a consumer would mean either."""
    with pytest.raises(ScenarioError, match=words):
        TWO.with_faults(fault)


def test_what_names_a_consumer_need_not_say_which() -> None:
    TWO.with_faults("autoclaim for B1 at 1s", "remove-consumer B1 at 2s", "add-consumer C9 at 3s")


def test_with_one_group_nothing_need_be_said() -> None:
    """As before; and the name of the one there is may be given."""
    one = load_scenario("one-to-many")
    one.with_faults("group-destroyed at 1s", "group-destroyed at 2s in workers")
    with pytest.raises(ScenarioError, match="no group 'billing': known are workers"):
        one.with_faults("group-destroyed at 1s in billing")


@pytest.mark.parametrize("name", ["lab", "lab:billing"])
def test_nobody_is_called_as_the_lab_is(name: str) -> None:
    """Events of what is done by hand have this actor."""
    with pytest.raises(ScenarioError, match="which is who does things by hand"):
        Scenario(consumers=(Consumer(name),))


def test_random_faults_say_which_group() -> None:
    """Whatever is drawn can be planned, and each group is struck now and then."""
    drawn = [action for seed in range(150) for action in TWO.replace(seed=seed).random_faults()]
    assert {str(a).split(" in ")[-1] for a in drawn if a.word == "group-destroyed"} == {"workers", "billing"}
    TWO.with_faults(*drawn)
