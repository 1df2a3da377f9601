"""Answers to the exercises of lesson 15: right ones in other styles, and likely wrong ones."""

from __future__ import annotations

from streamlab.checks.choices import MEANS, SITUATIONS
from tests.checks.answers import Exercise, Wrong

# ---- exercise 1: what to choose ----------------------------------------------------------------------

BEST = {name: situation.best for name, situation in SITUATIONS.items()}

CHOICES_RIGHT = [
    """
my_choices = {
    "typing": "pub/sub", "thumbnails": "group", "dashboard": "stream",
    "orders": "two groups", "mail": "list", "clicks": "kafka",
}
""",
    """
my_choices = {"clicks": "Kafka", "mail": "List", "orders": "Two groups",
              "dashboard": "Stream", "thumbnails": "Group", "typing": "Pub/Sub"}
""",
    'my_choices = ["pub/sub", "group", "stream", "two groups", "list", "kafka"]',
    'my_choices = ("pubsub", "consumer group", "xread", "groups", "lists", "apache kafka")',
    """
my_choices = dict(
    typing="pub-sub", thumbnails="one group", dashboard="a stream", orders="2 groups", mail="BLMOVE", clicks="KAFKA"
)
""",
    """
names = "typing thumbnails dashboard orders mail clicks".split()
my_choices = dict(zip(names, ["pub/sub", "group", "stream", "two groups", "list", "kafka"]))
""",
    """
my_choices["typing"] = "pub/sub"
my_choices["thumbnails"] = "xreadgroup"
my_choices["dashboard"] = "XREAD"
my_choices["orders"] = "several groups"
my_choices["mail"] = "lpush"
my_choices["clicks"] = "kafka"
""",
    """
my_choices |= {"typing": "publish", "thumbnails": "a group", "dashboard": "stream with XREAD"}
my_choices |= {"orders": "consumer groups", "mail": "a list", "clicks": "a Kafka topic"}
""",
    """
STREAM = "stream"
my_choices = {"dashboard": STREAM, "thumbnails": f"{STREAM} + group", "orders": "two consumer groups",
              "typing": " pub/sub ", "mail": "Redis list", "clicks": "kafka"}
""",
    """
my_choices = {}
for means, name in [("pub/sub", "typing"), ("group", "thumbnails"), ("stream", "dashboard"),
                    ("two groups", "orders"), ("list", "mail"), ("kafka", "clicks")]:
    my_choices[name] = means
""",
]

#: Each of the thirty wrong choices, the others being right.
CHOICES_WRONG = [
    Wrong(f"my_choices = {BEST | {name: means}}", SITUATIONS[name].otherwise[means])
    for name in SITUATIONS
    for means in MEANS
    if means != BEST[name]
] + [
    Wrong("", "There is no answer yet."),
    Wrong("my_choices = ...", "There is no answer yet."),
    Wrong("my_choices = None", 'a dict: {"typing"'),
    Wrong('my_choices = "group"', 'a dict: {"typing"'),
    Wrong("my_choices = 6", 'a dict: {"typing"'),
    Wrong("my_choices = lambda: None", 'a dict: {"typing"'),
    Wrong("my_choices = {}", "no choice yet for typing, thumbnails"),
    Wrong('my_choices["typing"] = "pub/sub"', "no choice yet for thumbnails"),
    Wrong('my_choices = ["pub/sub", "group", "stream", "two groups", "list"]', "5 choices for 6"),
    Wrong(f"my_choices = {BEST | {'photos': 'group'}}", "no situation 'photos'"),
    Wrong(f"my_choices = {BEST | {'mail': 'rabbitmq'}}", "'rabbitmq' is none of the means"),
    Wrong(f"my_choices = {BEST | {'mail': None}}", "mail: None is none of the means"),
    Wrong(f"my_choices = {BEST | {'clicks': True}}", "clicks: True is none of the means"),
    Wrong('my_choices = ["group"] * 6', "(1 of 6 are right.)"),
]

# ---- exercise 2: a consumer of one's own ---------------------------------------------------------------

#: All were tried under 200 schedules. Here they are tried under one of each kind, which is quicker.
_FEWER = "N_SCHEDULES = 10\n"

_IN_STEPS = """
async def my_consumer(client, stream, group, consumer, handler, stop):
    async def work(entries):
        for entry_id, fields in entries:
            try:
                if fields:
                    await handler(entry_id, fields)
            except Exception:
                continue
            await client.xack(stream, group, entry_id)

    async def own_history():
        last_id = "0"
        while True:
            ((_, entries),) = await client.xreadgroup(group, consumer, {stream: last_id}, count=10)
            if not entries:
                return
            await work(entries)
            last_id = entries[-1][0]

    async def left_by_others():
        cursor = None
        while cursor != "0-0":
            cursor, entries, _ = await client.xautoclaim(
                stream, group, consumer, 200, cursor or "0-0", 10
            )
            await work(entries)

    async def new_ones():
        reply = await client.xreadgroup(group, consumer, {stream: ">"}, count=1, block=100)
        for _, entries in reply or ():
            await work(entries)

    is_back = True
    while not stop.is_set():
        try:
            if is_back:
                await own_history()
                is_back = False
            await left_by_others()
            await new_ones()
        except redis.ConnectionError:
            is_back = True
            await asyncio.sleep(0.1)
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error) and "UNBLOCKED" not in str(error):
                raise
            try:
                await client.xgroup_create(stream, group, id="0", mkstream=True)
            except redis.ResponseError:
                pass
            except redis.ConnectionError:
                is_back = True
"""

#: What most answers share: from what is done with entries to what is done about errors.
_FRAME = """
async def my_consumer(client, stream, group, consumer, handler, stop):
{helpers}
    back = True
    while not stop.is_set():
        try:
{turn}
        except redis.ConnectionError:
            back = True
            await asyncio.sleep(0.1)
        except redis.ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            back = True
            with contextlib.suppress(redis.ResponseError, redis.ConnectionError):
                await client.xgroup_create(stream, group, {create!r}, mkstream=True)
{at_exit}"""

_ONE_BY_ONE = """
    async def work(entries):
        for entry_id, fields in entries:
            try:
                if fields:
                    await handler(entry_id, fields)
            except Exception:
                continue
            await client.xack(stream, group, entry_id)
"""

_TURN = """
            if back:
                start = "0"
                while True:
                    ((_, entries),) = await client.xreadgroup(group, consumer, {stream: start}, count=10)
                    if not entries:
                        break
                    await work(entries)
                    start = entries[-1][0]
                back = False
            cursor = "0-0"
            while True:
                cursor, entries, _ = await client.xautoclaim(stream, group, consumer, 200, cursor, 10)
                await work(entries)
                if cursor == "0-0":
                    break
            reply = await client.xreadgroup(group, consumer, {stream: ">"}, count=1, block=100)
            await work(reply[0][1] if reply else [])
"""


def framed(helpers: str = _ONE_BY_ONE, turn: str = _TURN, *, create: str = "0", at_exit: str = "") -> str:
    """Return a consumer of these parts."""
    return _FRAME.format(helpers=helpers.strip("\n"), turn=turn.strip("\n"), create=create, at_exit=at_exit)


def but(old: str, new: str, text: str = _TURN) -> str:
    """Return a part with something else in one place."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


_BATCH = """
    async def work(entries):
        done = []
        for entry_id, fields in entries:
            with contextlib.suppress(Exception):
                if fields:
                    await handler(entry_id, fields)
                done.append(entry_id)
        if done:
            await client.xack(stream, group, *done)
"""

_GATHER = """
    async def one(entry_id, fields):
        if fields:
            await handler(entry_id, fields)
        await client.xack(stream, group, entry_id)

    async def work(entries):
        results = await asyncio.gather(*(one(*entry) for entry in entries), return_exceptions=True)
        for error in results:
            if isinstance(error, redis.RedisError):
                raise error
"""

_RETRY = """
    async def work(entries):
        for entry_id, fields in entries:
            for attempt in range(5):
                try:
                    if fields:
                        await handler(entry_id, fields)
                except Exception:
                    await asyncio.sleep(0.01 * 2**attempt)
                else:
                    await client.xack(stream, group, entry_id)
                    break
"""

_HEART = """
    held = []

    async def beat():
        while True:
            await asyncio.sleep(0.02)
            with contextlib.suppress(redis.RedisError):
                if held:
                    await client.xclaim(stream, group, consumer, 0, held, justid=True)

    async def work(entries):
        for entry_id, fields in entries:
            held.append(entry_id)
            try:
                if fields:
                    await handler(entry_id, fields)
                await client.xack(stream, group, entry_id)
            except redis.RedisError:
                raise
            except Exception:
                pass
            finally:
                held.clear()

    heart = asyncio.create_task(beat())
"""

_XCLAIM_TURN = """
            for line in await client.xpending_range(stream, group, "-", "+", 100, idle=200):
                await work(await client.xclaim(stream, group, consumer, 200, [line["message_id"]]))
            for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, 1, 100) or []:
                await work(entries)
"""

_NO_HISTORY_TURN = """
            cursor = None
            while cursor != "0-0":
                cursor, entries, *_ = await client.xautoclaim(
                    name=stream, groupname=group, consumername=consumer, min_idle_time=200,
                    start_id=cursor or "0-0", count=5,
                )
                await work(entries)
            reply = await client.xreadgroup(
                groupname=group, consumername=consumer, streams={stream: ">"}, count=1, block=50
            )
            if reply:
                await work(reply[0][1])
"""

_JUSTID_TURN = """
            lines = await client.xpending_range(stream, group, "-", "+", 100, idle=200)
            if lines and not back:
                ids = [line["message_id"] for line in lines]
                await client.xclaim(stream, group, consumer, 200, ids, justid=True)
            start = "0" if back or lines else ">"
            while start != ">":
                reply = await client.xreadgroup(group, consumer, {stream: start}, count=10)
                entries = reply[0][1]
                await work(entries)
                start = entries[-1][0] if entries else ">"
            back = False
            for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, 1, 100) or ():
                await work(entries)
"""

_TWO_TASKS = """
async def my_consumer(client, stream, group, consumer, handler, stop):
    at_work = asyncio.Lock()

    async def work(entries):
        for entry_id, fields in entries:
            async with at_work:
                try:
                    if fields:
                        await handler(entry_id, fields)
                except Exception:
                    continue
                await client.xack(stream, group, entry_id)

    async def read():
        for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, 1, 200) or ():
            await work(entries)

    async def reclaim():
        cursor = "0-0"
        while True:
            cursor, entries, _ = await client.xautoclaim(stream, group, consumer, 200, cursor, 10)
            await work(entries)
            if cursor == "0-0":
                break
        await asyncio.sleep(0.1)

    async def again(step):
        while not stop.is_set():
            try:
                await step()
            except redis.ConnectionError:
                await asyncio.sleep(0.1)
            except redis.ResponseError:
                with contextlib.suppress(redis.RedisError):
                    await client.xgroup_create(stream, group, id="0", mkstream=True)

    await asyncio.gather(again(read), again(reclaim))
"""

_PIPELINE = """
async def my_consumer(client, stream, group, consumer, handler, stop):
    done, back = [], True

    async def work(entries):
        for entry_id, fields in entries:
            try:
                if fields:
                    await handler(entry_id, fields)
            except Exception:
                continue
            done.append(entry_id)

    async def settle():
        if done:
            await client.xack(stream, group, *done)
            done.clear()

    while not stop.is_set():
        try:
            if back:
                done.clear()
                ((_, entries),) = await client.xreadgroup(group, consumer, {stream: "0"})
                await work(entries)
                await settle()
                back = False
            cursor = None
            while cursor != "0-0":
                cursor, entries, _ = await client.xautoclaim(stream, group, consumer, 200, cursor or "0-0")
                await work(entries)
                await settle()
            reply = await client.xreadgroup(group, consumer, {stream: ">"}, count=1, block=100)
            await work(reply[0][1] if reply else [])
            await settle()
        except redis.ConnectionError:
            back = True
            await asyncio.sleep(0.1)
        except redis.ResponseError:
            back = True
            with contextlib.suppress(redis.RedisError):
                await client.xgroup_create(stream, group, id="0", mkstream=True)
"""

_PARTIAL = """
import functools

class Worker:
    def __init__(self, client, stream, group, consumer, handler):
        self.client, self.stream, self.group, self.consumer = client, stream, group, consumer
        self.handler, self.start, self.n_failed = handler, "0", 0

    async def work(self, entries):
        for entry_id, fields in entries:
            try:
                if fields:
                    await self.handler(entry_id, fields)
            except Exception:
                self.n_failed += 1
                continue
            await self.client.xack(self.stream, self.group, entry_id)

    async def step(self, count, min_idle):
        reply = await self.client.xreadgroup(
            self.group, self.consumer, {self.stream: self.start}, count=count, block=100
        )
        entries = reply[0][1] if reply else []
        if self.start != ">":
            self.start = entries[-1][0] if entries else ">"
        await self.work(entries)
        if self.start == ">":
            cursor = b"0-0"
            while cursor not in ("0-0",):
                cursor, entries, _ = await self.client.xautoclaim(
                    self.stream, self.group, self.consumer, min_idle, cursor
                )
                await self.work(entries)

async def run(count, min_idle, client, stream, group, consumer, handler, stop):
    worker = Worker(client, stream, group, consumer, handler)
    while not stop.is_set():
        try:
            await worker.step(count, min_idle)
        except redis.RedisError as error:
            worker.start = "0"
            if isinstance(error, redis.ConnectionError):
                await asyncio.sleep(0.05)
            elif "NOGROUP" in str(error) or "UNBLOCKED" in str(error):
                with contextlib.suppress(redis.RedisError):
                    await client.xgroup_create(stream, group, "0", True)
            else:
                raise

my_consumer = functools.partial(run, 1, 200)
"""

CONSUMER_RIGHT = [
    _FEWER + _IN_STEPS,
    _FEWER + framed(),
    _FEWER + framed(turn=_XCLAIM_TURN),
    _FEWER + framed(turn=_NO_HISTORY_TURN),
    _FEWER + framed(turn=_JUSTID_TURN),
    _FEWER + framed(_BATCH, but("count=1,", "count=3,")),
    _FEWER + framed(_GATHER, but("count=1,", "count=4,")),
    _FEWER + framed(_RETRY),
    _FEWER
    + framed(
        _HEART, but("200, cursor, 10", "100, cursor, 1", but("block=100", "block=50")), at_exit="    heart.cancel()"
    ),
    _FEWER + _TWO_TASKS,
    _FEWER + _PIPELINE,
    _FEWER + _PARTIAL,
]

_ONE_READ = """
            reply = await client.xreadgroup(group, consumer, {stream: "START"}, count=1, block=100)
            await work(reply[0][1] if reply else [])
"""

_ACK_FIRST = """
    async def work(entries):
        for entry_id, fields in entries:
            await client.xack(stream, group, entry_id)
            if fields:
                await handler(entry_id, fields)
"""

_ACK_WHATEVER_HAPPENS = """
    async def work(entries):
        for entry_id, fields in entries:
            with contextlib.suppress(Exception):
                if fields:
                    await handler(entry_id, fields)
            await client.xack(stream, group, entry_id)
"""

_ACK_NEVER = but("            await client.xack(stream, group, entry_id)\n", "", _ONE_BY_ONE)

_CLAIM_ONCE = _TURN.replace(
    "while True:\n                cursor", "while n_claims < 1:\n                cursor"
).replace("cursor, 10)\n", "cursor, 10)\n                n_claims += 1\n")

_END_WHEN_EMPTY = but(
    "await work(reply[0][1] if reply else [])",
    "if not reply:\n                return\n            await work(reply[0][1])",
)

_RIGHT = framed()
_CREATE = "await client.xgroup_create(stream, group, '0', mkstream=True)"
_WAIT = "redis.ConnectionError:\n            back = True\n            await asyncio.sleep(0.1)"

_NOTHING_MORE = "    await client.xgroup_delconsumer(stream, group, consumer)"
_HANDLER_NOT_AWAITED = but("await handler", "handler", _ONE_BY_ONE)
_XACK_NOT_AWAITED = but("await client.xack", "client.xack", _ONE_BY_ONE)
_XACK_TURNED_ROUND = but("xack(stream, group", "xack(group, stream", _ONE_BY_ONE)

CONSUMER_WRONG = [
    Wrong("", "There is no answer yet."),
    Wrong("my_consumer = None", "None is no"),
    Wrong("my_consumer = 200", "200 is no"),
    # Called, where the function itself is asked for.
    Wrong("my_consumer = draft(None, '', '', '', None, asyncio.Event())", "without brackets"),
    # Without async; with other arguments; with a mistake.
    Wrong("def my_consumer(client, stream, group, consumer, handler, stop):\n    pass", "async def"),
    Wrong("async def my_consumer(client, stream):\n    pass", "argument"),
    Wrong("async def my_consumer(*all_of_them):\n    raise KeyError('order')", "KeyError"),
    # As it was given; XACK before the effect, in an answer that is right otherwise.
    Wrong("my_consumer = draft", "XACK after the effect"),
    Wrong(framed(_ACK_FIRST), "XACK after the effect"),
    # Acknowledged though the handler failed; never; another key's.
    Wrong(framed(_ACK_WHATEVER_HAPPENS), "its handler had failed"),
    Wrong(framed(_ACK_NEVER), "was not acknowledged"),
    Wrong(framed(_XACK_TURNED_ROUND), "was not acknowledged"),
    # Without await, nothing happens.
    Wrong(framed(_HANDLER_NOT_AWAITED), "await handler("),
    Wrong(framed(_XACK_NOT_AWAITED), "XACK was called without await"),
    # NOACK: what a dead worker held is nowhere.
    Wrong(framed(turn=but("block=100", "block=100, noack=True")), "NOACK"),
    # Only own history and new entries, as if the dead were always started again; only new ones; only history.
    Wrong(
        framed(turn=_TURN.replace("while True:\n                cursor", "while False:\n                cursor")),
        "XAUTOCLAIM",
    ),
    Wrong(framed(turn=_ONE_READ.replace("START", ">")), "XAUTOCLAIM"),
    Wrong(framed(turn=_ONE_READ.replace("START", "0")), "XREADGROUP ignores BLOCK"),
    # Own history at every turn: what fails there is tried again and again, and nothing is ever idle.
    Wrong(framed(turn=but("                back = False\n", "")), "resets its idle time"),
    # Takes over when it starts, and never again.
    Wrong(framed("    n_claims = 0\n" + _ONE_BY_ONE, _CLAIM_ONCE), "not only once"),
    # Stops at the first empty page; takes the first page only.
    Wrong(framed(turn=but('if cursor == "0-0":', 'if cursor == "0-0" or not entries:')), "before the list has ended"),
    Wrong(
        framed(turn=but('                if cursor == "0-0":\n                    break', "                break")),
        "before the list has ended",
    ),
    # Min-idle: none; shorter than the work; far longer; longer than anything lasts; in seconds.
    Wrong(framed(turn=but("200, cursor, 10", "0, cursor, 10")), "min-idle is 0 ms"),
    Wrong(framed(turn=but("200, cursor, 10", "5, cursor, 10")), "min-idle"),
    Wrong(framed(turn=but("200, cursor, 10", "2000, cursor, 10")), "min-idle is 2000 ms"),
    Wrong(framed(turn=but("200, cursor, 10", "200_000, cursor, 10")), "min-idle is 200000 ms"),
    Wrong(framed(turn=but("200, cursor, 10", "0.2, cursor, 10")), "Invalid min-idle-time"),
    # COUNT 100: what waits behind others within a worker looks idle.
    Wrong(framed(turn=but("count=1,", "count=100,")), "prefetched"),
    # BLOCK 0 and BLOCK 5000: sits there while others have died. No BLOCK: asks in a circle.
    Wrong(framed(turn=but("block=100", "block=0")), "not too long"),
    Wrong(framed(turn=but("block=100", "block=5000")), "more often"),
    Wrong(framed(turn=but(", block=100", "")), "without BLOCK"),
    # The group begins again at $.
    Wrong(framed(create="$"), "again at $"),
    # A lost connection: not caught; taken for the end; asked again without a pause.
    Wrong(but(_WAIT, "ZeroDivisionError:\n            pass", _RIGHT), "to be waited out"),
    Wrong(but(_WAIT, "redis.ConnectionError:\n            return", _RIGHT), "go on until stop is set"),
    Wrong(but(_WAIT, "redis.ConnectionError:\n            back = True", _RIGHT), "asyncio.sleep("),
    # A lost group: not caught; not made again; made by two at once; a blocked reader hears another word.
    Wrong(but("redis.ResponseError as error", "ZeroDivisionError as error", _RIGHT), "make it again"),
    Wrong(but(_CREATE, "await asyncio.sleep(0.1)", _RIGHT), "not made again"),
    Wrong(
        but("with contextlib.suppress(redis.ResponseError, redis.ConnectionError)", "if True", _RIGHT),
        "BUSYGROUP is no error",
    ),
    Wrong(but('("NOGROUP", "UNBLOCKED")', '"NOGROUP"', _RIGHT), "UNBLOCKED"),
    # Ends when there is nothing to read; never ends.
    Wrong(framed(turn=_END_WHEN_EMPTY), "go on until stop is set"),
    Wrong(but("while not stop.is_set():", "while True:", _RIGHT), "look at stop before each read"),
    # Removes itself from the group when it goes, with what it holds.
    Wrong(framed(at_exit=_NOTHING_MORE), "DELCONSUMER destroys what is pending"),
    # Takes what XAUTOCLAIM JUSTID gives for entries.
    Wrong(framed(turn=but("200, cursor, 10)", "200, cursor, 10, justid=True)")), "ended by itself"),
    # Needs a newer server: this one is like Redis 7.0.
    Wrong(framed(turn=but("block=100", "block=100, claim_min_idle_time=200")), "ResponseError"),
]

EXERCISES = [
    Exercise(verdict="checks.choices(", right=CHOICES_RIGHT, wrong=CHOICES_WRONG),
    Exercise(verdict="checks.recovery(my_consumer", right=CONSUMER_RIGHT, wrong=CONSUMER_WRONG),
]
