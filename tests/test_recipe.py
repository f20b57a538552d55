"""Recipes: validated, one line for a mistake, and what is written is what is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from goodpart.errors import RecipeError
from goodpart.recipe import Recipe, dump_recipe, load_recipe, override, parse_recipe


def test_a_recipe_survives_being_written_and_read(tmp_path: Path) -> None:
    recipe = override(
        Recipe(), ["limits.overkill=0.005", "part.size=[320, 240]", "epochs=5", "name=caps"]
    )
    path = tmp_path / "recipe.toml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe
    assert recipe.limits.overkill == 0.005
    assert recipe.part.size == (320, 240)


def test_a_key_without_a_section_is_a_setting_of_the_detector() -> None:
    assert override(Recipe(), ["epochs=5"]).detector.settings == {"epochs": 5}


def test_words_need_no_quotes() -> None:
    assert override(Recipe(), ["detector.name=memory"]).detector.name == "memory"


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("limits.overkil=0.1", "limits.overkil"),
        ("limits.overkill=2", "limits.overkill"),
        ("limits.overkill=many", "limits.overkill"),
        ("part.size=[1, 2]", "part.size"),
        ("part.max_side=3", "part.max_side"),
        ("limits.ok=3", "limits"),
        ("epochs", "key=value"),
        ("name.first=x", "name"),
    ],
)
def test_mistakes_are_one_line_with_the_place(setting: str, place: str) -> None:
    with pytest.raises(RecipeError) as caught:
        override(parse_recipe({"name": "caps"}), [setting])
    assert place in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("limits = [", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"broken\.toml: not a TOML file"):
        load_recipe(path)
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        load_recipe(tmp_path / "missing.toml")


def test_limits_by_hand_come_in_pairs_and_in_order() -> None:
    with pytest.raises(RecipeError, match=r"both limits\.ok and limits\.ng"):
        parse_recipe({"limits": {"ng": 2.0}})
    with pytest.raises(RecipeError, match="below"):
        parse_recipe({"limits": {"ok": 3.0, "ng": 2.0}})
