"""Databases of both kinds, and inspections to record."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart.decision import Inspection, Limits, Region, Verdict
from goodpart.records import Records


def make(verdict="NG", part="cap", **changes):
    """An inspection as a model gives it; ``NOT_JUDGED`` ones without score and picture."""
    failed = verdict == "NOT_JUDGED"
    values = {
        "verdict": Verdict(verdict),
        "source": f"{part}.png",
        "part": part,
        "score": None if failed else 1.25,
        "limits": Limits(1.0, 1.5),
        "reason": "unreadable" if failed else None,
        "message": f"{part}.png: unreadable" if failed else None,
        "regions": ()
        if verdict in ("OK", "NOT_JUDGED")
        else (Region(3, 4, 5, 6, 21, 2.5, 1.75, ((3, 4), (7, 9)), area_mm2=0.1),),
        "transform": np.array([[1, 0, 0.1], [0, 1, 1 / 3], [0, 0, 1]]),
        "sha256": "ab" * 32,
        "model_id": "m" * 32,
        "timings": {"decode": 1.5, "total": 12.25},
    }
    return Inspection(**{**values, **changes})


@pytest.fixture
def inspection():
    """Make an inspection: ``inspection("OK", "cap_1")``."""
    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """A new database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'line.db'}"
    return request.getfixturevalue("postgresql").create()


@pytest.fixture
def records(url, tmp_path):
    """Records in a new database of each kind."""
    with Records.open(url, station="line 1", images=tmp_path / "images") as opened:
        yield opened


@pytest.fixture
def lite(tmp_path):
    """Records in a new SQLite file, where the kind does not matter."""
    with Records.open(f"sqlite:///{tmp_path / 'line.db'}", station="line 1") as opened:
        yield opened
