"""The index of a prepared folder survives whatever cuts it off."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodpart.errors import DataError
from goodpart.parts.prepare_index import COLUMNS, append, begin, check_recipe, read_index


def rows_of(tray: str, parts: int, mark: str = "one") -> list[dict[str, str]]:
    filled = dict.fromkeys(COLUMNS, "x") | {"tray": tray, "source": tray, "recipe": mark}
    return [{**filled, "file": f"{tray}_{part}.png", "pocket": f"A{part}"} for part in range(parts)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = tmp_path_factory.mktemp("index") / "index.csv"
    for tray in ("트레이_1.png", 'tray "2", left.png', "tray_3.png"):
        append(index, rows_of(tray, 3))
    return index


def test_rows_come_back_as_they_were_written(written: Path) -> None:
    assert [row["pocket"] for row in read_index(written)] == ["A0", "A1", "A2"] * 3
    assert read_index(written)[0] == rows_of("트레이_1.png", 3)[0]
    assert read_index(written.with_name("none.csv")) == []


@given(data=st.data())
def test_a_cut_anywhere_within_a_line_loses_no_more_than_its_tray(
    written: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = written.read_bytes()
    size = data.draw(st.integers(0, len(whole) - 1).filter(lambda n: whole[n - 1 : n] != b"\n"))
    index = tmp_path_factory.getbasetemp() / "cut.csv"
    index.write_bytes(whole[:size])
    known = read_index(written)
    kept = read_index(index)
    assert kept == known[: len(kept)]
    complete = whole[:size].count(b"\n") - 1
    # Of the lines that are whole, the last tray's may be done again; no other's.
    assert complete - 3 <= len(kept) <= max(0, complete)
    assert len(kept) % 3 == 0, "a tray is listed with all of its parts or not at all"


def test_an_index_that_prepare_did_not_write_is_refused(tmp_path: Path) -> None:
    for content in (b"file,source\na.png,a\n", b"\xff\xfe\n", b"something else"):
        (tmp_path / "index.csv").write_bytes(content)
        with pytest.raises(DataError, match=r"index\.csv"):
            read_index(tmp_path / "index.csv")


def test_another_recipe_needs_force_and_takes_its_part_images_with_it(tmp_path: Path) -> None:
    append(tmp_path / "index.csv", rows_of("t1", 2))
    append(tmp_path / "index.csv", rows_of("t2", 1, mark="two"))
    for name in ("t1_0.png", "t2_0.png", "precious.png"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match="--force"):
        check_recipe(tmp_path, "two", force=False)
    assert begin(tmp_path, "two", force=True) == {"t2"}
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["precious.png", "t2_0.png"]
    assert [row["tray"] for row in read_index(tmp_path / "index.csv")] == ["t2"]


def test_an_index_that_names_a_file_outside_the_folder_removes_nothing_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "precious.png").write_bytes(b"x")
    out = tmp_path / "out"
    out.mkdir()
    append(out / "index.csv", [{**rows_of("t", 1)[0], "file": "../precious.png"}])
    assert begin(out, "two", force=True) == set()
    assert (tmp_path / "precious.png").exists()
