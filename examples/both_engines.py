"""A scenario of one's own in TOML, on both engines: in virtual time, and on a real Redis with real processes."""

from pathlib import Path

from streamlab import Lab

FILE = Path(__file__).with_suffix(".toml")

for engine in ("simulated", "live"):
    run = Lab(FILE, engine=engine).run()
    print(f"{engine}: {run.added} added, {len(run.final.pending)} pending at the end")
