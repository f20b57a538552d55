"""A small model on disk and the command line as users call it."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from goodpart import fit
from goodpart.cli.app import main
from goodpart.parts.read import read_image
from goodpart.parts.render import write_parts
from goodpart.recipe import parse_recipe


@pytest.fixture(scope="session")
def caps(tmp_path_factory):
    """Class folders of rendered caps, 96 x 96: 30 Normal and 6 of each defect."""
    root = tmp_path_factory.mktemp("data") / "caps"
    write_parts(root, normal=30, defective=6, size=96)
    return root


@pytest.fixture(scope="session")
def model_folder(caps, tmp_path_factory):
    """A variation model of the caps, saved."""
    images = np.stack([read_image(path).pixels for path in sorted((caps / "Normal").iterdir())])
    recipe = parse_recipe({"limits": {"overkill": 0.05}, "align": {"method": "none"}})
    model = fit(images, detector="variation", recipe=recipe)
    return model.save(tmp_path_factory.mktemp("models") / "caps")


BLOCK = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {blocked!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Blocker())
from goodpart.cli.app import main
main()
"""


@dataclass
class Done:
    """What a run of the command left."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def goodpart(monkeypatch):
    """Run the command: ``goodpart("predict", ...)``; in a process of its own with ``blocked``.

    ``blocked`` names packages that cannot be imported.
    """
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments, blocked=(), cwd=None):
        words = [str(argument) for argument in arguments]
        if blocked:
            done = subprocess.run(
                [sys.executable, "-c", BLOCK.format(blocked=set(blocked)), *words],
                capture_output=True,
                text=True,
                check=False,
                timeout=280,
            )
            return Done(done.returncode, done.stdout, done.stderr)
        if cwd is not None:
            monkeypatch.chdir(cwd)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(words)
        return Done(ended.value.code or 0, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def root():
    """The repository."""
    return Path(__file__).parents[2]
