"""Answers to the exercises of lesson 11: right ones in other styles, and likely wrong ones."""

from __future__ import annotations

from tests.checks.answers import Exercise, Wrong

HEAD = "def work_with_limit(client, key, group, consumer, handle, limit, dead):"

LIMIT_RIGHT = [
    f"""
{HEAD}
    for position in ("0", ">"):
        while reply := client.xreadgroup(group, consumer, {{key: position}}, count=1):
            if not reply[0][1]:
                break
            ((entry_id, fields),) = reply[0][1]
            (line,) = client.xpending_range(key, group, entry_id, entry_id, 1)
            if line["times_delivered"] > limit:
                client.xadd(dead, {{"dead:id": entry_id, **fields}})
            else:
                handle(entry_id, fields)
            client.xack(key, group, entry_id)
""",
    f"""
{HEAD}  # the package's script
    for position in ("0", ">"):
        while True:
            reply = client.xreadgroup(group, consumer, {{key: position}}, count=1)
            if not reply or not reply[0][1]:
                break
            entry_id, fields = reply[0][1][0]
            lines = client.xpending_range(key, group, entry_id, entry_id, 1, consumer)
            if lines[0]["times_delivered"] > limit:
                client.eval(scripts.DEAD_LETTER, 2, key, dead, group, consumer, entry_id)
                continue
            handle(entry_id, fields)
            client.xack(key, group, entry_id)
""",
    f"""
{HEAD}  # new ones by the ten
    def settle(entry_id, fields, n_deliveries):
        if n_deliveries > limit:
            client.xadd(dead, {{**fields, "dead:id": entry_id, "dead:deliveries": n_deliveries}})
        else:
            handle(entry_id, fields)
        client.xack(key, group, entry_id)

    while own := client.xreadgroup(group, consumer, {{key: "0"}}, count=1)[0][1]:
        entry_id, fields = own[0]
        (line,) = client.xpending_range(key, group, entry_id, entry_id, 1)
        settle(entry_id, fields, line["times_delivered"])
    while reply := client.xreadgroup(group, consumer, {{key: ">"}}, count=10):
        for entry_id, fields in reply[0][1]:
            settle(entry_id, fields, 1)
""",
    f"""
{HEAD}  # gives up before it reads: XPENDING first, then XRANGE
    for line in client.xpending_range(key, group, "-", "+", 100, consumer):
        if line["times_delivered"] >= limit:
            entry_id = line["message_id"]
            ((_, fields),) = client.xrange(key, entry_id, entry_id)
            client.xadd(dead, {{"dead:id": entry_id, **fields}})
            client.xack(key, group, entry_id)
    for position in ("0", ">"):
        while True:
            reply = client.xreadgroup(group, consumer, {{key: position}}, count=1)
            entries = reply[0][1] if reply else []
            if not entries:
                break
            for entry_id, fields in entries:
                handle(entry_id, fields)
                client.xack(key, group, entry_id)
""",
    f"""
def entries_of(client, key, group, consumer):
    for position in ("0", ">"):
        while (reply := client.xreadgroup(group, consumer, {{key: position}}, count=1)) and reply[0][1]:
            yield reply[0][1][0]


{HEAD}
    for entry_id, fields in entries_of(client, key, group, consumer):
        pending = client.xpending_range(key, group, min=entry_id, max=entry_id, count=1)
        if pending[0]["times_delivered"] <= limit:
            handle(entry_id, fields)
        else:
            letter = dict(fields)
            letter["dead:id"] = entry_id
            letter["dead:reason"] = "delivered too often"
            client.xadd(dead, letter)
        client.xack(key, group, entry_id)
""",
    f"""
{HEAD}  # a count of its own, in Redis, before the handler
    for position in ("0", ">"):
        while (reply := client.xreadgroup(group, consumer, {{key: position}}, count=1)) and reply[0][1]:
            entry_id, fields = reply[0][1][0]
            if client.hincrby(key + ":tries", entry_id, 1) > limit:
                client.xadd(dead, {{"dead:id": entry_id, **fields}})
            else:
                handle(entry_id, fields)
            client.xack(key, group, entry_id)
            client.hdel(key + ":tries", entry_id)
""",
    f"""
class Worker:
    def __init__(self, client, key, group, consumer):
        self.client, self.key, self.group, self.consumer = client, key, group, consumer

    def next(self, position):
        reply = self.client.xreadgroup(self.group, self.consumer, {{self.key: position}}, count=1)
        return reply[0][1] if reply else []

    def deliveries(self, entry_id):
        (line,) = self.client.xpending_range(self.key, self.group, entry_id, entry_id, 1)
        return line["times_delivered"]


{HEAD}
    worker = Worker(client, key, group, consumer)
    while entries := worker.next("0") or worker.next(">"):
        ((entry_id, fields),) = entries
        if worker.deliveries(entry_id) > limit:
            client.xadd(dead, {{"dead:id": entry_id, **fields}})
        else:
            handle(entry_id, fields)
        client.xack(key, group, entry_id)
""",
    f"""
{HEAD}  # asks Redis for all counts at once, and takes the new ones in one read
    counts = {{
        line["message_id"]: line["times_delivered"]
        for line in client.xpending_range(key, group, "-", "+", 1000, consumername=consumer)
    }}
    for entry_id, n_before in counts.items():
        ((_, ((_, fields),)),) = client.xreadgroup(
            group, consumer, {{key: before(entry_id)}}, count=1
        )
        if n_before + 1 > limit:
            client.xadd(dead, {{"dead:id": entry_id, **fields}})
        else:
            handle(entry_id, fields)
        client.xack(key, group, entry_id)
    for _, entries in client.xreadgroup(group, consumer, {{key: ">"}}) or []:
        for entry_id, fields in entries:
            handle(entry_id, fields)
            client.xack(key, group, entry_id)


def before(entry_id):
    ms, seq = map(int, entry_id.split("-"))
    return f"{{ms}}-{{seq - 1}}" if seq else f"{{ms - 1}}-999999"
""",
    f"""
{HEAD}  # says so when it cannot give up, and goes on with nothing
    for position in ("0", ">"):
        while (reply := client.xreadgroup(group, consumer, {{key: position}}, count=1)) and reply[0][1]:
            entry_id, fields = reply[0][1][0]
            (line,) = client.xpending_range(key, group, entry_id, entry_id, 1)
            if line["times_delivered"] <= limit:
                handle(entry_id, fields)
            else:
                try:
                    client.xadd(dead, {{"dead:id": entry_id, **fields}})
                except redis.ResponseError as error:
                    raise RuntimeError("the dead-letter stream is broken") from error
            client.xack(key, group, entry_id)
""",
    f"""
{HEAD}  # acknowledges with the next read, and at the end
    for position in ("0", ">"):
        done = []
        while True:
            if done:
                client.xack(key, group, *done)
                done.clear()
            reply = client.xreadgroup(group, consumer, {{key: position}}, count=1)
            if not reply or not reply[0][1]:
                break
            for entry_id, fields in reply[0][1]:
                [line] = client.xpending_range(key, group, entry_id, entry_id, 1)
                if line["times_delivered"] > limit:
                    client.xadd(dead, fields | {{"dead:id": entry_id}})
                else:
                    handle(entry_id, fields)
                done.append(entry_id)
""",
    f"""
{HEAD}  # claims its own one by one
    while lines := client.xpending_range(key, group, "-", "+", 1, consumer):
        entry_id = lines[0]["message_id"]
        ((_, fields),) = client.xclaim(key, group, consumer, 0, [entry_id])
        if lines[0]["times_delivered"] >= limit:
            client.xadd(dead, {{"dead:id": entry_id, **fields}})
        else:
            handle(entry_id, fields)
        client.xack(key, group, entry_id)
    while reply := client.xreadgroup(group, consumer, {{key: ">"}}, count=5):
        for entry_id, fields in reply[0][1]:
            handle(entry_id, fields)
            client.xack(key, group, entry_id)
""",
]

#: The shape of most wrong ones.
LOOP = (
    HEAD
    + """
    for position in ("0", ">"):
        while (reply := client.xreadgroup(group, consumer, {{key: position}}, count={count})) and reply[0][1]:
            for entry_id, fields in reply[0][1]:
                lines = client.xpending_range(key, group, entry_id, entry_id, 1)
                n = lines[0]["times_delivered"]
{body}
"""
)


def loop(body: str, count: int = 1) -> str:
    """Return a worker that does this with each entry."""
    indented = "\n".join(" " * 16 + line for line in body.strip("\n").splitlines())
    return LOOP.format(body=indented, count=count)


GIVES_UP = """
if n > limit:
    client.xadd(dead, {"dead:id": entry_id, **fields})
else:
    handle(entry_id, fields)
client.xack(key, group, entry_id)
"""

LIMIT_WRONG = [
    Wrong("", "There is no answer yet."),
    Wrong("work_with_limit = None", "None is not a function"),
    Wrong("work_with_limit = 3", "is not a function"),
    Wrong("def work_with_limit(client, key): pass", "leave the first line"),
    Wrong(f"async {HEAD} pass", "is an async function"),
    Wrong(f"{HEAD} pass", "its handler was given nothing"),
    Wrong(f"{HEAD} client.xreadgroup(group, consumer, {{key: '>'}})['x']", "TypeError"),
    Wrong(f"{HEAD} client.xreadgroup(key, consumer, {{group: '>'}})", "mind the order of the arguments"),
    Wrong(f"{HEAD} client.xreadgroup(group, consumer, {{key: '>'}}, block=100)", "leave out block="),
    Wrong(  # the lesson's worker, without a limit
        loop("handle(entry_id, fields)\nclient.xack(key, group, entry_id)"),
        "before handle(…), ask XPENDING for times_delivered",
    ),
    Wrong(  # looks after the handler
        loop("""
handle(entry_id, fields)
if n > limit:
    client.xadd(dead, {"dead:id": entry_id, **fields})
client.xack(key, group, entry_id)
"""),
        "before handle(…), ask XPENDING for times_delivered",
    ),
    Wrong(  # catches errors, which a death is not
        loop("""
try:
    handle(entry_id, fields)
except Exception:
    client.xadd(dead, {"dead:id": entry_id, **fields})
client.xack(key, group, entry_id)
"""),
        "before handle(…), ask XPENDING for times_delivered",
    ),
    Wrong(  # catches even death: the dead do nothing more
        loop("""
try:
    handle(entry_id, fields)
except BaseException:
    client.xadd(dead, {"dead:id": entry_id, **fields})
client.xack(key, group, entry_id)
"""),
        "before handle(…), ask XPENDING for times_delivered",
    ),
    Wrong(loop(GIVES_UP, count=10), "read with count=1"),
    Wrong(  # the innocent ones of a batch
        f"""
{HEAD}
    for position in ("0", ">"):
        while (reply := client.xreadgroup(group, consumer, {{key: position}})) and reply[0][1]:
            for entry_id, fields in reply[0][1]:
                if client.xpending_range(key, group, entry_id, entry_id, 1)[0]["times_delivered"] > limit:
                    client.xadd(dead, {{"dead:id": entry_id, **fields}})
                else:
                    handle(entry_id, fields)
                client.xack(key, group, entry_id)
""",
        "no handler ever saw it",
    ),
    Wrong(loop(GIVES_UP.replace("n > limit", "n >= limit")), "not what has reached it"),
    Wrong(loop(GIVES_UP.replace("n > limit", "n > limit + 1")), "times_delivered counts this delivery too"),
    Wrong(  # counts in the process, for ever
        "tries = {}\n" + loop("tries[entry_id] = n = tries.get(entry_id, 0) + 1" + GIVES_UP),
        "kept in the process dies with it",
    ),
    Wrong(  # counts in the process, from nothing at each start
        f"""
{HEAD}
    tries = {{}}
    for position in ("0", ">"):
        while (reply := client.xreadgroup(group, consumer, {{key: position}}, count=1)) and reply[0][1]:
            entry_id, fields = reply[0][1][0]
            tries[entry_id] = tries.get(entry_id, 0) + 1
            if tries[entry_id] > limit:
                client.xadd(dead, {{"dead:id": entry_id, **fields}})
            else:
                handle(entry_id, fields)
            client.xack(key, group, entry_id)
""",
        "before handle(…), ask XPENDING for times_delivered",
    ),
    Wrong(  # JUSTID does not count
        f"""
{HEAD}
    while lines := client.xpending_range(key, group, "-", "+", 1, consumer):
        (entry_id,) = client.xclaim(key, group, consumer, 0, [lines[0]["message_id"]], justid=True)
        ((_, fields),) = client.xrange(key, entry_id, entry_id)
        if lines[0]["times_delivered"] > limit:
            client.xadd(dead, {{"dead:id": entry_id, **fields}})
        else:
            handle(entry_id, fields)
        client.xack(key, group, entry_id)
    while reply := client.xreadgroup(group, consumer, {{key: ">"}}, count=1):
        for entry_id, fields in reply[0][1]:
            handle(entry_id, fields)
            client.xack(key, group, entry_id)
""",
        "JUSTID does not count",
    ),
    Wrong(  # no history: poison is not new any more
        f"""
{HEAD}
    while reply := client.xreadgroup(group, consumer, {{key: ">"}}, count=1):
        ((entry_id, fields),) = reply[0][1]
        handle(entry_id, fields)
        client.xack(key, group, entry_id)
""",
        "begin with the own history (0)",
    ),
    Wrong(  # only the history
        loop(GIVES_UP).replace('("0", ">")', '("0",)'), "its handler was given nothing"
    ),
    Wrong(  # takes what bob is working on
        f"""
{HEAD}
    while True:
        _, entries, _ = client.xautoclaim(key, group, consumer, 0, count=1)
        entries = entries or (client.xreadgroup(group, consumer, {{key: ">"}}, count=1) or [[0, []]])[0][1]
        if not entries:
            return
        ((entry_id, fields),) = entries
        handle(entry_id, fields)
        client.xack(key, group, entry_id)
""",
        "which is pending for bob",
    ),
    Wrong(  # acknowledges first
        loop("client.xack(key, group, entry_id)\nhandle(entry_id, fields)"), "acknowledge after the work, not before"
    ),
    Wrong(  # leaves it pending
        loop("""
if n > limit:
    client.xadd(dead, {"dead:id": entry_id, **fields})
    continue
handle(entry_id, fields)
client.xack(key, group, entry_id)
"""),
        "After 300 commands",
    ),
    Wrong(  # never acknowledges what is done
        loop(GIVES_UP).replace("                client.xack(key, group, entry_id)\n", ""),
        "Each round has to leave less to do",
    ),
    Wrong(  # throws it away
        loop("if n <= limit:\n    handle(entry_id, fields)\nclient.xack(key, group, entry_id)"),
        "XADD its fields to the stream dead, then XACK",
    ),
    Wrong(  # no id
        loop(GIVES_UP.replace('{"dead:id": entry_id, **fields}', "fields")), "add its original id"
    ),
    Wrong(  # the id as the letter's own
        loop(GIVES_UP.replace('{"dead:id": entry_id, **fields}', "fields, id=entry_id")), "keep it as a field"
    ),
    Wrong(  # no fields
        loop(GIVES_UP.replace('{"dead:id": entry_id, **fields}', '{"dead:id": entry_id}')),
        "it needs the fields of the entry",
    ),
    Wrong(  # stops there
        loop(GIVES_UP.replace("else:", "    client.xack(key, group, entry_id)\n    return\nelse:")),
        "go on after the dead letter",
    ),
    Wrong(  # acknowledges before the letter is written
        loop("""
if n > limit:
    client.xack(key, group, entry_id)
    client.xadd(dead, {"dead:id": entry_id, **fields})
else:
    handle(entry_id, fields)
    client.xack(key, group, entry_id)
"""),
        "XADD first, and XACK only if that has succeeded",
    ),
    Wrong(  # MULTI
        loop("""
if n > limit:
    with client.pipeline(transaction=True) as multi:
        multi.xadd(dead, {"dead:id": entry_id, **fields})
        multi.xack(key, group, entry_id)
        multi.execute()
else:
    handle(entry_id, fields)
    client.xack(key, group, entry_id)
"""),
        "not both in MULTI",
    ),
    Wrong(  # dead letters of everything
        loop("""
client.xadd(dead, {"dead:id": entry_id, **fields})
if n <= limit:
    handle(entry_id, fields)
client.xack(key, group, entry_id)
"""),
        "was done, and is in the dead-letter stream",
    ),
    Wrong(  # a letter at each try
        loop("""
if n > 1:
    client.xadd(dead, {"dead:id": entry_id, **fields})
if n <= limit:
    handle(entry_id, fields)
client.xack(key, group, entry_id)
"""),
        "a letter is written once",
    ),
    Wrong(f"{HEAD} client.delete(key)", "leave keys and groups"),
]

BACK_RIGHT = [
    """
def put_back(client, dead, key):
    for letter_id, letter in client.xrange(dead):
        fields = {name: letter[name] for name in letter if not name.startswith("dead:")}
        client.xadd(key, fields)
        client.xdel(dead, letter_id)
""",
    """
def put_back(client, dead, key):
    while letters := client.xrange(dead, count=1):
        ((letter_id, letter),) = letters
        for name in [*letter]:
            if name.startswith("dead:"):
                del letter[name]
        client.xadd(key, letter)
        client.xdel(dead, letter_id)
""",
    """
def put_back(client, dead, key):
    for letter_id, letter in client.xrange(dead, count=100):
        client.xadd(key, dict((n, v) for n, v in letter.items() if n[:5] != "dead:"), id="*")
        assert client.xdel(dead, letter_id) == 1
    if client.xlen(dead):
        put_back(client, dead, key)
""",
    """
def put_back(client, dead, key):  # all of them, and then the deletions
    letters = client.xrange(dead)
    for _, letter in letters:
        client.xadd(key, {n: v for n, v in letter.items() if not n.startswith("dead:")})
    if letters:
        client.xdel(dead, *[letter_id for letter_id, _ in letters])
""",
    """
def put_back(client, dead, key):  # through a group of its own
    try:
        client.xgroup_create(dead, "mending", id="0")
    except redis.ResponseError:
        pass
    for position in ("0", ">"):
        reply = client.xreadgroup("mending", "olga", {dead: position})
        for letter_id, letter in reply[0][1] if reply else []:
            if letter:
                client.xadd(key, {n: v for n, v in letter.items() if not n.startswith("dead:")})
            client.xdel(dead, letter_id)
            client.xack(dead, "mending", letter_id)
""",
    """
def unpacked(letter):
    return {name: value for name, value in letter.items() if not name.startswith("dead:")}


def put_back(client, dead, key):
    last = "-"
    while page := client.xrange(dead, last, count=2):
        for letter_id, letter in page:
            client.xadd(key, unpacked(letter))
            client.xdel(dead, letter_id)
        last = "(" + page[-1][0]
""",
    """
def put_back(client, dead, key):
    reply = client.xread({dead: "0"})
    for _, letters in reply:
        for letter_id, letter in letters:
            letter.pop("dead:id")
            client.xadd(key, {n: v for n, v in letter.items() if not n.startswith("dead:")})
            client.xdel(dead, letter_id)
""",
    """
def put_back(client, dead, key):  # in one piece, having seen that it can be written to
    if client.type(key) != "stream":
        raise ValueError(f"{key} is not a stream")
    for letter_id, letter in client.xrange(dead):
        with client.pipeline(transaction=True) as multi:
            multi.xadd(key, {n: v for n, v in letter.items() if not n.startswith("dead:")})
            multi.xdel(dead, letter_id)
            multi.execute()
""",
    """
def put_back(client, dead, key):
    n = 0
    for letter_id, letter in client.xrange(dead, "-", "+"):
        order = {}
        for name, value in letter.items():
            if not name.startswith("dead:"):
                order[name] = value
        if client.xadd(key, order):
            n += client.xdel(dead, letter_id)
    return n
""",
    """
def put_back(client, dead, key):  # trims up to what has been put back
    letters = client.xrange(dead)
    for letter_id, letter in letters:
        client.xadd(key, {n: v for n, v in letter.items() if not n.startswith("dead:")})
        ms, seq = letter_id.split("-")
        client.xtrim(dead, minid=f"{ms}-{int(seq) + 1}", approximate=False)
""",
    """
def put_back(client, dead, key):  # the newest first
    for letter_id, letter in client.xrevrange(dead):
        try:
            client.xadd(key, {n: v for n, v in letter.items() if not n.startswith("dead:")})
        except redis.ResponseError:
            return
        client.xdel(dead, letter_id)
""",
]

STRIPPED = '{n: v for n, v in letter.items() if not n.startswith("dead:")}'
BACK = "def put_back(client, dead, key):"

BACK_WRONG = [
    Wrong("", "There is no answer yet."),
    Wrong("put_back = None", "None is not a function"),
    Wrong("put_back = []", "is not a function"),
    Wrong("def put_back(client): pass", "leave the first line"),
    Wrong(f"async {BACK} pass", "is an async function"),
    Wrong(f"{BACK} pass", "XADD each of them to the stream key"),
    Wrong(f"{BACK} client.xrange(dead)['1500-0']", "TypeError"),
    Wrong(f"{BACK} client.xread({{dead: '$'}}, block=0)", "leave out block="),
    Wrong(  # deletes first
        f"""
{BACK}
    for letter_id, letter in client.xrange(dead):
        client.xdel(dead, letter_id)
        client.xadd(key, {STRIPPED})
""",
        "XADD first, then XDEL",
    ),
    Wrong(  # deletes nothing
        f"""
{BACK}
    for letter_id, letter in client.xrange(dead):
        client.xadd(key, {STRIPPED})
""",
        "XDEL each of them once it has been put back",
    ),
    Wrong(  # XACK is no XDEL
        f"""
{BACK}
    client.xgroup_create(dead, "mending", id="0")
    for letter_id, letter in client.xreadgroup("mending", "olga", {{dead: ">"}})[0][1]:
        client.xadd(key, {STRIPPED})
        client.xack(dead, "mending", letter_id)
""",
        "XACK takes nothing out of a stream",
    ),
    Wrong(  # a group that cannot be made twice
        f"""
{BACK}
    client.xgroup_create(dead, "mending", id="0")
    for letter_id, letter in client.xreadgroup("mending", "olga", {{dead: ">"}})[0][1]:
        client.xadd(key, {STRIPPED})
        client.xdel(dead, letter_id)
""",
        "a group that an earlier call has made is there already",
    ),
    Wrong(  # a group, and no history
        f"""
{BACK}
    try:
        client.xgroup_create(dead, "mending", id="0")
    except redis.ResponseError:
        pass
    for _, letters in client.xreadgroup("mending", "olga", {{dead: ">"}}):
        for letter_id, letter in letters:
            client.xadd(key, {STRIPPED})
            client.xdel(dead, letter_id)
""",
        "what the first call has left must be found by the second",
    ),
    Wrong(  # with its envelope
        f"""
{BACK}
    for letter_id, letter in client.xrange(dead):
        client.xadd(key, letter)
        client.xdel(dead, letter_id)
""",
        "leave out the fields that begin with dead:",
    ),
    Wrong(  # half of it
        f"""
{BACK}
    for letter_id, letter in client.xrange(dead):
        letter.pop("dead:id")
        client.xadd(key, letter)
        client.xdel(dead, letter_id)
""",
        "leave out the fields that begin with dead:",
    ),
    Wrong(  # fields that are its own
        f"""
{BACK}
    for letter_id, letter in client.xrange(dead):
        client.xadd(key, {{"number": letter["number"]}})
        client.xdel(dead, letter_id)
""",
        "with all the fields that it had before",
    ),
    Wrong(  # under the old id
        f"""
{BACK}
    for letter_id, letter in client.xrange(dead):
        client.xadd(key, {STRIPPED}, id=letter["dead:id"])
        client.xdel(dead, letter_id)
""",
        "let Redis give the id (*)",
    ),
    Wrong(  # the whole stream
        f"""
{BACK}
    for letter_id, letter in client.xrange(dead):
        client.xadd(key, {STRIPPED})
    client.delete(dead)
""",
        "not the stream (DEL, XTRIM)",
    ),
    Wrong(
        f"""
{BACK}
    for letter_id, letter in client.xrange(dead):
        client.xadd(key, {STRIPPED})
    client.xtrim(dead, maxlen=0, approximate=False)
""",
        "not the stream (DEL, XTRIM)",
    ),
    Wrong(  # both or neither, one thinks
        f"""
{BACK}
    for letter_id, letter in client.xrange(dead):
        with client.pipeline(transaction=True) as multi:
            multi.xadd(key, {STRIPPED})
            multi.xdel(dead, letter_id)
            multi.execute()
""",
        "not both in MULTI",
    ),
    Wrong(  # swallows what goes wrong
        f"""
{BACK}
    for letter_id, letter in client.xrange(dead):
        try:
            client.xadd(key, {STRIPPED})
        except redis.ResponseError:
            pass
        client.xdel(dead, letter_id)
""",
        "XDEL only if XADD has succeeded",
    ),
    Wrong(  # the first only
        f"""
{BACK}
    ((letter_id, letter),) = client.xrange(dead, count=1)
    client.xadd(key, {STRIPPED})
    client.xdel(dead, letter_id)
""",
        "order 2 was put back 0 times",
    ),
    Wrong(  # never ends
        f"""
{BACK}
    while client.xlen(dead):
        for letter_id, letter in client.xrange(dead):
            client.xadd(key, {STRIPPED})
""",
        "what ends its loop?",
    ),
    Wrong(  # stops where there is nothing
        f"""
{BACK}
    while True:
        letter_id, letter = client.xrange(dead, count=1)[0]
        client.xadd(key, {STRIPPED})
        client.xdel(dead, letter_id)
""",
        "IndexError",
    ),
    Wrong(  # the wrong way round
        f"""
{BACK}
    for entry_id, fields in client.xrange(key):
        client.xadd(dead, fields)
        client.xdel(key, entry_id)
""",
        "add to it, and delete nothing there",
    ),
    Wrong(f"{BACK} client.set(key, 'x')", "leave keys and groups"),
]

EXERCISES = [
    Exercise(verdict="checks.gives_up(", right=LIMIT_RIGHT, wrong=LIMIT_WRONG),
    Exercise(verdict="checks.puts_back(", right=BACK_RIGHT, wrong=BACK_WRONG),
]
