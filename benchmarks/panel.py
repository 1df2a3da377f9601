"""How much the control panel costs: updates a second, nodes replaced, processor time, with 8 consumers and 200 entries
pending.

    python benchmarks/panel.py --seconds 20 [--live] [--json]

Served by Voila and shown by a headless Chromium. Linux only: processor times are read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

#: Let some seconds pass; count updates, and what was replaced: rows whose consumer or entry was there before.
WATCH = """async (seconds) => {
    const found = { updates: 0, replaced: 0, rows_added: 0, texts: 0 };
    const panel = document.querySelector('.streamlab-panel');
    const keyOf = row => row.dataset && (row.dataset.consumer || row.dataset.entry);
    const keys = () => [...panel.querySelectorAll('tr[data-consumer], tr[data-entry]')].map(keyOf);
    const known = new Set(keys());
    const clock = panel.querySelector('.clock').firstChild;
    const watch = new MutationObserver(all => all.forEach(each => {
        if (each.type === 'characterData') {
            found.texts += 1;
            if (each.target === clock) found.updates += 1;
        } else for (const node of each.addedNodes) {
            const key = keyOf(node);
            if (key && !known.has(key)) { known.add(key); found.rows_added += 1; }
            else found.replaced += 1;
        }
    }));
    panel.querySelectorAll('.clock, .consumers tbody, .pending-table tbody').forEach(
        part => watch.observe(part, { subtree: true, childList: true, characterData: true }));
    await new Promise(resolve => setTimeout(resolve, seconds * 1000));
    return { ...found, pending: panel.querySelectorAll('tr[data-entry]').length,
             consumers: panel.querySelectorAll('tr[data-consumer]').length };
}"""


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kernel_of(parent: int) -> int:
    """Return the process id of the kernel that a server has started."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if int(stat[1]) == parent and b"ipykernel" in command:
                return int(folder.name)
    raise LookupError("Voila has started no kernel")


def measure(seconds: float, live: bool) -> dict[str, Any]:
    """Show the panel of eight busy consumers and watch it."""
    from streamlab import Arrivals, Scenario, Service, consumers, producers
    from streamlab.views.panel.app import served
    from tests import browser

    # More than they can do, and acknowledged by the batch: each has its 25 pending all the time.
    scenario = Scenario(
        name="eight-consumers",
        producers=producers(2, Arrivals("bursts", rate=40, burst=20)),
        consumers=consumers(8, Service("constant", mean=0.2), count=25, ack="batch"),
        duration=3600.0,
    )
    port = browser.free_port()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with served(scenario, live=live, port=port, **quiet) as voila:
        browser.wait_for(f"http://127.0.0.1:{port}/nothing", voila)
        with browser.open_page(f"http://127.0.0.1:{port}/") as page:
            page.wait_for_selector("[data-consumer=C8]")
            page.wait_for_function("() => document.querySelectorAll('tr[data-entry]').length >= 190")
            kernel, cdp = kernel_of(voila.pid), page.context.new_cdp_session(page)
            cdp.send("Performance.enable", {"timeDomain": "threadTicks"})

            def busy() -> float:
                metrics = cdp.send("Performance.getMetrics")["metrics"]
                return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))

            before, page_before, began = processor_seconds(kernel), busy(), time.perf_counter()
            found: dict[str, Any] = page.evaluate(WATCH, seconds)
            wall = time.perf_counter() - began
            found["updates_per_second"] = round(found.pop("updates") / wall, 1)
            found["kernel_cores"] = round((processor_seconds(kernel) - before) / wall, 3)
            found["page_cores"] = round((busy() - page_before) / wall, 3)
    return found


def main() -> int:
    """Measure, and print what was found; return 1 if it is not what the panel promises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    from tests import browser

    missing = browser.missing() or "".join(
        f"{name} is not installed: pip install 'consumer-group-lab[course]' "
        for name in ("voila", "anywidget")
        if find_spec(name) is None
    )
    if missing:
        print(f"the control panel was not measured: {missing}")
        return 0
    found = measure(arguments.seconds, arguments.live)
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name.replace('_', ' '):<22}{value:>8}")
    is_light = found["kernel_cores"] < 0.5 and found["page_cores"] < 0.5
    fine = found["updates_per_second"] >= 5 and is_light and not found["replaced"]
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
