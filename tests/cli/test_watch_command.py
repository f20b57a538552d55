"""``goodpart watch`` as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import goodpart
from goodpart.cli.app import main


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model and an inbox."""
    import numpy as np

    root = tmp_path_factory.mktemp("line")
    rng = np.random.default_rng(0)
    images = rng.integers(90, 110, (30, 48, 48)).astype(np.uint8)
    goodpart.fit(images, detector="variation").save(root / "model")
    (root / "in").mkdir()
    return root


def command(root: Path, *more: str) -> list[str]:
    given = ["watch", str(root / "model"), "--inbox", str(root / "in")]
    given += ["--results", str(root / "out"), "--database", f"sqlite:///{root / 'line.db'}"]
    return [*given, *more]


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["watch", "--help"])
    assert ended.value.code == 0
    assert "Example: goodpart watch" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--inbox", "gone"], "no such folder"),
        (["--handoff", "fax"], "handoff"),
        (["--config", "gone.toml"], "cannot read the line file"),
        (["--database", "what?"], "goodpart: "),
    ],
)
def test_what_a_user_got_wrong_is_one_line_and_status_2(
    more: list[str], said: str, folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command(folders, *more))
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()[-1:]) == 1
    assert "Traceback" not in error


def test_sigterm_ends_it_in_order_and_a_second_one_is_refused_meanwhile(folders: Path) -> None:
    run = [sys.executable, "-m", "goodpart", *command(folders)]
    with subprocess.Popen(run, stderr=subprocess.PIPE, text=True) as process:
        health = folders / "out" / "health.json"
        end = time.monotonic() + 60
        while not (health.exists() and json.loads(health.read_text())["state"] == "running"):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.05)
        second = subprocess.run(run, capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert f"process {process.pid} already watches it" in second.stderr
        (folders / "in" / ".new").write_bytes(b"not an image")
        os.rename(folders / "in" / ".new", folders / "in" / "a.png")
        while not list((folders / "out" / "quarantine").glob("*/a.png")):
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    answer = json.loads(health.read_text())
    assert answer["state"] == "stopped"
    assert answer["verdicts"]["NOT_JUDGED"] == 1


def test_the_line_needs_neither_torch_nor_any_library_of_training() -> None:
    code = (
        "import sys, goodpart.runtime.watch, goodpart.outputs.webhook; "
        "print({'torch', 'sklearn', 'scipy', 'matplotlib', 'paho', 'prometheus_client'} "
        "& set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
