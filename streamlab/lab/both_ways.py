"""What a simulation goes by whichever way it is made, by coroutines or in one loop."""

#: Seconds before time 0 at which consumers start, so that they wait when the first entry comes.
LEAD = 1.0
#: Seconds between the first two looks whether all is done, and how much longer each wait is than the one before.
FIRST_PAUSE, LONGER = 0.001, 1.5
#: … and the longest wait; and for how many seconds who is to stop is waited for.
LONGEST_LOOK, LAST_CALL = 1.0, 1.0
#: The commands that tell how many entries are pending in a group.
COUNTED_BY = ("XINFO GROUPS", "XPENDING", "XPENDING, by consumer", "XINFO CONSUMERS")
