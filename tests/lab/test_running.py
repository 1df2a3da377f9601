"""A live run in a thread of its own: what goes wrong there reaches whoever waits for it."""

import asyncio

import pytest

from streamlab.lab.running import run_coroutine


class _Broken(asyncio.SelectorEventLoop):
    """A loop that cannot tidy up, as one cannot that watches more files than select() can."""

    async def shutdown_asyncgens(self) -> None:
        raise ValueError("filedescriptor out of range in select()")


def test_a_loop_that_breaks_is_an_error_and_no_endless_wait() -> None:
    """Whoever waits for the run is told."""

    async def work() -> None:
        await asyncio.sleep(0)

    with pytest.raises(ValueError, match="out of range"):
        run_coroutine(work(), lambda: True, _Broken)
