"""Trays on disk become a data folder, once, and a stopped run goes on."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from goodpart.errors import DataError
from goodpart.parts.dataset import load_dataset
from goodpart.parts.prepare import find_trays, prepare
from goodpart.parts.prepare_index import read_index
from goodpart.parts.read import read_image
from goodpart.parts.warp import warp_part
from goodpart.recipe import Recipe


@pytest.fixture(scope="module")
def folder(tray, tmp_path_factory):
    """Class folders of trays: three of good parts, one of stained ones."""
    root = tmp_path_factory.mktemp("trays")
    for label, seeds in (("Normal", (1, 2, 3)), ("Stain", (4,))):
        (root / label).mkdir()
        for seed in seeds:
            shown = tray("cap", seed, empty=0.3)
            Image.fromarray(shown.image).save(root / label / f"t{seed}.bmp")
    return root


@pytest.fixture(scope="module")
def recipe(learned):
    return Recipe(tray=learned("cap").section)


@pytest.fixture(scope="module")
def prepared(folder, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("parts") / "caps"
    summary = prepare(find_trays(folder), out, recipe, {})
    return out, summary


def rows_of(out):
    with open(out / "index.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_class_folders_of_trays_become_class_folders_of_parts(prepared, tray):
    out, summary = prepared
    wanted = {
        f"{label}/t{seed}_{pocket.name}.png"
        for label, seeds in (("Normal", (1, 2, 3)), ("Stain", (4,)))
        for seed in seeds
        for pocket in tray("cap", seed, empty=0.3).truth.pockets
        if not pocket.empty
    }
    written = {p.relative_to(out).as_posix() for p in out.rglob("*.png")} - {"contact_sheet.png"}
    assert written == wanted
    assert summary.trays == summary.new == 4
    assert summary.parts == len(wanted)
    assert summary.reasons["empty"] == 20 - len(wanted)
    assert not list(out.rglob(".*"))


def test_the_index_tells_of_every_pocket_and_its_transform_leads_back(prepared, folder):
    out, _ = prepared
    rows = rows_of(out)
    assert len(rows) == 20
    for row in rows:
        assert row["reason"] == ("" if row["file"] else "empty")
        assert row["source"] == row["tray"]
    row = next(row for row in rows if row["file"])
    pixels = read_image(folder / row["tray"]).pixels
    matrix = np.array(json.loads(row["transform"]))
    part = read_image(out / row["file"]).pixels
    again = warp_part(pixels, matrix, part.shape)
    assert np.abs(part.astype(int) - again).max() <= 1


def test_the_parts_are_a_data_folder_whose_trays_stay_together(prepared):
    out, summary = prepared
    dataset = load_dataset(out)
    assert dataset.layout == "classes"
    assert len(dataset.items) == summary.parts
    assert {item.label for item in dataset.items} == {"good", "Stain"}
    sides = {}
    for item in dataset.items:
        assert sides.setdefault(item.source, item.split) == item.split


def test_a_flat_folder_of_parts_does_not_take_the_contact_sheet_for_one(folder, recipe, tmp_path):
    out = tmp_path / "out"
    summary = prepare(find_trays(folder / "Normal"), out, recipe, {})
    assert (out / "contact_sheet.png").is_file()
    assert len(load_dataset(out).items) == summary.parts


def test_the_index_is_written_as_parquet_too(prepared):
    parquet = pytest.importorskip("pyarrow.parquet")
    out, _ = prepared
    table = parquet.read_table(out / "index.parquet")
    assert table.column("file").to_pylist() == [row["file"] for row in rows_of(out)]


def test_a_second_run_works_on_new_trays_alone(folder, recipe, tray, tmp_path):
    trays, out = tmp_path / "trays", tmp_path / "out"
    shutil.copytree(folder / "Normal", trays)
    first = prepare(find_trays(trays), out, recipe, {})
    thrown_away = next(out.glob("t1_*.png"))
    thrown_away.unlink()
    Image.fromarray(tray("cap", 9).image).save(trays / "t9.png")
    second = prepare(find_trays(trays), out, recipe, {})
    assert (first.new, second.new, second.trays, second.parts) == (3, 1, 4, 5)
    assert not thrown_away.exists()
    assert len({row["file"] for row in rows_of(out) if row["file"]}) == first.parts + 5


def test_another_recipe_is_refused_and_with_force_replaces_its_own_files_only(
    folder, recipe, learned, tmp_path
):
    out = tmp_path / "out"
    prepare(find_trays(folder), out, recipe, {})
    (out / "Normal" / "mine.png").write_bytes(b"mine")
    pockets = tuple(p for p in learned("cap").section.pockets if p.name != "centre")
    other = Recipe(tray=recipe.tray.model_copy(update={"pockets": pockets}))
    with pytest.raises(DataError, match="--force"):
        prepare(find_trays(folder), out, other, {})
    assert any(out.rglob("*_centre.png"))
    prepare(find_trays(folder), out, other, {}, force=True)
    assert not any(out.rglob("*_centre.png"))
    assert (out / "Normal" / "mine.png").read_bytes() == b"mine"


def test_what_was_done_before_a_stop_is_kept_and_the_rest_done_next_time(folder, recipe, tmp_path):
    out = tmp_path / "out"

    def stop(stage, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(find_trays(folder), out, recipe, {}, progress=stop)
    kept = {row["tray"] for row in rows_of(out)}
    assert len(kept) == 2
    assert (out / "contact_sheet.png").is_file()
    assert prepare(find_trays(folder), out, recipe, {}).new == 2
    assert len(rows_of(out)) == 20


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_tray_whose_line_was_torn_off_is_done_again(prepared, folder, recipe, tmp_path, cut):
    out = tmp_path / "out"
    shutil.copytree(prepared[0], out)
    index = out / "index.csv"
    index.write_bytes(index.read_bytes()[:-cut])
    torn = "Stain/t4.bmp"
    assert torn not in {row["tray"] for row in read_index(index)}
    assert prepare(find_trays(folder), out, recipe, {}).new == 1
    assert rows_of(out) == rows_of(prepared[0])


def test_trays_that_are_wrong_are_named_and_the_run_goes_on(folder, recipe, tmp_path):
    trays, out = tmp_path / "trays", tmp_path / "out"
    trays.mkdir()
    image = Image.open(folder / "Normal" / "t1.bmp")
    image.save(trays / "a_good.png")
    image.transpose(Image.Transpose.ROTATE_90).save(trays / "b_turned.png")
    image.crop((0, 0, 600, 500)).save(trays / "c_small.png")
    Image.new("L", image.size, 12).save(trays / "d_none.png")
    (trays / "e_broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    summary = prepare(find_trays(trays), out, recipe, {})
    for reason in ("rotated", "wrong size", "no part", "unreadable"):
        assert summary.reasons[reason] == 1
    assert sum("b_turned" in line or "d_none" in line for line in summary.messages) == 2
    assert {row["tray"] for row in rows_of(out)} == {
        "a_good.png",
        "b_turned.png",
        "c_small.png",
        "d_none.png",
    }


def test_a_folder_of_unreadable_trays_is_an_error(recipe, tmp_path):
    trays = tmp_path / "trays"
    trays.mkdir()
    (trays / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="none of the trays can be read"):
        prepare(find_trays(trays), tmp_path / "out", recipe, {})


def test_two_trays_of_one_name_keep_their_parts_apart(folder, recipe, tmp_path):
    trays = tmp_path / "trays"
    trays.mkdir()
    image = Image.open(folder / "Normal" / "t1.bmp")
    image.save(trays / "a.bmp")
    image.save(trays / "a.png")
    summary = prepare(find_trays(trays), tmp_path / "out", recipe, {})
    files = [row["file"] for row in rows_of(tmp_path / "out") if row["file"]]
    assert len(set(files)) == len(files) == summary.parts


def test_sixteen_bits_and_colour_are_kept(folder, recipe, tmp_path):
    trays = tmp_path / "trays"
    trays.mkdir()
    grey = np.asarray(Image.open(folder / "Normal" / "t1.bmp"))
    Image.fromarray(grey.astype(np.uint16) * 16 + 3).save(trays / "deep.png")
    Image.fromarray(np.stack([grey, grey // 2, grey // 3], axis=-1)).save(trays / "color.png")
    prepare(find_trays(trays), tmp_path / "out", recipe, {})
    deep = read_image(next((tmp_path / "out").glob("deep_*.png"))).pixels
    color = read_image(next((tmp_path / "out").glob("color_*.png"))).pixels
    assert deep.dtype == np.uint16
    assert deep.max() > 255
    middle = color[80:160, 80:160].reshape(-1, 3).mean(axis=0)
    assert middle[0] > middle[1] > middle[2]


def test_part_images_are_not_taken_for_trays(folder, recipe, tmp_path):
    trays = tmp_path / "trays"
    shutil.copytree(folder, trays)
    prepare(find_trays(trays, without=trays / "out"), trays / "out", recipe, {})
    assert len(find_trays(trays, without=trays / "out")) == 4
    with pytest.raises(DataError, match="another folder"):
        find_trays(trays, without=trays)


def test_an_index_of_another_kind_is_not_overwritten(folder, recipe, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.csv").write_text("file,source\na.png,a\n", encoding="utf-8")
    with pytest.raises(DataError, match="not written by prepare"):
        prepare(find_trays(folder), out, recipe, {}, force=True)
