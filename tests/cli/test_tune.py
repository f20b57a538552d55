from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from goodpart.cli.app import main
from goodpart.cli.tune import parse_axes
from goodpart.errors import RecipeError
from goodpart.recipe import load_recipe


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Benchmark layout, with a test image that would fail if anything read it."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:48, :48]
    folder = tmp_path / "data" / "train" / "good"
    folder.mkdir(parents=True)
    for index in range(12):
        image = 120 + 60 * np.cos(rows / 5) * np.cos(columns / 5) + rng.normal(0, 3, (48, 48))
        cv2.imwrite(str(folder / f"{index}.png"), image.clip(0, 255).astype(np.uint8))
    return tmp_path / "data"


def tune(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as end:
        main(["tune", *map(str, arguments)])
    return int(end.value.code or 0)


def common(data: Path, out: Path) -> list[Any]:
    return [data, "--out", out, "--detector", "variation", "--set", "align.method=none"]


def test_a_grid_gives_a_table_a_chart_and_a_recipe(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuning"
    assert tune(*common(data, out), "--grid", "smoothing=0.5,2,8", "--grid", "floor=4") == 0
    rows = list(csv.DictReader((out / "table.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 3
    found = [float(row["auroc"]) for row in rows]
    assert found == sorted(found, reverse=True) and found[0] > 0.6
    assert (out / "chart.png").read_bytes().startswith(b"\x89PNG")
    best = load_recipe(out / "best.toml").detector
    assert f"smoothing={best.settings['smoothing']}" in rows[0]["settings"]
    assert "goodpart train" in capsys.readouterr().out


def test_finished_cells_are_kept(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tuning"
    assert tune(*common(data, out), "--grid", "smoothing=1,2") == 0
    from goodpart.detectors.variation import Variation

    tried: list[float] = []
    fit = Variation.fit

    def spy(self: Variation, *args: Any, **more: Any) -> Variation:
        tried.append(self.smoothing)
        return fit(self, *args, **more)

    monkeypatch.setattr(Variation, "fit", spy)
    assert tune(*common(data, out), "--grid", "smoothing=1,2,3") == 0
    assert tried == [3]
    assert len(json.loads((out / "table.json").read_text(encoding="utf-8"))) == 3


def test_a_cell_that_fails_is_told_and_the_others_stand(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "tuning"
    assert tune(*common(data, out), "--grid", "smoothing=1,wide") == 0
    cells = json.loads((out / "table.json").read_text(encoding="utf-8"))
    assert [cell["auroc"] is None for cell in cells] == [False, True]
    assert "smoothing" in cells[1]["error"]


def test_the_test_side_is_never_opened(data: Path, tmp_path: Path) -> None:
    for name in ("good", "bad"):
        (data / "test" / name).mkdir(parents=True)
        (data / "test" / name / "broken.png").write_bytes(b"not an image")
    out = tmp_path / "tuning"
    assert tune(*common(data, out), "--grid", "smoothing=1") == 0
    before = (out / "table.json").read_text(encoding="utf-8")
    assert "broken" not in before


def test_optuna_chooses_among_the_values(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    out = tmp_path / "tuning"
    arguments = ["--grid", "smoothing=1,2,3", "--grid", "floor=2,4", "--trials", 4]
    assert tune(*common(data, out), *arguments) == 0
    cells = json.loads((out / "table.json").read_text(encoding="utf-8"))
    assert 1 <= len(cells) <= 4


def test_another_folder_is_left_alone(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine", encoding="utf-8")
    assert tune(*common(data, tmp_path / "mine")) == 2
    assert "not a folder of an earlier tune" in capsys.readouterr().err


def test_axes_are_lists_of_values() -> None:
    axes = parse_axes(["rate=1e-3,2e-3", "preset=restore,seed", "widths=[8,16],[16,32]", "mix=1,a"])
    assert axes == {
        "rate": [1e-3, 2e-3],
        "preset": ["restore", "seed"],
        "widths": [[8, 16], [16, 32]],
        "mix": [1, "a"],
    }


@pytest.mark.parametrize("text", ["rate", "=1", "rate="])
def test_an_axis_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="key=a,b,c"):
        parse_axes([text])
