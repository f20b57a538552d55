"""``goodpart demo`` as users call it, in small."""

from __future__ import annotations

import pytest

from goodpart.cli import demo

SMALL = ("--trays", "5", "--defective", "1", "--detector", "variation")


@pytest.fixture(autouse=True)
def small_trays(monkeypatch):
    monkeypatch.setattr(demo, "TRAY_SIZE", (640, 536))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "demo"


def test_it_leaves_data_statistics_model_report_and_results(goodpart, folder):
    done = goodpart("demo", "--out", folder, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "image AUROC" in done.stdout and "report.html" in done.stdout
    for verb in ("prepare", "stats", "train", "evaluate", "predict"):
        assert f"$ goodpart {verb} {folder}" in done.stdout
    for name in (
        "trays/Normal",
        "caps/Normal",
        "caps/Bending",
        "statistics/counts.png",
        "model/manifest.json",
        "report/report.html",
        "report/histogram.png",
    ):
        assert (folder / name).exists(), name
    assert len(list(folder.glob("results/*/result.txt"))) >= 2
    assert all("rendered" in path.name for path in (folder / "caps").glob("*/*.png"))


def test_it_replaces_an_earlier_demo_only_by_force(goodpart, folder):
    done = goodpart("demo", "--out", folder, *SMALL)
    assert done.returncode == 2 and "--force" in done.stderr


def test_other_folders_are_left_alone(goodpart, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = goodpart("demo", "--out", tmp_path, "--force")
    assert done.returncode == 2 and "not a demo" in done.stderr
    assert (tmp_path / "thesis.txt").exists()


def test_it_says_at_once_that_it_needs_the_training_extra(goodpart, tmp_path):
    done = goodpart("demo", "--out", tmp_path / "d", blocked=("matplotlib",))
    assert done.returncode == 2 and "goodpart[train]" in done.stderr
    assert not (tmp_path / "d").exists()
