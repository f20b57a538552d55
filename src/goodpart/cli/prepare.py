"""``goodpart prepare``: from trays to aligned part images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, progress_bar, write_json
from goodpart.errors import DataError

RECIPE_NAME = "recipe.toml"


def command(
    trays: Annotated[Path, typer.Argument(help="Folder of tray images, or class folders of them.")],
    out: Annotated[Path, typer.Argument(help="Data folder to write part images to.")],
    config: Annotated[Path | None, typer.Option("--config", help="Recipe (TOML).")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value over the recipe, such as tray.allow_empty=true."),
    ] = None,
    learn: Annotated[
        bool, typer.Option("--learn", help="Learn OUT/recipe.toml from the trays; cut nothing.")
    ] = False,
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Draw what is found into OUT-preview; cut nothing."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what another recipe prepared.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the summary as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Find the parts on the trays and write each as an image of its own, centred and upright.

    Without --config the recipe of an earlier run in OUT is used; at first one is learned from the
    trays and written to OUT/recipe.toml. Class folders of trays become class folders of parts, and
    index.csv says where each part lay. Run it again when there are more trays: only new ones are
    worked on.

    Example: goodpart prepare data/trays data/caps --preview
    """
    from goodpart.parts.prepare import find_trays, fingerprint, prepare
    from goodpart.parts.prepare_index import check_recipe

    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; give a folder to write to")
    files = find_trays(trays, without=out)
    kept = out / RECIPE_NAME
    if learn and kept.exists() and not force:
        raise DataError(f"{kept}: exists already; add --force to learn it again")
    with progress_bar() as progress:
        recipe, arrays = _recipe(files, config, kept, settings or [], learn, progress)
        answer: dict[str, Any] = {"recipe": str(kept), **_described(recipe)}
        if preview:
            target = out.with_name(f"{out.name}-preview")
            answer |= {"preview": str(target), **_preview(files, target, recipe, arrays, progress)}
        if learn:
            _write_recipe(kept, recipe, arrays)
        elif not preview:
            check_recipe(out, fingerprint(recipe, arrays), force=force)
            _write_recipe(kept, recipe, arrays)
            summary = prepare(files, out, recipe, arrays, force=force, progress=progress)
            answer |= summary.to_dict()
    if json_file is not None:
        write_json(answer, json_file)
        return
    _show(answer, out)


def _recipe(
    files: Any, config: Path | None, kept: Path, settings: list[str], learn: bool, progress: Any
) -> tuple[Any, Any]:
    """The recipe with its tray section complete, and what was learned with it."""
    from goodpart.parts.learn_tray import complete_tray, learn_tray
    from goodpart.parts.prepare import grey_reader
    from goodpart.recipe import Recipe, load_recipe, override

    recipe = Recipe()
    if config is not None:
        recipe = load_recipe(config)
    elif kept.is_file() and not learn:
        recipe = load_recipe(kept)
    recipe = override(recipe, settings)
    how = learn_tray if learn or recipe.tray.mode == "none" else complete_tray
    section, arrays = how(recipe.tray, len(files), grey_reader(files, recipe), progress)
    return recipe.model_copy(update={"tray": section}), arrays


def _write_recipe(path: Path, recipe: Any, arrays: Any) -> None:
    """What decides, without the settings that are as usual; the example beside it."""
    import tomli_w

    from goodpart.decision.pictures import png_bytes
    from goodpart.parts.dataset import EXAMPLE_NAME
    from goodpart.parts.find import EXAMPLE

    tray = recipe.tray
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if EXAMPLE in arrays:
            (path.parent / EXAMPLE_NAME).write_bytes(png_bytes(arrays[EXAMPLE]))
            tray = tray.model_copy(update={"example": EXAMPLE_NAME})
        values = recipe.model_copy(update={"tray": tray}).model_dump(
            mode="json", exclude_none=True, exclude_defaults=True
        )
        path.write_text(tomli_w.dumps(values), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None


def _preview(files: Any, target: Path, recipe: Any, arrays: Any, progress: Any) -> dict[str, Any]:
    from collections import Counter

    from goodpart.decision.pictures import png_bytes
    from goodpart.errors import ImageError
    from goodpart.parts.find import create_finder
    from goodpart.parts.prepare import finding_pixels
    from goodpart.parts.preview import draw_found
    from goodpart.parts.read import read_image
    from goodpart.progress import track

    finder = create_finder(recipe.tray, arrays)
    if finder is None:
        raise DataError("the recipe's tray.mode is none: each image shows one part already")
    counts: Counter[str] = Counter()
    messages: list[str] = []
    try:
        for tray in track(files, "drawing", len(files), progress):
            try:
                pixels = finding_pixels(read_image(tray.path, limits=recipe.input), recipe)
            except ImageError as error:
                messages.append(str(error))
                continue
            found = finder.find(pixels, tray.name)
            counts.update("parts" if one.problem is None else one.problem[0] for one in found)
            (target / tray.folder).mkdir(parents=True, exist_ok=True)
            picture = target / tray.folder / f"{tray.stem}.png"
            picture.write_bytes(png_bytes(draw_found(pixels, found)))
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from None
    parts = counts.pop("parts", 0)
    return {"trays": len(files), "parts": parts, "not_cut": dict(counts), "messages": messages}


def _described(recipe: Any) -> dict[str, Any]:
    tray = recipe.tray
    places = tray.boxes or tray.pockets
    return {
        "mode": tray.mode,
        "pockets": [place.name for place in places],
        "part": None if tray.part is None else list(tray.part),
        "radius": tray.radius,
    }


def _show(answer: dict[str, Any], out: Path) -> None:
    say = console()
    pockets = ", ".join(answer["pockets"]) or "named in reading order"
    size = "" if answer["radius"] is None else f" of radius {answer['radius']:.0f} px"
    say.print(f"parts: {answer['mode']}{size}; pockets: {pockets}", markup=False)
    for message in answer.get("messages", []):
        say.print(f"left out: {message}", style="yellow", markup=False)
    if "parts" in answer:
        reasons = ", ".join(f"{count} {reason}" for reason, count in answer["not_cut"].items())
        work = f"{answer['new']} new of " if "new" in answer else ""
        say.print(
            f"{work}{answer['trays']} trays -> {answer['parts']} parts"
            + (f"; not cut: {reasons}" if reasons else ""),
            markup=False,
        )
    if "preview" in answer:
        say.print(f"look at {answer['preview']}", markup=False)
    elif "parts" in answer:
        say.print(f"look at {out / 'contact_sheet.png'}", markup=False)
    else:
        say.print(f"recipe: {answer['recipe']}", markup=False)
