"""Answers to the exercises of lesson 08: what a dead consumer leaves behind, and how it is taken over."""

from tests.checks.answers import Exercise, Wrong

_COUNTED = """
lab = Lab(nine)
lab.run_until(2.0)
my_pending = {}
for row in lab.snapshot().pending:
    my_pending.setdefault(row.owner, []).append(int(row.fields["n"]))
"""

_UNTIL_THE_CURSOR = """
def take_over(client, key, group, consumer, min_idle):
    cursor, mine = "0-0", []
    while True:
        reply = client.xautoclaim(key, group, consumer, min_idle, start_id=cursor{count})
        cursor = reply[0]
        mine.extend(reply[1])
        if cursor == "0-0":
            break
    return mine
"""

_NONE_AT_FIRST = """
def take_over(client, key, group, consumer, min_idle):
    cursor, mine = None, []
    while cursor != "0-0":
        cursor, entries, _ = client.xautoclaim(
            key, group, consumer, min_idle, cursor or "0-0", count=25
        )
        mine = mine + entries
    return mine
"""

_WALRUS = """
def take_over(client, key, group, consumer, min_idle):
    pages = [client.xautoclaim(key, group, consumer, min_idle)]
    while (cursor := pages[-1][0]) != "0-0":
        pages.append(client.xautoclaim(key, group, consumer, min_idle, cursor))
    return [entry for page in pages for entry in page[1]]
"""

_GENERATOR_WITHIN = """
def pages(client, key, group, consumer, min_idle):
    cursor = "0-0"
    while True:
        cursor, entries, *_ = client.xautoclaim(key, group, consumer, min_idle, cursor, count=100)
        yield from entries
        if cursor == "0-0":
            return


def take_over(client, key, group, consumer, min_idle):
    return list(pages(client, key, group, consumer, min_idle))
"""

_RECURSIVE = """
def take_over(client, key, group, consumer, min_idle, cursor="0-0"):
    cursor, entries, _ = client.xautoclaim(key, group, consumer, min_idle, cursor)
    if cursor == "0-0":
        return entries
    return entries + take_over(client, key, group, consumer, min_idle, cursor)
"""

_LOOK_THEN_CLAIM = """
def take_over(client, key, group, consumer, min_idle):
    taken, start = [], "-"
    while True:
        lines = client.xpending_range(key, group, start, "+", {count}, idle=min_idle)
        if not lines:
            return taken
        ids = [line["message_id"] for line in lines]
        taken += client.xclaim(key, group, consumer, min_idle, ids)
        start = "(" + ids[-1]
"""

_AS_MANY_AS_ARE_PENDING = """
def take_over(client, key, group, consumer, min_idle):
    n_pending = client.xpending(key, group)["pending"]
    if not n_pending:
        return []
    lines = client.xpending_range(key, group, "-", "+", n_pending, idle=min_idle)
    ids = [line["message_id"] for line in lines]
    return client.xclaim(key, group, consumer, min_idle, ids) if ids else []
"""

_ONE_BY_ONE = """
def take_over(client, key, group, consumer, min_idle):
    taken, start = [], "-"
    while lines := client.xpending_range(key, group, start, "+", 50):
        for line in lines:
            if line["time_since_delivered"] >= min_idle and line["consumer"] != consumer:
                taken += client.xclaim(key, group, consumer, min_idle, [line["message_id"]])
        start = f"({lines[-1]['message_id']}"
    return taken
"""

_UNTIL_NOTHING_IS_IDLE = """
def take_over(client, key, group, consumer, min_idle):
    taken = []
    while lines := client.xpending_range(key, group, "-", "+", 10, idle=min_idle):
        taken += client.xclaim(
            key, group, consumer, min_idle, [line["message_id"] for line in lines]
        )
    return taken
"""

_BY_ITSELF = """
def take_over(client, key, group, consumer, min_idle):
    cursor, mine = "0-0", []
    while True:
        cursor, entries, gone = client.execute_command(
            "XAUTOCLAIM", key, group, consumer, min_idle, cursor, "COUNT", 7
        )
        mine += entries
        if cursor == "0-0":
            return mine
"""

EXERCISES = [
    Exercise(
        verdict="checks.left_behind(",
        right=[
            'my_pending = {"C2": [8, 9]}',
            'my_pending = {"C2": (8, 9)}',
            'my_pending = {"C2": {9, 8}}',
            'my_pending = {"C1": [], "C2": [8, 9]}',
            'my_pending = {"C2": [9, 8], "C1": ()}',
            "my_pending = dict(C2=[8, 9])",
            'my_pending = {"C2": list(range(8, 10))}',
            'my_pending = {"C2": sorted({4, 5, 6, 7, 8, 9} - {4, 5, 6, 7})}',
            'my_pending = {}\nmy_pending["C2"] = []\nmy_pending["C2"] += [8]\nmy_pending["C2"] += [9]',
            "import collections\nmy_pending = collections.defaultdict(list)\n"
            'my_pending["C2"].append(8)\nmy_pending["C2"].append(9)',
            _COUNTED,
        ],
        wrong=[
            Wrong("", "There is no answer yet."),
            Wrong("my_pending = None", "None does not say"),
            Wrong("my_pending = [8, 9]", "does not say which entries are pending for whom"),
            Wrong('my_pending = {"C2": 8}', "1 more pending for C2"),
            Wrong('my_pending = {8: "C2", 9: "C2"}', "does not say which"),
            Wrong('my_pending = "C2: 8, 9"', "does not say which"),
            Wrong("my_pending = {}", "2 more pending for C2"),
            Wrong('my_pending = {"C2": [8]}', "begun or not"),
            Wrong('my_pending = {"C2": [9]}', "begun or not"),
            # One that was acknowledged; what C1 was given; all that C2 was ever given.
            Wrong('my_pending = {"C2": [7, 8, 9]}', "7 is not pending for C2"),
            Wrong('my_pending = {"C2": [2, 7, 8, 9]}', "2 is not pending for C2"),
            Wrong('my_pending = {"C2": [6, 7, 8, 9]}', "6 is not pending for C2"),
            Wrong('my_pending = {"C2": [2, 4, 6, 8]}', "2 is not pending for C2"),
            Wrong(
                'my_pending = {"C1": [3, 4, 5, 6], "C2": [7, 8, 9]}', "3 is not pending for C1"
            ),
            Wrong('my_pending = {"C1": [1, 2, 3]}', "1 is not pending for C1"),
            Wrong('my_pending = {"C1": [8, 9]}', "8 is not pending for C1"),
            Wrong('my_pending = {"C2": [7, 8]}', "7 is not pending for C2"),
        ],
    ),
    Exercise(
        verdict="checks.take_over(",
        right=[
            _UNTIL_THE_CURSOR.format(count=""),
            _UNTIL_THE_CURSOR.format(count=", count=10"),
            _NONE_AT_FIRST,
            _WALRUS,
            _GENERATOR_WITHIN,
            _RECURSIVE,
            _LOOK_THEN_CLAIM.format(count=10),
            _LOOK_THEN_CLAIM.format(count=100),
            _AS_MANY_AS_ARE_PENDING,
            _ONE_BY_ONE,
            _UNTIL_NOTHING_IS_IDLE,
            _BY_ITSELF,
        ],
        wrong=[
            Wrong("", "There is no answer yet."),
            Wrong("take_over = None", "not a function"),
            Wrong(
                "def take_over(client, key, group, consumer, min_idle):\n"
                "    client.xautoclaim(key, group, consumer, min_idle)",
                "it returned None",
            ),
            Wrong(_UNTIL_THE_CURSOR.format(count="").replace("    return mine", ""), "None"),
            Wrong(
                "def take_over(client, key, group, consumer, min_idle):\n"
                "    return client.xautoclaim(key, group, consumer, min_idle)[1]",
                "until the cursor is 0-0",
            ),
            # The mistake that the lesson warns of, twice.
            Wrong(
                _UNTIL_THE_CURSOR.format(count="").replace('cursor == "0-0"', "not reply[1]"),
                "a page may be empty",
            ),
            Wrong(
                _UNTIL_THE_CURSOR.format(count=", count=10").replace(
                    'cursor == "0-0"', "len(reply[1]) < 10"
                ),
                "until the cursor is 0-0",
            ),
            Wrong(
                "def take_over(client, key, group, consumer, min_idle):\n"
                '    lines = client.xpending_range(key, group, "-", "+", 10, idle=min_idle)\n'
                '    ids = [line["message_id"] for line in lines]\n'
                "    return client.xclaim(key, group, consumer, min_idle, ids)",
                "as many as it was asked for",
            ),
            Wrong(
                _UNTIL_THE_CURSOR.format(count="").replace("start_id=cursor", 'start_id="0-0"'),
                "begin",
            ),
            Wrong(
                _UNTIL_THE_CURSOR.format(count="").replace('== "0-0"', '== b"0-0"'),
                '"0-0"',
            ),
            Wrong(
                _UNTIL_THE_CURSOR.format(count="").replace("min_idle,", "min_idle * 1000,"),
                "milliseconds",
            ),
            Wrong(
                _UNTIL_THE_CURSOR.format(count="").replace("min_idle,", "min_idle // 1000,"),
                "milliseconds",
            ),
            Wrong(
                _UNTIL_THE_CURSOR.format(count="").replace("consumer, min_idle,", "consumer, 0,"),
                "from bob",
            ),
            # redis-py then gives the ids alone, without a cursor.
            Wrong(_UNTIL_THE_CURSOR.format(count=", justid=True"), "IndexError"),
            Wrong(
                _LOOK_THEN_CLAIM.format(count=100).replace("min_idle, ids)", "min_idle, ids, justid=True)"),
                "JUSTID",
            ),
            Wrong(
                _UNTIL_THE_CURSOR.format(count="").replace("mine.extend(reply[1])", "mine = reply[1]"),
                "return what all the pages brought",
            ),
            Wrong(
                _UNTIL_THE_CURSOR.format(count="").replace(
                    "return mine", "return [entry_id for entry_id, _ in mine]"
                ),
                "(id, fields)",
            ),
            Wrong(
                _UNTIL_THE_CURSOR.format(count="").replace(
                    "return mine",
                    "client.xack(key, group, *[entry_id for entry_id, _ in mine])\n    return mine",
                ),
                "not acknowledged",
            ),
            Wrong(
                "def take_over(client, key, group, consumer, min_idle):\n"
                "    reply = client.xreadgroup(group, consumer, {key: '0'})\n"
                "    return reply[0][1]",
                "XAUTOCLAIM",
            ),
            Wrong(
                "def take_over(client, key, group, consumer, min_idle):\n    return client.xautoclaimm(key)",
                "AttributeError",
            ),
            Wrong(
                "async def take_over(client, key, group, consumer, min_idle):\n    return []",
                "async",
            ),
            Wrong("def take_over(client, key):\n    return []", "argument"),
        ],
    ),
]  # fmt: skip
