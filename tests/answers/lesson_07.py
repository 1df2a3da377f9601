"""Answers to the exercises of lesson 07: right ones in other styles, and likely wrong ones."""

from tests.answers import Exercise, Wrong

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
        Wrong("", "There is no answer yet"),
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

EXERCISES = [alarms]
