"""``goodpart records``, ``review`` and ``audit`` as users call them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from goodpart.cli.app import main
from goodpart.decision import Inspection, Limits, Verdict
from goodpart.records import Records


@pytest.fixture
def line(tmp_path, monkeypatch):
    """A working directory with the default database in it: one OK and one NG part."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GOODPART_DATABASE", raising=False)
    with Records.open(station="line 1") as records:
        for verdict, part in ((Verdict.OK, "cap_1"), (Verdict.NG, "cap_2\x1b[31m")):
            given = Inspection(
                verdict,
                source=f"{part}.png",
                part=part,
                score=0.5,
                limits=Limits(1, 1),
                image=np.zeros((8, 8), np.uint8),
                id="a" * 32 if verdict is Verdict.OK else "b" * 32,
            )
            kept = records.images.keep(given)
            records.record([given], arrival=part, lot="L1", kept={given.id: kept})
    return tmp_path


@pytest.fixture
def call(capsys):
    """Call the command and give its exit status and both outputs."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


def test_records_are_listed_without_letting_names_steer_the_terminal(line, call):
    status, out, _ = call("records", "list")
    assert status == 0
    first, second = out.splitlines()
    assert "NG" in first and r"cap_2\x1b[31m" in first and "\x1b[31m" not in first
    assert "OK" in second and "cap_1" in second and "lot L1" in second


def test_records_are_filtered_and_given_as_json(line, call):
    _, out, _ = call("records", "list", "--verdict", "ok", "--since", "1h", "--json")
    assert [record["part"] for record in json.loads(out)] == ["cap_1"]


def test_one_record_is_shown_with_its_files(line, call):
    _, out, _ = call("records", "show", "a" * 32, "--json")
    shown = json.loads(out)
    assert shown["lot"] == "L1" and shown["files"]["image"].endswith(f"{shown['image']}.png")
    assert "cap_1.png" in call("records", "show", "a" * 32)[1]


def test_verdicts_are_counted(line, call):
    _, out, _ = call("records", "stats", "--by", "lot", "--json")
    assert json.loads(out) == [
        {"group": "L1", "total": 2, "ok": 1, "ng": 1, "check": 0, "not_judged": 0}
    ]
    assert "L1" in call("records", "stats", "--by", "lot")[1]


def test_an_export_is_written_and_noted_in_the_trail(line, call):
    status, out, _ = call("records", "export", "records.csv", "--verdict", "NG")
    assert status == 0 and "1 records" in out
    assert len((line / "records.csv").read_text("utf-8-sig").splitlines()) == 2
    assert "exported" in call("audit", "list", "--limit", "1")[1]
    assert call("records", "export", "records.csv")[0] == 2


def test_pictures_are_pruned_only_on_demand(line, call):
    _, out, _ = call("records", "prune", "--max-size", "0", "--dry-run", "--json")
    assert json.loads(out)["dry_run"] is True
    (line / "caps").mkdir()
    status, out, _ = call("records", "prune", "--older-than", "90d", "--training", "caps")
    assert status == 0 and "0 pictures" in out
    assert call("records", "prune")[0] == 2


def test_a_review_is_recorded_and_shown(line, call):
    status, out, _ = call("review", "b" * 32, "ok", "--reviewer", "kim", "--note", "dust")
    assert status == 0 and "reviewed OK by kim" in out
    assert "reviewed OK by kim" in call("records", "list", "--reviewed")[1]


def test_an_intact_trail_is_said_with_its_head(line, call):
    status, out, _ = call("audit", "verify", "--json")
    report = json.loads(out)
    assert status == 0 and report["intact"] and report["inspections"] == 2
    status, out, _ = call("audit", "verify", "--expect", report["head"])
    assert status == 0 and report["head"] in out


def test_an_altered_verdict_is_found_and_the_exit_status_is_one(line, call):
    with closing(sqlite3.connect(line / "goodpart.db")) as connection:
        connection.execute("UPDATE inspections SET verdict = 'OK'")
        connection.commit()
    status, out, _ = call("audit", "verify")
    assert status == 1 and f"inspection {'b' * 32} of entry 3 was altered" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("records", "list", "--database", "sqlite:///no.db"), "no.db: no such database"),
        (("records", "list", "--verdict", "bad"), "CHECK, NG, NOT_JUDGED, OK"),
        (("records", "list", "--since", "soon"), "'soon' is no time"),
        (("records", "show", "x"), "no inspection has this id"),
        (("records", "stats", "--by", "colour"), "not by 'colour'"),
        (("records", "export", "records.xlsx"), ".csv or .parquet"),
        (("records", "prune", "--older-than", "old"), "'old' is no age"),
        (("records", "prune", "--older-than", "1d", "--training", "no"), "no such folder"),
        (("review", "a" * 32, "maybe"), "OK or NG"),
        (("audit", "verify", "--expect", "abc"), "64 digits"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_two(line, call, arguments, said):
    status, _, err = call(*arguments)
    assert status == 2 and said in err and err.count("\n") == 1
    assert not (line / "no.db").exists()


def test_the_database_comes_from_the_environment(line, call, monkeypatch):
    monkeypatch.setenv("GOODPART_DATABASE", "sqlite:///other.db")
    status, _, err = call("records", "list")
    assert status == 2 and "other.db" in err


def test_help_has_an_example_and_never_shows_a_password(line, call, monkeypatch):
    monkeypatch.setenv("GOODPART_DATABASE", "postgresql://kim:secret@host/line")
    for verb in ("records list", "records export", "records prune", "audit verify", "review"):
        _, out, _ = call(*verb.split(), "--help")
        assert f"Example: goodpart {verb}" in out and "secret" not in out
