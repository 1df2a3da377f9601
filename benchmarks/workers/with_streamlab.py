"""streamlab's own `consume`, claiming by XAUTOCLAIM; it ends when it is asked to (SIGTERM)."""

import asyncio
import signal

from order import CONSUMER, GROUP, MIN_IDLE, STREAM, URL, book_async

from streamlab import connect_async, consume
from streamlab.actors import Recovery


async def handle(entry_id: str, fields: dict[str, str]) -> None:
    await book_async(fields["order"])


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await connect_async(URL) as client:
        recovery = Recovery("autoclaim", min_idle=MIN_IDLE)
        await consume(client, STREAM, GROUP, CONSUMER, handle, count=10, block=0.5, recovery=recovery, stop=stop)


asyncio.run(main())
