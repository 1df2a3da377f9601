"""Answers to the exercises of lesson 02: right ones in other styles, and likely wrong ones."""

from tests.checks.answers import Exercise, Wrong

#: Alice is given three, Bob the rest.
_READ = """
r.xreadgroup("kitchen", "alice", {EXERCISE: ">"}, count=3)
r.xreadgroup("kitchen", "bob", {EXERCISE: ">"})
"""

_PENDING = Exercise(
    verdict="checks.pending_exactly(",
    right=[
        _READ + 'r.xack(EXERCISE, "kitchen", "1000-0", "2000-0", "4000-0", "6000-0")',
        # One by one.
        _READ + 'for n in (1, 2, 4, 6):\n    r.xack(EXERCISE, "kitchen", f"{n}000-0")',
        # Each gives back what is not to stay.
        """
for name, count, keeps in (("alice", 3, "3000-0"), ("bob", 3, "5000-0")):
    for _, entries in r.xreadgroup("kitchen", name, {EXERCISE: ">"}, count=count):
        for entry_id, fields in entries:
            if entry_id != keeps:
                r.xack(EXERCISE, "kitchen", entry_id)
""",
        # Singly, in the order of the stream; a third one does the others.
        """
for name in ("cem", "cem", "alice", "cem", "bob", "cem"):
    ((_, ((entry_id, _),)),) = r.xreadgroup("kitchen", name, {EXERCISE: ">"}, count=1)
    if name == "cem":
        r.xack(EXERCISE, "kitchen", entry_id)
""",
        # What is not to stay is never pending.
        """
r.xreadgroup("kitchen", "cem", {EXERCISE: ">"}, count=2, noack=True)
r.xreadgroup("kitchen", "alice", {EXERCISE: ">"}, count=1)
r.xreadgroup("kitchen", "cem", {EXERCISE: ">"}, count=1, noack=True)
r.xreadgroup("kitchen", "bob", {EXERCISE: ">"}, count=1)
r.xreadgroup("kitchen", "cem", {EXERCISE: ">"}, noack=True)
""",
        # Alice reads all, and Bob claims his.
        """
r.xreadgroup("kitchen", "alice", {EXERCISE: ">"})
r.xclaim(EXERCISE, "kitchen", "bob", 0, ["5000-0"])
r.xack(EXERCISE, "kitchen", "1000-0", "2000-0", "4000-0", "6000-0")
""",
        # In one round trip.
        """
pipe = r.pipeline()
pipe.xreadgroup("kitchen", "alice", {EXERCISE: ">"}, count=4)
pipe.xreadgroup("kitchen", "bob", {EXERCISE: ">"}, count=2)
pipe.xack(EXERCISE, "kitchen", "1000-0", "2000-0", "4000-0", "6000-0")
pipe.execute()
""",
        # What XPENDING lists, but for the two.
        _READ
        + """
for row in r.xpending_range(EXERCISE, "kitchen", "-", "+", 10):
    if row["message_id"] not in ("3000-0", "5000-0"):
        r.xack(EXERCISE, "kitchen", row["message_id"])
""",
        # Raw commands.
        """
r.execute_command("XREADGROUP", "GROUP", "kitchen", "alice", "COUNT", 3, "STREAMS", EXERCISE, ">")
r.execute_command("XREADGROUP", "GROUP", "kitchen", "bob", "STREAMS", EXERCISE, ">")
r.execute_command("XACK", EXERCISE, "kitchen", "1000-0", "2000-0", "4000-0", "6000-0")
""",
        # With a look at its own history in between, and an acknowledgement twice.
        _READ
        + """
r.xreadgroup("kitchen", "alice", {EXERCISE: "0"})
r.xack(EXERCISE, "kitchen", "1000-0", "2000-0")
r.xack(EXERCISE, "kitchen", "1000-0", "4000-0", "6000-0")
""",
        # The group is made again, and then used.
        """
r.xgroup_destroy(EXERCISE, "kitchen")
r.xgroup_create(EXERCISE, "kitchen", id="0")
"""
        + _READ
        + 'r.xack(EXERCISE, "kitchen", "1000-0", "2000-0", "4000-0", "6000-0")',
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        # Only read.
        Wrong(_READ, "alice is done with it: XACK"),
        # Alice reads all.
        Wrong('r.xreadgroup("kitchen", "alice", {EXERCISE: ">"})', "it has to be bob who reads it"),
        # Only the two are acknowledged: the other way round.
        Wrong(_READ + 'r.xack(EXERCISE, "kitchen", "3000-0", "5000-0")', "and not acknowledged"),
        # All are.
        Wrong(_READ + 'r.xack(EXERCISE, "kitchen", *[f"{n}000-0" for n in range(1, 7)])', "is not pending"),
        # One too few is read.
        Wrong(
            """
r.xreadgroup("kitchen", "alice", {EXERCISE: ">"}, count=3)
r.xreadgroup("kitchen", "bob", {EXERCISE: ">"}, count=2)
r.xack(EXERCISE, "kitchen", "1000-0", "2000-0", "4000-0")
""",
            "XREADGROUP with >",
        ),
        # XREAD, XRANGE: the group learns nothing of it.
        Wrong('r.xread({EXERCISE: "0"})', "There is no answer yet."),
        # Own history before anything was delivered.
        Wrong('r.xreadgroup("kitchen", "alice", {EXERCISE: "0"})', "There is no answer yet."),
        # Alice is given two.
        Wrong(
            """
r.xreadgroup("kitchen", "alice", {EXERCISE: ">"}, count=2)
r.xreadgroup("kitchen", "bob", {EXERCISE: ">"})
r.xack(EXERCISE, "kitchen", "1000-0", "2000-0", "4000-0", "6000-0")
""",
            "mind the counts",
        ),
        # Nothing is ever pending.
        Wrong('r.xreadgroup("kitchen", "alice", {EXERCISE: ">"}, noack=True)', "3000-0 is not pending"),
        # Deleted in place of acknowledged.
        Wrong(_READ + 'r.xdel(EXERCISE, "1000-0", "2000-0", "4000-0", "6000-0")', "XDEL takes it away"),
        # Another name.
        Wrong(
            """
r.xreadgroup("kitchen", "Alice", {EXERCISE: ">"}, count=3)
r.xreadgroup("kitchen", "bob", {EXERCISE: ">"})
""",
            "3000-0 is pending for Alice; alice was asked for",
        ),
        # The consumer is removed, and what it held with it.
        Wrong(_READ + 'r.xgroup_delconsumer(EXERCISE, "kitchen", "alice")', "3000-0 is not pending"),
        # The stream is gone; the group is.
        Wrong("r.delete(EXERCISE)", "run it again"),
        Wrong('r.xgroup_destroy(EXERCISE, "kitchen")', "has no group kitchen"),
    ],
)

_WORKER = Exercise(
    verdict="checks.worker(",
    right=[
        # History, then new, one by one.
        """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        while True:
            reply = client.xreadgroup(group, consumer, {key: start}, count=1)
            entries = reply[0][1] if reply else []
            if not entries:
                break
            for entry_id, fields in entries:
                handle(entry_id, fields)
                client.xack(key, group, entry_id)
""",
        # All of the history in one read.
        """
def work(client, key, group, consumer, handle):
    def do(entries):
        for entry_id, fields in entries:
            handle(entry_id, fields)
            client.xack(key, group, entry_id)

    ((_, mine),) = client.xreadgroup(group, consumer, {key: "0"})
    do(mine)
    while reply := client.xreadgroup(group, consumer, {key: ">"}, count=5):
        do(reply[0][1])
""",
        # The id goes on.
        """
def work(client, key, group, consumer, handle):
    last_id = "0"
    while True:
        reply = client.xreadgroup(group, consumer, {key: last_id}, count=3)
        entries = reply[0][1] if reply else []
        if not entries and last_id == ">":
            return
        for entry_id, fields in entries:
            handle(entry_id, fields)
            client.xack(key, group, entry_id)
        if last_id != ">":
            last_id = entries[-1][0] if entries else ">"
""",
        # One XACK for what a read gave.
        """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        while reply := client.xreadgroup(group, consumer, {key: start}, count=4):
            entries = reply[0][1]
            if not entries:
                break
            for entry_id, fields in entries:
                handle(entry_id, fields)
            client.xack(key, group, *[entry_id for entry_id, _ in entries])
""",
        # What was done is acknowledged, also when an error ends it.
        """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        while reply := client.xreadgroup(group, consumer, {key: start}, count=4):
            done = []
            try:
                for entry_id, fields in reply[0][1]:
                    handle(entry_id, fields)
                    done.append(entry_id)
            finally:
                if done:
                    client.xack(key, group, *done)
            if not reply[0][1]:
                break
""",
        # Tries the failed one again.
        """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        while reply := client.xreadgroup(group, consumer, {key: start}, count=10):
            if not reply[0][1]:
                break
            for entry_id, fields in reply[0][1]:
                while True:
                    try:
                        handle(entry_id, fields)
                        break
                    except Exception:
                        continue
                client.xack(key, group, entry_id)
""",
        # Leaves what failed pending, for the next start.
        """
def work(client, key, group, consumer, handle):
    last_id = "0"
    while last_id:
        ((_, entries),) = client.xreadgroup(group, consumer, {key: last_id})
        last_id = entries[-1][0] if entries else None
        for entry_id, fields in entries:
            try:
                handle(entry_id, fields)
            except Exception as error:
                print(entry_id, error)
            else:
                client.xack(key, group, entry_id)
    for _, entries in client.xreadgroup(group, consumer, {key: ">"}):
        for entry_id, fields in entries:
            try:
                handle(entry_id, fields)
            except Exception:
                continue
            client.xack(key, group, entry_id)
""",
        # Reads its history again until it is empty, and then what is new, until there is nothing of either.
        """
def work(client, key, group, consumer, handle):
    while True:
        reply = client.xreadgroup(group, consumer, {key: "0"}, count=2)
        if not reply[0][1]:
            reply = client.xreadgroup(group, consumer, {key: ">"}, count=2)
        if not reply:
            return
        for entry_id, fields in reply[0][1]:
            handle(entry_id, fields)
            client.xack(key, group, entry_id)
""",
        # A generator of entries.
        """
def entries_of(client, key, group, consumer):
    for start in ("0", ">"):
        while reply := client.xreadgroup(group, consumer, {key: start}, count=1):
            if not reply[0][1]:
                break
            yield from reply[0][1]


def work(client, key, group, consumer, handle):
    for entry_id, fields in entries_of(client, key, group, consumer):
        handle(entry_id, fields)
        client.xack(key, group, entry_id)
""",
        # Waits a little for what is new.
        """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        while reply := client.xreadgroup(group, consumer, {key: start}, count=1, block=10):
            if not reply[0][1]:
                break
            entry_id, fields = reply[0][1][0]
            handle(entry_id, fields)
            client.xack(key, group, entry_id)
""",
        # Calls itself.
        """
def work(client, key, group, consumer, handle, start="0"):
    reply = client.xreadgroup(group, consumer, {key: start}, count=2)
    entries = reply[0][1] if reply else []
    for entry_id, fields in entries:
        handle(entry_id, fields)
        client.xack(key, group, entry_id)
    if entries:
        work(client, key, group, consumer, handle, start)
    elif start == "0":
        work(client, key, group, consumer, handle, ">")
""",
        # An error of its own in place of the handler's; the program ends.
        """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        while reply := client.xreadgroup(group, consumer, {key: start}, count=1):
            if not reply[0][1]:
                break
            entry_id, fields = reply[0][1][0]
            try:
                handle(entry_id, fields)
            except Exception as error:
                raise SystemExit(f"{consumer} cannot do {entry_id}") from error
            client.xack(key, group, entry_id)
""",
        # Acknowledgements in a pipeline.
        """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        while reply := client.xreadgroup(group, consumer, {key: start}, count=3):
            if not reply[0][1]:
                break
            with client.pipeline() as pipe:
                for entry_id, fields in reply[0][1]:
                    handle(entry_id, fields)
                    pipe.xack(key, group, entry_id)
                pipe.execute()
""",
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("work = None", "None is not a function"),
        Wrong("def work(client, key, group, consumer, handle):\n    return None", "sent no command"),
        Wrong("work = 'work'", "is not a function"),
        Wrong("def work(client, key):\n    pass", "cannot be called with 5 arguments"),
        # Key and group the wrong way round.
        Wrong(
            """
def work(client, key, group, consumer, handle):
    client.xreadgroup(key, consumer, {group: "0"})
""",
            "r.xack(key, group",
        ),
        # An empty history is a list with an empty list in it.
        Wrong(
            """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        while reply := client.xreadgroup(group, consumer, {key: start}):
            for entry_id, fields in reply[0][1]:
                handle(entry_id, fields)
                client.xack(key, group, entry_id)
""",
            "end when both its own history and > give nothing",
        ),
        # XACK before the work.
        Wrong(
            """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        for _, entries in client.xreadgroup(group, consumer, {key: start}):
            for entry_id, fields in entries:
                client.xack(key, group, entry_id)
                handle(entry_id, fields)
""",
            "XACK after the work, not before",
        ),
        # What failed is acknowledged as well.
        Wrong(
            """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        for _, entries in client.xreadgroup(group, consumer, {key: start}):
            for entry_id, fields in entries:
                try:
                    handle(entry_id, fields)
                finally:
                    client.xack(key, group, entry_id)
""",
            "what was not done must not be acknowledged",
        ),
        Wrong(
            """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        for _, entries in client.xreadgroup(group, consumer, {key: start}):
            for entry_id, fields in entries:
                try:
                    handle(entry_id, fields)
                except Exception:
                    pass
            if entries:
                client.xack(key, group, *[entry_id for entry_id, _ in entries])
""",
            "what was not done must not be acknowledged",
        ),
        # No acknowledgement at all.
        Wrong(
            """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        for _, entries in client.xreadgroup(group, consumer, {key: start}):
            for entry_id, fields in entries:
                handle(entry_id, fields)
""",
            "XACK",
        ),
        # Only what is new; only the history; the first page of it.
        Wrong(
            """
def work(client, key, group, consumer, handle):
    while reply := client.xreadgroup(group, consumer, {key: ">"}, count=1):
        for entry_id, fields in reply[0][1]:
            handle(entry_id, fields)
            client.xack(key, group, entry_id)
""",
            "XREADGROUP with 0 in place of >",
        ),
        Wrong(
            """
def work(client, key, group, consumer, handle):
    for _, entries in client.xreadgroup(group, consumer, {key: "0"}):
        for entry_id, fields in entries:
            handle(entry_id, fields)
            client.xack(key, group, entry_id)
""",
            "go on with > until it gives nothing",
        ),
        Wrong(
            """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        for _, entries in client.xreadgroup(group, consumer, {key: start}, count=1):
            for entry_id, fields in entries:
                handle(entry_id, fields)
                client.xack(key, group, entry_id)
""",
            "then what is new",
        ),
        # New entries first.
        Wrong(
            """
def work(client, key, group, consumer, handle):
    for start in (">", "0"):
        for _, entries in client.xreadgroup(group, consumer, {key: start}):
            for entry_id, fields in entries:
                handle(entry_id, fields)
                client.xack(key, group, entry_id)
""",
            "first what was left over (XREADGROUP with 0)",
        ),
        # XRANGE: what others have, too.
        Wrong(
            """
def work(client, key, group, consumer, handle):
    for entry_id, fields in client.xrange(key):
        handle(entry_id, fields)
        client.xack(key, group, entry_id)
""",
            "handle what XREADGROUP gave this consumer",
        ),
        # Bob's work.
        Wrong(
            """
def work(client, key, group, consumer, handle):
    _, entries, _ = client.xautoclaim(key, group, consumer, 0)
    for entry_id, fields in entries:
        handle(entry_id, fields)
        client.xack(key, group, entry_id)
    for _, entries in client.xreadgroup(group, consumer, {key: ">"}):
        for entry_id, fields in entries:
            handle(entry_id, fields)
            client.xack(key, group, entry_id)
""",
            "that is bob's work",
        ),
        # NOACK, BLOCK 0.
        Wrong(
            """
def work(client, key, group, consumer, handle):
    for _, entries in client.xreadgroup(group, consumer, {key: ">"}, noack=True):
        for entry_id, fields in entries:
            handle(entry_id, fields)
""",
            "with NOACK nothing is ever pending",
        ),
        Wrong(
            """
def work(client, key, group, consumer, handle):
    for start in ("0", ">"):
        while reply := client.xreadgroup(group, consumer, {key: start}, block=0):
            if not reply[0][1]:
                break
            for entry_id, fields in reply[0][1]:
                handle(entry_id, fields)
                client.xack(key, group, entry_id)
""",
            "it is to end when there is nothing left",
        ),
        # The fields only.
        Wrong(
            """
def work(client, key, group, consumer, handle):
    for _, entries in client.xreadgroup(group, consumer, {key: "0"}):
        for entry_id, fields in entries:
            handle(fields)
""",
            "TypeError",
        ),
    ],
)

EXERCISES = [_PENDING, _WORKER]
