"""``goodpart stats`` as users call it."""

from __future__ import annotations

import csv
import json
import shutil


def test_it_counts_draws_and_names_what_is_odd(goodpart, caps, tmp_path):
    data = tmp_path / "caps"
    shutil.copytree(caps, data)
    first = sorted((data / "Normal").iterdir())[0]
    shutil.copy(first, data / "Stain" / "mislabelled.png")
    (data / "Normal" / "zero.png").write_bytes(b"")
    out = tmp_path / "statistics"
    done = goodpart("stats", data, "--out", out, "--json", tmp_path / "stats.json")
    assert done.returncode == 0, done.stderr
    assert "train good" in done.stdout and "█" in done.stdout
    assert "copies with different labels: 1" in done.stdout
    assert "unreadable: 1" in done.stdout and "zero.png" in done.stdout
    answer = json.loads((tmp_path / "stats.json").read_text())
    assert answer["counts"]["train"]["good"] + answer["counts"]["test"]["good"] == 31
    assert len(answer["conflicts"]) == 1
    for name in ("counts.png", "measures.png", "suspicious.png", "statistics.json"):
        assert (out / name).stat().st_size > 0
    with open(out / "images.csv", encoding="utf-8-sig", newline="") as file:
        assert len(list(csv.DictReader(file))) == 49


def test_it_needs_no_training_extra_without_charts(goodpart, caps):
    done = goodpart("stats", caps, "--json", blocked=("torch", "matplotlib", "scipy", "sklearn"))
    assert json.loads(done.stdout)["images"] == 48
    refused = goodpart("stats", caps, "--out", "x", blocked=("matplotlib",))
    assert refused.returncode == 2 and "goodpart[train]" in refused.stderr


def test_earlier_statistics_are_kept_unless_forced(goodpart, caps, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    refused = goodpart("stats", caps, "--out", tmp_path)
    assert refused.returncode == 2 and "--force" in refused.stderr
    assert goodpart("stats", caps, "--out", tmp_path, "--force").returncode == 0
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_missing_folder_is_one_line(goodpart, tmp_path):
    done = goodpart("stats", tmp_path / "none")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
