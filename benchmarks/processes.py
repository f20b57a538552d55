"""Call goodpart as on the command line, in a process of its own, and count what it costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time


def run(arguments: list[str]) -> dict[str, float]:
    """Call ``goodpart`` with these arguments.

    Returns
    -------
    dict
        ``seconds`` by the clock, ``cpu_seconds`` of the processor, ``peak_mib`` of memory: of
        this process alone, so that one step's peak is not another's.
    """
    begin = time.perf_counter()
    command = [sys.executable, "-m", "goodpart", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }
