"""Outages with the real thing: a full disk, PostgreSQL stopped, an MQTT broker silenced, kills.

Runs the tests of ``tests/runtime/test_outages.py``, which mount a small tmpfs, start PostgreSQL
and mosquitto, and say why where one of them cannot be had.

    python benchmarks/watch_outages.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests" / "runtime" / "test_outages.py"

if __name__ == "__main__":
    command = [sys.executable, "-m", "pytest", "-m", "slow", "-v", "-rs", str(TESTS)]
    sys.exit(subprocess.run(command, check=False).returncode)
