"""A run under faults, and what has to hold all the same: the invariants, first with a recovery, then without."""

from streamlab import Arrivals, Lab, Recovery, Scenario, Service, checks, consumers, producers

scenario = Scenario(
    name="faulty",
    producers=producers(1, Arrivals("constant", rate=50)),
    consumers=consumers(3, Service("constant", mean=0.04)),
    duration=5.0,
).with_faults("kill C1 at 1s", "pause C2 at 2s for 1s")

for recovery in (Recovery("autoclaim", min_idle=0.5), Recovery("none")):
    run = Lab(scenario.replace(recovery=recovery)).run()
    print(f"{recovery.strategy}: {run.added} added, {run.acked} acked, {len(run.final.pending)} pending")
    print(checks.invariants(run))
