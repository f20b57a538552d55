"""``goodpart prepare`` as a user calls it."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from goodpart.parts.render import write_trays
from goodpart.recipe import load_recipe


@pytest.fixture(scope="module")
def trays(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "trays"
    options = {"defective": 1, "defects": ("Stain",), "size": (816, 683)}
    write_trays(root, normal=3, **options)
    return root


@pytest.fixture(scope="module")
def tabs(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "tabs"
    write_trays(root, kind="tab", normal=2, defective=0, size=(816, 683))
    return root


def test_trays_become_parts_with_a_recipe_that_the_next_run_uses(goodpart, trays, tmp_path):
    out = tmp_path / "caps"
    first = goodpart("prepare", trays, out, "--json")
    assert first.returncode == 0, first.stderr
    answer = json.loads(first.stdout)
    assert (answer["trays"], answer["new"], answer["parts"]) == (4, 4, 20)
    assert len(list((out / "Normal").glob("*_top_left.png"))) == 3
    recipe = (out / "recipe.toml").read_bytes()
    second = goodpart("prepare", trays, out)
    assert second.returncode == 0, second.stderr
    assert "0 new of 4 trays" in second.stdout
    assert (out / "recipe.toml").read_bytes() == recipe


def test_learning_writes_a_recipe_and_cuts_nothing(goodpart, tabs, tmp_path):
    out = tmp_path / "tabs"
    learned = goodpart("prepare", tabs, out, "--learn")
    assert learned.returncode == 0, learned.stderr
    assert sorted(path.name for path in out.iterdir()) == ["recipe.example.png", "recipe.toml"]
    section = load_recipe(out / "recipe.toml").tray
    assert section.mode == "template"
    assert len(section.pockets) == 5
    again = goodpart("prepare", tabs, out, "--learn")
    assert again.returncode == 2
    assert "--force" in again.stderr
    done = goodpart("prepare", tabs, out)
    assert "2 new of 2 trays -> 10 parts" in done.stdout


def test_the_preview_draws_every_tray_and_cuts_nothing(goodpart, trays, tmp_path):
    out = tmp_path / "caps"
    result = goodpart("prepare", trays, out, "--preview")
    assert result.returncode == 0, result.stderr
    assert not out.exists()
    drawn = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png"))
    assert len(drawn) == 4
    assert drawn[0].startswith("caps-preview/Normal/rendered_cap_tray_")
    with Image.open(tmp_path / drawn[0]) as picture:
        assert picture.size == (816, 683)


def test_a_recipe_of_ones_own_decides(goodpart, trays, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        """
        [tray]
        mode = "boxes"
        boxes = [
          { name = "A", x = 40, y = 30, width = 250, height = 250 },
          { name = "밖", x = 5000, y = 30, width = 250, height = 250 },
        ]
        """,
        encoding="utf-8",
    )
    out = tmp_path / "parts"
    result = goodpart("prepare", trays, out, "--config", recipe)
    assert result.returncode == 0, result.stderr
    assert "4 trays -> 4 parts; not cut: 4 empty" in result.stdout
    changed = goodpart("prepare", trays, out, "--config", recipe, "--set", "tray.tolerance=0.1")
    assert changed.returncode == 2
    assert "another recipe" in changed.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "out"), "no such folder"),
        (("{trays}", "{trays}"), "another folder"),
        (("{trays}", "out", "--config", "no.toml"), "cannot read the recipe"),
        (("{trays}", "out", "--set", "tray.mode=square"), "tray.mode"),
        (("{trays}", "out", "--set", "tray.mode=boxes"), "needs boxes"),
    ],
)
def test_mistakes_are_told_in_one_line(goodpart, trays, tmp_path, arguments, message):
    given = [argument.format(trays=trays) for argument in arguments]
    result = goodpart("prepare", *given, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
