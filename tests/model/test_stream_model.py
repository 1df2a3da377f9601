"""`StreamModel`: what a stream and its groups do, one rule a test."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlab.model import (
    MAX_ID,
    MIN_ID,
    Behaviour,
    Consumer,
    EntryLog,
    Pending,
    PendingList,
    StreamError,
    StreamId,
    StreamModel,
    format_id,
    next_id,
    parse_id,
    previous_id,
)

ONE = ("f", "1")
MINUTE_MS = 60_000


def stream_of(*seqs: int, version: tuple[int, int, int] = (7, 0, 15)) -> StreamModel:
    """Make a stream with the entries 1-seq, and a group ``g`` that has read none."""
    model = StreamModel(Behaviour.of(version))
    for seq in seqs:
        model.add(ONE, 0, (1, seq))
    model.create_group("g")
    return model


def ids(entries: list[tuple[StreamId, tuple[str, ...]]]) -> list[str]:
    return [format_id(entry_id) for entry_id, _ in entries]


def pending_of(model: StreamModel, now_ms: int = 0) -> list[tuple[str, str, int, int]]:
    """List what is pending: id, consumer, idle time in ms, delivery count."""
    return [
        (format_id(i), p.consumer.name, now_ms - p.delivered_at_ms, p.delivery_count)
        for i, p in model.pending("g", now_ms)
    ]


# --- ids --------------------------------------------------------------------------------------


def test_id_is_the_time() -> None:
    """An id that the stream makes is the time, with sequence 0."""
    assert StreamModel().add(ONE, 1000) == (1000, 0)


def test_ids_in_one_millisecond() -> None:
    """Entries of one millisecond are told apart by the sequence."""
    model = StreamModel()
    assert [model.add(ONE, 1000) for _ in range(3)] == [(1000, 0), (1000, 1), (1000, 2)]


def test_ids_never_go_back() -> None:
    """When the clock goes back, ids go on from the last one."""
    model = StreamModel()
    model.add(ONE, 1000)
    assert model.add(ONE, 500) == (1000, 1)


def test_id_not_above_the_last() -> None:
    """An id must be above all that ever were, even if the stream is empty by now."""
    model = stream_of(5)
    model.delete([(1, 5)])
    with pytest.raises(StreamError, match="equal or smaller"):
        model.add(ONE, 0, (1, 5))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5-1", (5, 1)),
        ("5", (5, 0)),
        ("007-01", (7, 1)),
        ("+5-1", (5, 1)),
        (" 5-1", (5, 1)),
        ("1--1", None),
        ("1--01", (1, (1 << 64) - 1)),
        ("5-", None),
        ("", None),
        ("18446744073709551616", None),
        ("\N{ARABIC-INDIC DIGIT FIVE}-1", None),
        ("5-1\0x", (5, 1)),
    ],
)
def test_parse_id(text: str, expected: StreamId | None) -> None:
    """Ids are read as leniently as C reads numbers, and no more."""
    assert parse_id(text) == expected


@given(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, (1 << 64) - 1])))
def test_next_and_previous(entry_id: StreamId) -> None:
    """The next id's previous one is the id itself."""
    after = next_id(entry_id)
    assert after is None or previous_id(after) == entry_id


# --- groups: new entries ----------------------------------------------------------------------


def test_each_entry_is_given_once() -> None:
    """A group gives each entry to one of its consumers: whoever asks first."""
    model = stream_of(1, 2, 3)
    alice = model.read_group("g", "alice", 0, 2)
    bob = model.read_group("g", "bob", 0, 2)
    assert (ids(alice), ids(bob)) == (["1-1", "1-2"], ["1-3"])


def test_groups_do_not_share() -> None:
    """Each group is given every entry."""
    model = stream_of(1)
    model.create_group("h")
    model.read_group("g", "alice", 0)
    assert ids(model.read_group("h", "alice", 0)) == ["1-1"]


def test_delivered_is_pending() -> None:
    """A delivered entry is pending until it is acknowledged."""
    model = stream_of(1, 2)
    model.read_group("g", "alice", 0)
    model.ack("g", [(1, 1)])
    assert pending_of(model) == [("1-2", "alice", 0, 1)]


def test_noack_is_not_pending() -> None:
    """With NOACK nothing becomes pending."""
    model = stream_of(1)
    model.read_group("g", "alice", 0, noack=True)
    assert pending_of(model) == []


def test_nothing_is_redelivered_by_itself() -> None:
    """However long an entry is pending, reading new entries does not give it again."""
    model = stream_of(1)
    model.read_group("g", "alice", 0)
    assert model.read_group("g", "bob", 1_000 * MINUTE_MS) == []


def test_empty_read_and_its_consumer() -> None:
    """From 7.2 on a read that finds nothing creates its consumer all the same."""
    old, new = stream_of(), stream_of(version=(7, 2, 0))
    for model in (old, new):
        model.read_group("g", "alice", 0)
    assert (list(old.groups["g"].consumers), list(new.groups["g"].consumers)) == ([], ["alice"])


def test_unknown_group() -> None:
    """Asking for a group that is not there says so."""
    with pytest.raises(StreamError, match="no consumer group 'nobody'"):
        StreamModel().read_group("nobody", "alice", 0)


def test_setid_redelivers() -> None:
    """A group that is moved back gives entries again: the owner moves, the count starts at 1."""
    model = stream_of(1)
    model.read_group("g", "alice", 0)
    model.history("g", "alice", MIN_ID, 0)
    model.set_group_id("g", MIN_ID)
    model.read_group("g", "bob", 0)
    assert pending_of(model) == [("1-1", "bob", 0, 1)]


# --- history ----------------------------------------------------------------------------------


def test_history_is_the_consumers_own() -> None:
    """History gives what is pending for the consumer itself, and nothing else."""
    model = stream_of(1, 2)
    model.read_group("g", "alice", 0, 1)
    model.read_group("g", "bob", 0, 1)
    assert [i for i, _ in model.history("g", "bob", MIN_ID, 0)] == [(1, 2)]


def test_history_counts_as_delivery() -> None:
    """Reading history resets the idle time and raises the delivery count."""
    model = stream_of(1)
    model.read_group("g", "alice", 0)
    model.history("g", "alice", MIN_ID, MINUTE_MS)
    assert pending_of(model, MINUTE_MS) == [("1-1", "alice", 0, 2)]


def test_history_of_a_deleted_entry() -> None:
    """A pending entry that was deleted has no fields, and keeps its time and count."""
    model = stream_of(1)
    model.read_group("g", "alice", 0)
    model.delete([(1, 1)])
    found = model.history("g", "alice", MIN_ID, MINUTE_MS)
    assert (found, pending_of(model, MINUTE_MS)) == ([((1, 1), None)], [("1-1", "alice", MINUTE_MS, 1)])


# --- acknowledging ----------------------------------------------------------------------------


def test_ack_is_not_fenced() -> None:
    """Whoever acknowledges, it counts: a consumer that lost an entry can ack what another holds."""
    model = stream_of(1)
    model.read_group("g", "zombie", 0)
    model.claim("g", "owner", [(1, 1)], 0)
    by_zombie = model.ack("g", [(1, 1)])
    by_owner = model.ack("g", [(1, 1)])
    assert (by_zombie, by_owner) == (1, 0)


def test_ack_leaves_the_entry() -> None:
    """An acknowledged entry stays in the stream."""
    model = stream_of(1)
    model.read_group("g", "alice", 0)
    model.ack("g", [(1, 1)])
    assert len(model) == 1


def test_deleted_consumer_takes_its_entries_along() -> None:
    """What is pending for a consumer that is deleted is never delivered again."""
    model = stream_of(1, 2)
    model.read_group("g", "alice", 0)
    n_lost = model.delete_consumer("g", "alice")
    assert (n_lost, pending_of(model), model.read_group("g", "bob", 0)) == (2, [], [])


def test_lost_entries_can_be_claimed_by_force() -> None:
    """FORCE brings back what a deleted consumer took along, if one knows the ids."""
    model = stream_of(1)
    model.read_group("g", "alice", 0)
    model.delete_consumer("g", "alice")
    assert ids(model.claim("g", "bob", [(1, 1)], 0, force=True)) == ["1-1"]


# --- claiming ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("idle_ms", "claimed"), [(999, []), (1000, ["1-1"])])
def test_idle_long_enough(idle_ms: int, claimed: list[str]) -> None:
    """An entry can be claimed if it has been idle for min-idle or longer."""
    model = stream_of(1)
    model.read_group("g", "alice", 0)
    assert ids(model.claim("g", "bob", [(1, 1)], idle_ms, 1000)) == claimed


def test_pending_for_long_enough() -> None:
    """XPENDING IDLE lists what has been idle for that long or longer."""
    model = stream_of(1)
    model.read_group("g", "alice", 0)
    counts = [len(model.pending("g", now_ms, min_idle_ms=1000)) for now_ms in (999, 1000)]
    assert counts == [0, 1]


def test_claim_moves_and_counts() -> None:
    """A claimed entry is the claimer's, idle for 0 ms, and was delivered once more."""
    model = stream_of(1)
    model.read_group("g", "alice", 0)
    model.claim("g", "bob", [(1, 1)], MINUTE_MS)
    assert pending_of(model, MINUTE_MS) == [("1-1", "bob", 0, 2)]


def test_justid_does_not_count() -> None:
    """JUSTID resets the idle time but not the delivery count."""
    model = stream_of(1)
    model.read_group("g", "alice", 0)
    model.claim("g", "alice", [(1, 1)], MINUTE_MS, justid=True)
    assert pending_of(model, MINUTE_MS) == [("1-1", "alice", 0, 1)]


def test_claim_answers_in_the_order_asked() -> None:
    """XCLAIM gives the entries in the order of the ids it was given."""
    model = stream_of(1, 2, 3)
    model.read_group("g", "alice", 0)
    assert ids(model.claim("g", "bob", [(1, 3), (1, 1)], 0)) == ["1-3", "1-1"]


def test_claim_drops_ghosts() -> None:
    """A pending entry that was deleted is dropped, however short it has been idle."""
    model = stream_of(1)
    model.read_group("g", "alice", 0)
    model.delete([(1, 1)])
    model.claim("g", "bob", [(1, 1)], 0, MINUTE_MS)
    assert pending_of(model) == []


def test_autoclaim_lists_ghosts() -> None:
    """XAUTOCLAIM drops deleted entries, too, and says which."""
    model = stream_of(1, 2)
    model.read_group("g", "alice", 0)
    model.delete([(1, 1)])
    assert model.autoclaim("g", "bob", MINUTE_MS, MIN_ID, 0) == (MIN_ID, [], [(1, 1)])


def test_autoclaim_lists_ghosts_however_they_came_about() -> None:
    """Deleted in the midst, trimmed from the beginning, or above ids that have gone back (XSETID): not held twice."""
    deleted = stream_of(1, 2, 3)
    deleted.read_group("g", "ann", 0)
    deleted.delete([(1, 2)])
    trimmed = stream_of(1, 2, 3)
    trimmed.read_group("g", "ann", 0)
    trimmed.trim(max_length=1)
    gone_back = stream_of(1, 2, 3)
    gone_back.read_group("g", "ann", 0)
    gone_back.trim(max_length=0)
    gone_back.set_id((1, 0))
    for seq in (1, 4):
        gone_back.add(ONE, 0, (1, seq))
    found = [model.autoclaim("g", "bob", MINUTE_MS, MIN_ID, 0)[2] for model in (deleted, trimmed, gone_back)]
    assert found == [[(1, 2)], [(1, 1), (1, 2)], [(1, 2), (1, 3)]]


def test_from_where_on_nothing_is_missing() -> None:
    """From the first entry on, unless something was taken out behind it, or may have been."""

    def log_of(*seqs: int) -> EntryLog:
        log = EntryLog()
        log.new += [((1, seq), ONE) for seq in seqs]
        return log

    whole, cut, deleted, refused = (log_of(1, 2, 3) for _ in range(4))
    cut.trim(max_length=2)
    deleted.remove((1, 2))
    refused.trim(max_length=1, may_remove=lambda entry_id: entry_id != (1, 1))
    assert [log.whole_from for log in (whole, cut, deleted, refused)] == [(1, 1), (1, 2), MAX_ID, MAX_ID]
    assert log_of().whole_from == MAX_ID


def test_autoclaim_gives_up_early() -> None:
    """XAUTOCLAIM looks at ten entries for each one asked for, then hands back a cursor."""
    model = stream_of(*range(1, 13))
    model.read_group("g", "alice", 0, 11)
    model.read_group("g", "carol", MINUTE_MS)
    model.claim("g", "alice", [(1, seq) for seq in range(1, 12)], MINUTE_MS)
    cursor, claimed, _ = model.autoclaim("g", "bob", 1, MIN_ID, MINUTE_MS, count=1)
    assert (cursor, claimed) == ((1, 11), [])


def test_autoclaim_to_the_end() -> None:
    """From cursor to cursor, XAUTOCLAIM finds everything; at the end the cursor is 0-0."""
    model = stream_of(*range(1, 8))
    model.read_group("g", "alice", 0)
    found: list[str] = []
    cursor = MIN_ID
    for _ in range(4):
        cursor, claimed, _ = model.autoclaim("g", "bob", 0, cursor, 0, count=2)
        found += ids(claimed)
    assert (cursor, len(found)) == (MIN_ID, 7)


def test_claim_while_reading() -> None:
    """XREADGROUP CLAIM gives the longest idle entries first, with idle time and delivery count."""
    model = stream_of(1, 2)
    model.read_group("g", "alice", 0)
    model.claim("g", "alice", [(1, 1)], 500)
    found = model.claim_idle("g", "bob", 100, 1000)
    assert [(i, idle, count) for i, _, idle, count in found] == [((1, 2), 1000, 1), ((1, 1), 500, 2)]


# --- deleting and trimming --------------------------------------------------------------------


def test_trimming_ignores_groups() -> None:
    """Undelivered entries are trimmed like all others: the group never hears of them."""
    model = stream_of(1, 2, 3)
    model.trim(max_length=1)
    assert ids(model.read_group("g", "alice", 0)) == ["1-3"]


def test_acked_keeps_what_is_needed() -> None:
    """With ACKED, entries that a group has not read or not acknowledged are kept."""
    model = stream_of(1, 2, 3)
    model.read_group("g", "alice", 0, 2)
    model.ack("g", [(1, 1)])
    n_removed = model.trim(max_length=0, references="ACKED")
    assert (n_removed, ids(model.range())) == (1, ["1-2", "1-3"])


def test_delref_takes_references_along() -> None:
    """With DELREF, a deleted entry is pending no more."""
    model = stream_of(1)
    model.read_group("g", "alice", 0)
    assert (model.delete_ex([(1, 1)], "DELREF"), pending_of(model)) == ([1], [])


def test_trimming_reaches_the_last_possible_id() -> None:
    """Also the entry with the largest of all ids can be trimmed with regard to the groups."""
    model = StreamModel()
    model.add(ONE, 0, MAX_ID)
    assert model.trim(max_length=0, references="DELREF") == 1


@pytest.mark.parametrize(("n_entries", "n_removed"), [(100, 0), (101, 0), (200, 100), (250, 200)])
def test_approximate_trim(n_entries: int, n_removed: int) -> None:
    """``MAXLEN ~`` removes whole nodes of 100 entries."""
    model = stream_of(*range(1, n_entries + 1))
    assert model.trim(max_length=50, approximate=True) == n_removed


def test_big_entries_fill_a_node_sooner() -> None:
    """A node is full at 4096 bytes: with entries of 1000, after four."""
    model = StreamModel()
    for seq in range(1, 10):
        model.add(("f", "x" * 1000), 0, (1, seq))
    assert model.entries.n_nodes == 3


# --- lag --------------------------------------------------------------------------------------


def test_lag() -> None:
    """The lag is the number of entries that the group was not given yet."""
    model = stream_of(1, 2, 3)
    model.read_group("g", "alice", 0, 1)
    assert model.lag("g") == 2


def test_lag_is_unknown_after_a_deletion_ahead() -> None:
    """When an undelivered entry was deleted, nobody knows the lag."""
    model = stream_of(1, 2, 3)
    model.read_group("g", "alice", 0, 1)
    model.delete([(1, 2)])
    assert model.lag("g") is None


def test_lag_after_trimming() -> None:
    """After trimming, old versions count what is no longer there."""
    old, new = stream_of(1, 2, 3), stream_of(1, 2, 3, version=(8, 6, 3))
    for model in (old, new):
        model.read_group("g", "alice", 0, 1)
        model.trim(max_length=1)
    assert (old.lag("g"), new.lag("g")) == (2, 1)


# --- the structures beneath -------------------------------------------------------------------

small_ids = st.tuples(st.integers(1, 3), st.integers(0, 150))


@given(st.lists(st.tuples(st.sampled_from("aadrw"), small_ids), max_size=400))
@settings(max_examples=200)
def test_pending_list(steps: list[tuple[str, StreamId]]) -> None:
    """Whatever is added, removed and walked: a pending list is a dict sorted by id."""
    held = PendingList()
    plain: dict[StreamId, Pending] = {}
    pending = Pending(Consumer("alice", 0), 0)
    for kind, entry_id in steps:
        if kind == "a":
            for seq in range(entry_id[1], entry_id[1] + 40):
                held.add((entry_id[0], seq), pending)
                plain[entry_id[0], seq] = pending
        elif kind == "d":
            for seq in range(entry_id[1], entry_id[1] + 60):
                held.pop((entry_id[0], seq), None)
                plain.pop((entry_id[0], seq), None)
        elif kind == "r":
            assert (held.first(), held.last()) == (min(plain, default=None), max(plain, default=None))
        else:
            assert list(held.walk(entry_id)) == sorted(i for i in plain if i >= entry_id)
    assert list(held.walk()) == sorted(plain)


@given(
    st.lists(st.tuples(small_ids, small_ids), max_size=30),
    st.integers(0, 400),
    st.one_of(st.none(), st.integers(1, 200)),
)
@settings(max_examples=200)
def test_entry_log(ranges: list[tuple[StreamId, StreamId]], n: int, count: int | None) -> None:
    """Ranges of the log are those of a sorted list, in both directions."""
    log = EntryLog()
    plain = [((1 + i // 150, i % 150), ("f", str(i))) for i in range(n)]
    for entry_id, fields in plain:
        log.new.append((entry_id, fields))
        if entry_id == plain[n // 2][0]:
            assert log.n_nodes >= 1  # these are in nodes from now on, and those to come are not yet
    for start, end in ranges:
        expected = [entry for entry in plain if start <= entry[0] <= end]
        assert log.range(start, end, count) == expected[:count]
        assert log.reversed_range(end, start, count) == expected[::-1][:count]
        assert log.after(start, count) == [e for e in plain if e[0] > start][:count]
        removed = log.remove(start)
        assert removed == any(entry_id == start for entry_id, _ in plain)
        plain = [entry for entry in plain if entry[0] != start]
    assert (len(log), log.range(MIN_ID, MAX_ID)) == (len(plain), plain)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40_000),
            st.one_of(st.just(("f", "1", "g", "two")), st.tuples(st.just("f"), st.integers(0, 90).map("x".__mul__))),
        ),
        max_size=6,
    ),
    st.integers(1, 220),
)
@settings(max_examples=100)
def test_nodes_are_the_same_whenever_they_are_made(kinds: list[tuple[int, tuple[str, ...]]], n_of_each: int) -> None:
    """A hundred new entries at once go into the nodes that they would have gone into one by one."""
    at_once, one_by_one = EntryLog(), EntryLog()
    ms = 1
    for step_ms, fields in kinds:
        for _ in range(n_of_each):
            ms += 1 + step_ms // n_of_each
            at_once.new.append(((ms, 0), fields))
            one_by_one.new.append(((ms, 0), fields))
            assert one_by_one.n_nodes >= 1  # which looks at the nodes
    assert at_once.n_nodes == one_by_one.n_nodes
    for max_length in (500, 250, 120, 60, 0):
        at_once.trim(max_length=max_length, whole_nodes=True)
        one_by_one.trim(max_length=max_length, whole_nodes=True)
        assert list(at_once) == list(one_by_one)


def test_who_is_given_an_entry_does_not_touch_what_others_have_pending() -> None:
    """With many consumers, to look into the lists of all of them would cost more than all else."""
    model = StreamModel()
    group = model.create_group("g")
    assert group is not None
    for name in ("C1", "C2"):
        model.read_group("g", name, 0, 1)  # each is known
    for n in range(300):
        name = "C2" if n == 0 else "C1"
        model.deliver_one(group, name, model.add(ONE, 1000), 1000)
    assert group.consumers["C2"].pending.new == [(1000, 0)]
    assert len(group.consumers["C1"].pending.new) < 128
    assert len(group.pending.new) < 128
