"""Answers to the exercises of lesson 07: right ones in other styles, and likely wrong ones."""

from tests.checks.answers import Exercise, Wrong

# ---- the alarm -------------------------------------------------------------------------------------

ALARM = "def my_alarms(group, consumers, pending, now):\n"

#: The lines of a right answer, by what they are about; wrong ones have another line, or none.
LINES = {
    "begin": "    found = set()\n",
    "unknown": "    if group['lag'] is None:\n        found.add('unknown')\n",
    "behind": "    if group['lag'] is not None and group['lag'] > BEHIND:\n        found.add('behind')\n",
    "old": "    for row in pending:\n"
    "        if now - int(row['message_id'].split('-')[0]) > OLD:\n            found.add('old')\n",
    "failing": "    for row in pending:\n"
    "        if row['times_delivered'] > OFTEN:\n            found.add('failing')\n",
    "dead": "    for one in consumers:\n"
    "        if one['idle'] > SILENT and one['pending'] > 0:\n            found.add('dead')\n",
    "end": "    return found\n",
}


def alarm(**lines: str) -> str:
    """Return the answer with other lines for some of its parts."""
    return ALARM + "".join((LINES | lines).values())


alarms = Exercise(
    verdict="checks.alarms(",
    right=[
        alarm(),
        # with else, and the two loops in one
        alarm(
            unknown="    lag = group['lag']\n    if lag is None:\n        found.add('unknown')\n"
            "    elif lag > BEHIND:\n        found.add('behind')\n",
            behind="",
        ),
        alarm(unknown="    if not isinstance(group['lag'], int):\n        found |= {'unknown'}\n"),
        alarm(behind="    if (group['lag'] or 0) > BEHIND:\n        found.add('behind')\n"),
        # a list, a tuple, a frozenset, a generator; words that come twice
        alarm(end="    return sorted(found)\n"),
        alarm(end="    return tuple(found)\n"),
        alarm(end="    return frozenset(found)\n"),
        alarm(end="    yield from found\n"),
        alarm(end="    return [*found, *found]\n"),
        # XPENDING is in the order of the ids: the first row is the oldest
        alarm(
            old="    if pending and now - int(pending[0]['message_id'].partition('-')[0]) > OLD:\n"
            "        found.add('old')\n"
        ),
        alarm(
            old="    added = [float(r['message_id'].replace('-', '.')) for r in pending]\n"
            "    oldest = min(added, default=now)\n"
            "    if now > oldest + OLD:\n        found.add('old')\n"
        ),
        # in seconds
        alarm(
            old="    ages = [now / 1000 - int(r['message_id'].split('-')[0]) / 1000 for r in pending]\n"
            "    if ages and max(ages) > 600:\n        found.add('old')\n"
        ),
        alarm(
            failing="    if max([r['times_delivered'] for r in pending], default=0) >= OFTEN + 1:\n"
            "        found.add('failing')\n"
        ),
        # who holds something, by the list of pending entries
        alarm(
            dead="    silent = {c['name'] for c in consumers if c['idle'] > SILENT}\n"
            "    if silent & {row['consumer'] for row in pending}:\n        found.add('dead')\n"
        ),
        # all at once
        ALARM + "    held = [c for c in consumers if c['pending']]\n"
        "    return {word for word, so in (\n"
        "        ('unknown', group.get('lag') is None),\n"
        "        ('behind', group.get('lag') is not None and group['lag'] > BEHIND),\n"
        "        ('old', any(now - int(r['message_id'].split('-')[0]) > OLD for r in pending)),\n"
        "        ('failing', any(r['times_delivered'] > OFTEN for r in pending)),\n"
        "        ('dead', any(c['idle'] > SILENT for c in held)),\n"
        "    ) if so}\n",
        # a match, and pandas
        ALARM + "    import pandas as pd\n"
        "    rows = pd.DataFrame(pending, columns=['message_id', 'times_delivered'])\n"
        "    ages = now - rows.message_id.str.split('-').str[0].astype('int64')\n"
        "    found = []\n"
        "    match group['lag']:\n"
        "        case None:\n            found.append('unknown')\n"
        "        case lag if lag > BEHIND:\n            found.append('behind')\n"
        "    if (ages > OLD).any():\n        found.append('old')\n"
        "    if (rows.times_delivered > OFTEN).any():\n        found.append('failing')\n"
        "    if [c for c in consumers if c['idle'] > SILENT and c['pending']]:\n        found.append('dead')\n"
        "    return found\n",
        "my_alarms = lambda group, consumers, pending, now: {\n"
        "    *(['unknown'] if group['lag'] is None else ['behind'] if group['lag'] > BEHIND else []),\n"
        "    *('old' for r in pending if now - int(r['message_id'].split('-')[0]) > OLD),\n"
        "    *('failing' for r in pending if r['times_delivered'] > OFTEN),\n"
        "    *('dead' for c in consumers if c['idle'] > SILENT and c['pending']),\n"
        "}\n",
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("my_alarms = None", "is not a function"),
        Wrong("my_alarms = {'old', 'dead'}", "is not a function"),
        Wrong(alarm(end=""), "ends without `return`"),
        Wrong(alarm(end="    return 'old'\n"), "a set of words"),
        Wrong(alarm(end="    return bool(found)\n"), "a set of words"),
        Wrong(alarm(end="    return {'old': 'old' in found}\n"), "a set of words"),
        Wrong(alarm(end="    return {word + '!' for word in found} | {'late'}\n"), "none of the alarms"),
        Wrong("def my_alarms(group, consumers, pending):\n    return set()", "leave the first line"),
        Wrong("async def my_alarms(group, consumers, pending, now):\n    return set()", "without await"),
        # the lag that is None
        Wrong(alarm(unknown="", behind="    if group['lag'] > BEHIND:\n        found.add('behind')\n"),
              "the lag is None here"),
        Wrong(alarm(unknown=""), "neither 0 nor a large number"),
        Wrong(alarm(unknown="    if not group['lag']:\n        found.add('unknown')\n"), "`is None`"),
        Wrong(alarm(unknown="    if group['lag'] == 'None':\n        found.add('unknown')\n"),
              "neither 0 nor a large number"),
        # the lag that is a number
        Wrong(alarm(behind=""), "the lag"),
        Wrong(alarm(behind="    if (group['lag'] or 0) > 0:\n        found.add('behind')\n"),
              "what was not delivered"),
        Wrong(alarm(behind="    if group['pending'] > BEHIND:\n        found.add('behind')\n"), "the lag"),
        Wrong(alarm(behind="    if group['lag'] is None or group['lag'] > BEHIND:\n        found.add('behind')\n"),
              "the lag is None"),
        # the age
        Wrong(alarm(old=""), "Its id does"),
        Wrong(alarm(old="    if any(r['time_since_delivered'] > OLD for r in pending):\n        found.add('old')\n"),
              "starts again with each claim"),
        Wrong(alarm(old="    for c in consumers:\n        if c['idle'] > OLD:\n            found.add('old')\n"),
              "nothing that is pending"),
        Wrong(alarm(old="    for r in pending:\n        if now - int(r['message_id'].split('-')[0]) > OLD / 1000:\n"
                    "            found.add('old')\n"), "is in ms"),
        Wrong(alarm(old="    if any(now - r['message_id'] > OLD for r in pending):\n        found.add('old')\n"),
              "TypeError"),
        Wrong(alarm(old="    for r in pending:\n        if now - int(r['message_id'][:-2]) > OLD:\n"
                    "            found.add('old')\n"), "ValueError"),
        # the deliveries
        Wrong(alarm(failing=""), "times_delivered"),
        Wrong(alarm(failing="    for row in pending:\n        if row['times_delivered'] >= OFTEN:\n"
                    "            found.add('failing')\n"), "more than 5 are too many"),
        Wrong(alarm(failing="    n = sum(r['times_delivered'] for r in pending)\n"
                    "    if n > OFTEN:\n        found.add('failing')\n"),
              "more than 5 are too many"),
        # the dead
        Wrong(alarm(dead=""), "Look at all of them"),
        Wrong(alarm(dead="    for c in consumers:\n        if c['idle'] > SILENT:\n            found.add('dead')\n"),
              "waits for work"),
        Wrong(alarm(dead="    for c in consumers:\n        if c['idle'] > 60 and c['pending']:\n"
                    "            found.add('dead')\n"), "its idle, in ms"),
        Wrong(alarm(dead="    if consumers and consumers[0]['idle'] > SILENT and consumers[0]['pending']:\n"
                    "        found.add('dead')\n"), "Look at all of them"),
        Wrong(alarm(dead="    for r in pending:\n        if r['time_since_delivered'] > SILENT:\n"
                    "            found.add('dead')\n"), "how long ago the entry was delivered"),
    ],
)  # fmt: skip

# ---- the consumer ------------------------------------------------------------------------------------

#: All were tried under 60 schedules; here most of them are under one of each kind, which is quicker.
_FEWER = "N_SCHEDULES = 10\n"
CONSUMER = "async def my_consume(client, stream, group, consumer, handler, stop):\n"

_READ = """
            reply = await client.xreadgroup(group, consumer, {stream: last_id}, 10, 100)
            entries = reply[0][1] if reply else []
"""
_DO = """
            await work_off(client, stream, group, handler, stop, entries)
"""
_CLAIM = """
            await take_over(client, stream, group, consumer, handler, stop)
"""
_NEXT = """
            last_id = entries[-1][0] if entries and last_id != ">" else ">"
"""
_ERRORS = """
        except (redis.ConnectionError, redis.TimeoutError):
            last_id = "0"
            await asyncio.sleep(0.1)
        except redis.ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            last_id = "0"
            await asyncio.sleep(0.1)
"""


def consumer(
    *,
    begin: str = '"0"',
    group: str = "await make_group(client, stream, group)",
    read: str = _READ,
    do: str = _DO,
    claim: str = _CLAIM,
    next_id: str = _NEXT,
    errors: str = _ERRORS,
    until: str = "not stop.is_set()",
) -> str:
    """Return a right answer, with something else in some of its places."""
    head = f"    last_id = {begin}\n    while {until}:\n        try:\n"
    made = f"            if last_id == '0':\n                {group}\n"
    return CONSUMER + head + made + "".join(p.lstrip("\n") for p in (read, do, claim, next_id, errors))


def but(old: str, new: str, text: str) -> str:
    """Return a text with something else in one place."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


#: consumer.py, function by function.
AS_IN_THE_FILE = (
    CONSUMER
    + """
    async def consume():
        last_id, next_look = "0", 0.0
        clock = asyncio.get_running_loop().time
        while not stop.is_set():
            reply = await client.xreadgroup(group, consumer, {stream: last_id}, 10, 100)
            entries = reply[0][1] if reply else []
            await work_off(client, stream, group, handler, stop, entries)
            if last_id != ">":
                last_id = entries[-1][0] if entries else ">"
            elif clock() >= next_look:
                await take_over(client, stream, group, consumer, handler, stop)
                next_look = clock() + 0.1

    while not stop.is_set():
        try:
            await make_group(client, stream, group)
            await consume()
        except redis.ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            await asyncio.sleep(0.05)
        except redis.AuthenticationError:
            raise
        except (redis.ConnectionError, redis.TimeoutError):
            await asyncio.sleep(0.1)
"""
)

#: History, then new entries, in two loops.
TWO_LOOPS = (
    CONSUMER
    + """
    async def do(entries):
        await work_off(client, stream, group, handler, stop, entries)

    while not stop.is_set():
        try:
            await make_group(client, stream, group)
            start = "0"
            while not stop.is_set():
                ((_, entries),) = await client.xreadgroup(group, consumer, {stream: start}, count=5)
                if not entries:
                    break
                await do(entries)
                start = entries[-1][0]
            while not stop.is_set():
                await take_over(client, stream, group, consumer, handler, stop)
                for _, entries in await client.xreadgroup(group, consumer, {stream: ">"}, 5, 50) or ():
                    await do(entries)
        except redis.RedisError:
            await asyncio.sleep(0.1)
"""
)

#: Without any of the functions that are given, one entry at a time, ids as keywords.
ALL_BY_ITSELF = (
    CONSUMER
    + """
    async def one(entry_id, fields):
        if fields:
            await handler(entry_id, fields)
        await client.xack(stream, group, entry_id)

    start = "0"
    while not stop.is_set():
        try:
            reply = await client.xreadgroup(
                groupname=group, consumername=consumer, streams={stream: start}, count=1, block=100
            )
            entries = [entry for _, entries in reply or () for entry in entries]
            for entry in entries:
                await one(*entry)
            if start != ">":
                start = entries[-1][0] if entries else ">"
                continue
            cursor = b""
            while cursor != "0-0" and not stop.is_set():
                cursor, entries, *_ = await client.xautoclaim(
                    stream, group, consumer, min_idle_time=200, start_id=cursor or "0-0", count=1
                )
                for entry in entries:
                    await one(*entry)
        except redis.ConnectionError:
            start = "0"
            await asyncio.sleep(0.05)
        except redis.ResponseError:
            start = "0"
            await asyncio.sleep(0.05)
            with contextlib.suppress(redis.RedisError):
                await client.xgroup_create(stream, group, "0", True)
"""
)

#: Without a history: what was its own is taken over by XAUTOCLAIM in the end, as all else is.
ONLY_CLAIMS = (
    CONSUMER
    + """
    while not stop.is_set():
        try:
            await make_group(client, stream, group)
            await take_over(client, stream, group, consumer, handler, stop)
            reply = await client.xreadgroup(group, consumer, {stream: ">"}, count=1, block=50)
            for _, entries in reply or []:
                await work_off(client, stream, group, handler, stop, entries)
        except (redis.ConnectionError, redis.ResponseError):
            await asyncio.sleep(0.1)
"""
)

#: XPENDING and XCLAIM in place of XAUTOCLAIM.
LOOKS_FIRST = consumer(
    claim="""
            for row in await client.xpending_range(stream, group, "-", "+", 100, idle=200):
                claimed = await client.xclaim(stream, group, consumer, 200, [row["message_id"]])
                await work_off(client, stream, group, handler, stop, claimed)
"""
)

#: A handler that fails is not the end: its entry stays pending, and its time comes again.
PATIENT = (
    CONSUMER
    + """
    async def do(entries):
        for entry_id, fields in entries:
            try:
                if fields:
                    await handler(entry_id, fields)
            except redis.RedisError:
                raise
            except Exception:
                continue
            await client.xack(stream, group, entry_id)

    async def turn(start):
        cursor = "0-0"
        while True:
            cursor, entries, _ = await client.xautoclaim(stream, group, consumer, 250, cursor, 10)
            await do(entries)
            if cursor == "0-0":
                break
        reply = await client.xreadgroup(group, consumer, {stream: start}, 3, 100)
        entries = reply[0][1] if reply else []
        await do(entries)
        return entries[-1][0] if start != ">" and entries else ">"

    start = "0"
    while not stop.is_set():
        try:
            start = await turn(start)
        except (redis.ConnectionError, redis.TimeoutError):
            start, _ = "0", await asyncio.sleep(0.1)
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error) and "UNBLOCKED" not in str(error):
                raise
            start, _ = "0", await asyncio.sleep(0.1)
            with contextlib.suppress(redis.RedisError):
                await make_group(client, stream, group)
"""
)

#: One XACK for all that a read has brought.
IN_BATCHES = consumer(
    do="""
            done = []
            for entry_id, fields in entries:
                if fields:
                    await handler(entry_id, fields)
                done.append(entry_id)
            if done:
                await client.xack(stream, group, *done)
"""
)

#: A task of its own for what others left, and a lock, so that one entry is done at a time.
TWO_TASKS = (
    CONSUMER
    + """
    lock = asyncio.Lock()

    async def read(start=["0"]):
        reply = await client.xreadgroup(group, consumer, {stream: start[0]}, 2, 100)
        entries = reply[0][1] if reply else []
        async with lock:
            await work_off(client, stream, group, handler, stop, entries)
        start[0] = entries[-1][0] if entries and start[0] != ">" else ">"

    async def claim():
        async with lock:
            await take_over(client, stream, group, consumer, handler, stop)
        await asyncio.sleep(0.1)

    async def again(step):
        while not stop.is_set():
            try:
                await step()
            except redis.RedisError:
                read.__defaults__[0][0] = "0"
                await asyncio.sleep(0.1)
                with contextlib.suppress(redis.RedisError):
                    await make_group(client, stream, group)

    await asyncio.gather(again(read), again(claim))
"""
)

#: The package's own.
LIFTED = (
    CONSUMER
    + """
    from streamlab.actors import Recovery, consume

    recovery = Recovery("autoclaim", min_idle=0.2)
    await consume(
        client, stream, group, consumer, handler, block=0.1, recovery=recovery, stop=stop, must_exist=False
    )
"""
)

#: A function of more arguments, of which some are given beforehand.
PARTIAL = (
    consumer()
    .replace("def my_consume(client", "def run(first, client")
    .replace('last_id = "0"\n    while', "last_id = first\n    while")
    + """
import functools
my_consume = functools.partial(run, "0")
"""
)

consumers = Exercise(
    verdict="checks.recovery(",
    right=[
        AS_IN_THE_FILE,
        *(_FEWER + answer for answer in (
            TWO_LOOPS, ALL_BY_ITSELF, ONLY_CLAIMS, LOOKS_FIRST, PATIENT, IN_BATCHES, TWO_TASKS, LIFTED, PARTIAL,
            consumer(), consumer(read=but("10, 100", "1, 20", _READ)),
        )),
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("my_consume = None", "None"),
        Wrong("my_consume = 20", "20"),
        Wrong("my_consume = careless", "ConnectionError"),
        Wrong(CONSUMER + "    ...\n", "nothing had asked it"),
        Wrong(CONSUMER.removeprefix("async ") + "    pass\n", "async"),
        Wrong(CONSUMER.replace(", stop", "") + "    pass\n", "six arguments"),
        Wrong(CONSUMER + "    raise KeyError('order')\n", "KeyError"),
        # await is left out
        Wrong(consumer(claim=but("await take_over", "take_over", _CLAIM)), "still pending"),
        Wrong(
            consumer(do="""
            for entry_id, fields in entries:
                if fields:
                    handler(entry_id, fields)
                await client.xack(stream, group, entry_id)
"""), "await handler"),
        # no errors are expected; or they are the end
        Wrong(consumer(errors="        finally:\n            pass\n"), "ConnectionError"),
        Wrong(
            consumer(errors=but("redis.ConnectionError, redis.TimeoutError", "redis.TimeoutError", _ERRORS)),
            "ConnectionError",
        ),
        Wrong(consumer(errors="        except redis.RedisError:\n            return\n"), "nothing had asked it"),
        Wrong(
            consumer(errors=but("redis.ResponseError as error", "ZeroDivisionError as error", _ERRORS)), "NOGROUP"
        ),
        Wrong(consumer(errors=but('("NOGROUP", "UNBLOCKED")', '"NOGROUP"', _ERRORS)), "UNBLOCKED"),
        # after an error it goes on where it was: its history is not read again
        Wrong(consumer(errors=_ERRORS.replace('            last_id = "0"\n', "")), "not made again"),
        # the group
        Wrong(consumer(group="pass"), "not made again"),
        Wrong(
            consumer(group="await client.xgroup_create(stream, group, id='0', mkstream=True)"), "BUSYGROUP"
        ),
        Wrong(
            consumer(
                group="with contextlib.suppress(redis.ResponseError):\n"
                "                    await client.xgroup_create(stream, group, id='$', mkstream=True)"
            ),
            "lost",
        ),
        # nobody takes over
        Wrong(consumer(claim=""), "still pending"),
        # only the history, again and again; no history, and therefore no group
        Wrong(consumer(next_id=""), "own history again and again"),
        Wrong(consumer(begin="'>'", errors=_ERRORS.replace('"0"', "'>'")), "not made again"),
        # XACK before the effect; never; whatever happens
        Wrong(
            consumer(do="""
            for entry_id, fields in entries:
                await client.xack(stream, group, entry_id)
                await handler(entry_id, fields)
"""), "XACK after the effect"),
        Wrong(
            consumer(do="""
            for entry_id, fields in entries:
                await handler(entry_id, fields)
"""), "XACK"),
        Wrong(
            consumer(do="""
            for entry_id, fields in entries:
                with contextlib.suppress(Exception):
                    await handler(entry_id, fields)
                await client.xack(stream, group, entry_id)
"""), "its handler had failed"),
        # entries without fields
        Wrong(
            consumer(do="""
            for entry_id, fields in entries:
                await handler(entry_id, fields)
                await client.xack(stream, group, entry_id)
"""), "without fields"),
        # min-idle: far too short; in seconds; far too long
        Wrong(consumer(claim=but("stop)", "stop, 5)", _CLAIM)), "was taken from"),
        Wrong(consumer(claim=but("stop)", "stop, 0.2)", _CLAIM)), "min-idle"),
        Wrong(consumer(claim=but("stop)", "stop, 200_000)", _CLAIM)), "still pending"),
        # reads so many that they look idle; waits so long that it does not look; does not wait at all
        Wrong(consumer(read=but("10, 100", "100, 100", _READ)), "prefetched"),
        Wrong(consumer(read=but("10, 100", "10, 5000", _READ)), "had nothing to do"),
        Wrong(consumer(read=but("10, 100", "10, 0", _READ)), "still pending"),
        Wrong(consumer(read=but(", 10, 100", ", 10", _READ)), "BLOCK"),
        # does not look at stop
        Wrong(consumer(until="True", do=_DO, claim=""), "stop"),
        Wrong(consumer(until="True"), "stop"),
        # ends when there is nothing to read
        Wrong(
            consumer(
                do="            if last_id == '>' and not entries:\n                return\n" + _DO.lstrip("\n")
            ),
            "nothing had asked it",
        ),
    ],
)  # fmt: skip

EXERCISES = [alarms, consumers]
