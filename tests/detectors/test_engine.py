"""The engine that runs networks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LOAD = """
from goodpart.detectors.backbones.load import load_backbone
load_backbone("goodpart").session()
"""


def test_running_a_network_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    # Under continuous integration onnxruntime keeps quiet by itself: that must not hide it.
    quiet = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "GITHUB_ACTIONS", "TF_BUILD")
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", LOAD], env=environment, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
