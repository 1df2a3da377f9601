"""The state of each entry for a group: the same from a server and from the model, counted and drawn."""

from __future__ import annotations

from streamlab.model import StreamModel
from streamlab.servers.embedded import EmbeddedServer
from streamlab.views.plots.group_states import draw_states, draw_transitions, entry_states, model_states, transitions
from streamlab.views.plots.states import Transitions


def test_states_of_a_server_and_of_the_model() -> None:
    """10-1 is pending for ann, twice delivered; 9-0 is acknowledged though below as text; 11-0 is undelivered."""
    client, model = EmbeddedServer().client(), StreamModel()
    client.xgroup_create("s", "g", id="0", mkstream=True)
    model.create_group("g")
    for entry_id in ((9, 0), (10, 1), (11, 0)):
        client.xadd("s", {"f": "1"}, id=f"{entry_id[0]}-{entry_id[1]}")
        model.add(("f", "1"), 0, entry_id)
    client.xreadgroup("g", "ann", {"s": ">"}, count=2)
    model.read_group("g", "ann", 0, 2)
    client.xack("s", "g", "9-0")
    model.ack("g", [(9, 0)])
    client.xreadgroup("g", "ann", {"s": "0"})
    model.history("g", "ann", (0, 0), 0)
    expected = {"9-0": "done", "10-1": "ann ×2", "11-0": "undelivered"}
    assert entry_states(client, "s", "g") == expected
    assert model_states(model, "g") == expected
    client.xack("s", "g", "10-1")
    model.ack("g", [(10, 1)])
    assert entry_states(client, "s", "g") == model_states(model, "g")
    assert model_states(model, "g")["10-1"] == "done"


def test_transitions_are_counted_by_kind() -> None:
    """An entry that is new in a snapshot has changed nothing."""
    snapshots = [
        {"1-0": "undelivered"},
        {"1-0": "ann ×1", "2-0": "undelivered"},
        {"1-0": "ann ×2", "2-0": "bob ×1"},
        {"1-0": "done", "2-0": "bob ×1"},
    ]
    assert transitions(snapshots) == {("undelivered", "pending"): 2, ("pending", "pending"): 1, ("pending", "done"): 1}


def test_drawn_states_tell_how_it_ended() -> None:
    chart = draw_states({"a": {"1-0": "undelivered"}, "b": {"1-0": "ann ×1"}})
    assert "never back" in chart.axes[0].get_title("left")
    assert "1 entries after each of 2 commands; in the end 1 pending" in chart.alt
    assert [text.get_text() for text in chart.axes[0].texts] == ["", "ann ×1"]


def test_a_title_claims_only_what_is_drawn() -> None:
    """XGROUP SETID takes entries back; then no title may say that nothing leads back."""
    chart = draw_states({"a": {"1-0": "done"}, "b": {"1-0": "undelivered"}})
    assert "never back" not in chart.axes[0].get_title("left")
    back = draw_transitions(Transitions({("done", "undelivered"): 3}))
    assert back.axes[0].get_title("left") == "Some entries move back"
    assert "done to undelivered 3 times" in back.alt


def test_drawn_transitions_name_the_commands() -> None:
    counted = {("undelivered", "pending"): 1_200, ("pending", "pending"): 7, ("pending", "done"): 3}
    chart = draw_transitions(Transitions(counted))
    texts = {text.get_text() for text in chart.axes[0].texts}
    assert {"XREADGROUP  >\n1,200 ×", "XREADGROUP  0\n7 ×", "XACK\n3 ×"} <= texts
    assert "never back" in chart.axes[0].get_title("left")
