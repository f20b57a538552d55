"""The command: one line and exit status 2 for anything the user got wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from goodpart.cli.app import main; main()"]
    return subprocess.run(
        [*program, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    (root / "Normal").mkdir()
    rng = np.random.default_rng(0)
    for index in range(24):
        pixels = rng.normal(120, 5, (48, 48)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"Normal/{index:02d}.png")
    return root


@pytest.mark.parametrize(
    "arguments",
    [
        ("trian",),
        ("train",),
        ("train", "no such folder", "--out", "x"),
        ("train", ".", "--out", "x", "--detector", "magic"),
        ("train", ".", "--out", "x", "--set", "nonsense"),
        ("predict", "no such model", "a.png"),
        ("evaluate", "no such model", "."),
    ],
)
def test_mistakes_are_one_line_and_exit_status_two(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    result = run(*(tmp_path / a if a in (".", "x") else a for a in arguments))
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    assert lines[0].startswith("goodpart: ")
    assert not (tmp_path / "x").exists()


def test_train_and_predict_as_a_new_user_would(data: Path, tmp_path: Path) -> None:
    trained = run("train", data, "--out", tmp_path / "m", "--detector", "variation", "--json")
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["detector"] == "variation"
    again = run("train", data, "--out", tmp_path / "m", "--detector", "variation")
    assert again.returncode == 2
    assert "--force" in again.stderr
    judged = run("predict", tmp_path / "m", data / "Normal/00.png", "--json")
    assert judged.returncode == 0, judged.stderr
    (inspection,) = json.loads(judged.stdout)
    assert inspection["verdict"] in ("OK", "NG")


def test_the_version_is_said() -> None:
    from goodpart import __version__

    assert run("--version").stdout.strip() == f"goodpart {__version__}"
