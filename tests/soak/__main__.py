"""The actors in a storm: ``python -m tests.soak --minutes 10 --server redis-server``.

Producers and consumers of `streamlab.actors`, each a process of its own, with clients of text and of bytes, RESP2 and
RESP3, on a master with a replica. Each group gets every entry, and recovers in its own way. Processes are killed,
stopped and paused, connections are cut, replies are lost, the master is demoted, killed, and changes roles with its
replica. In the end every entry that was sent must be in the stream once, must have been processed at least once by each
group, and nothing may be pending; if an entry was processed twice, a fault must explain it. The exit status is 1 if
anything is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from streamlab.servers.private import PrivateServer
from tests.soak.mutations import MUTATIONS
from tests.soak.storm import STUCK, soak


def main() -> int:
    """Run the soak that the arguments ask for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two faults")
    parser.add_argument("--rate", type=float, default=40.0, help="entries per second")
    parser.add_argument("--server", default="redis-server", help="a program on the PATH")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutation", action="append", default=[], choices=sorted(MUTATIONS))
    parser.add_argument("--keep", type=Path, help="a new folder for ledgers and logs")
    options = parser.parse_args()
    with contextlib.nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory(prefix="soak-") as place:
        folder = Path(place).resolve()
        folder.mkdir(exist_ok=True)
        binary = PrivateServer(options.server).binary
        print(f"{binary}, {options.minutes:g} min, {options.rate:g} entries/s, seed {options.seed}", flush=True)
        figures = soak(
            binary,
            folder,
            seconds=options.minutes * 60,
            every=options.every,
            rate=options.rate,
            seed=options.seed,
            mutations=options.mutation,
            stuck=STUCK / 4 if options.mutation else STUCK,
        )
        print("\n".join(figures.lines()))
        if figures.unexpected:
            print((folder / "log.txt").read_text(errors="replace")[-5000:])
    print("all is well" if figures.is_right else "SOMETHING IS WRONG")
    return 0 if figures.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
