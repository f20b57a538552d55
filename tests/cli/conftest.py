"""A small model on disk and the command line as users call it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from goodpart import fit
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
    recipe = parse_recipe({"limits": {"overkill": 0.05}})
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


@pytest.fixture
def goodpart():
    """Run the command in a process of its own: ``goodpart("predict", ...)``."""

    def run(*arguments, blocked=(), cwd=None):
        start = ["-c", BLOCK.format(blocked=set(blocked))] if blocked else ["-m", "goodpart"]
        return subprocess.run(
            [sys.executable, *start, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            check=False,
            env={**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "1"},
            timeout=280,
        )

    return run


@pytest.fixture(scope="session")
def root():
    """The repository."""
    return Path(__file__).parents[2]
