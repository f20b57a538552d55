"""The bundle installs on a PC without internet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools/make_bundle.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_bundle_installs_without_a_network(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, str(TOOL), str(tmp_path / "bundle")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    names = [path.name for path in (tmp_path / "bundle").iterdir()]
    assert any(name.startswith("goodpart-") for name in names)
    assert not any(name.startswith("torch-") for name in names)
    assert "installed without" in made.stdout


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"precious")
    made = subprocess.run(
        [sys.executable, str(TOOL), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert made.returncode != 0
    assert "holds other files than wheels" in made.stderr
    assert (tmp_path / "photo.jpg").exists()
