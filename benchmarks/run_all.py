"""Run every benchmark that needs the data sets, one after the other: ``make bench DATA=folder``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def commands(data: str) -> list[list[str]]:
    """The benchmarks and their arguments."""
    return [
        ["detectors.py", f"DATA={data}"],
        ["autoencoder_casting.py", f"DATA={data}"],
        ["align_gain.py", f"DATA={data}/casting"],
        ["generators.py", f"DATA={data}/casting"],
        ["synthesize_helps.py", f"DATA={data}/casting"],
        ["heatmap_loop.py"],
        ["inspect_speed.py", f"DATA={data}"],
        ["overkill_met.py", f"DATA={data}"],
        ["unseen_parts.py", f"DATA={data}/casting"],
        ["contaminated_good.py", f"DATA={data}/casting"],
        ["ensemble_weight.py", f"DATA={data}"],
        ["engine_speed.py"],
        ["prepare_trays.py"],
        ["watch_latency.py"],
    ]


def main() -> None:
    """Run them; one that fails is named at the end, the others still run."""
    options = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if "DATA" not in options:
        sys.exit("usage: python benchmarks/run_all.py DATA=folder")
    failed = []
    for command in commands(options["DATA"]):
        print(f"\n== {' '.join(command)}", flush=True)
        result = subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], check=False)
        if result.returncode:
            failed.append(command[0])
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
