"""The recipe: everything that decides a verdict, as one validated TOML file.

A recipe is written by a person (or by ``prepare --learn``), completed by training (whatever is
``"auto"`` is decided on the good images) and then kept in the model: what was trained is what
is run.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from goodpart.errors import RecipeError

# Names of pockets become parts of file names.
NAME_PATTERN = r"^[^/\\:*?\"<>|\x00-\x1f.][^/\\:*?\"<>|\x00-\x1f]*$"


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, values cannot be changed in place."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSection(Section):
    """How image files are read."""

    color: Literal["auto", "grey", "color"] = Field(
        "auto", description="auto: grey where all good images are grey within JPEG noise"
    )
    white_level: int | Literal["auto"] = Field(
        "auto",
        description="16-bit value that is white; auto: the least of 1023, 4095, 16383, 65535 "
        "that no good image exceeds",
    )
    max_bytes: int = Field(200_000_000, gt=0, description="larger files are refused unread")
    max_pixels: int = Field(120_000_000, gt=0, description="larger images are refused undecoded")


class TrayBox(Section):
    """A fixed box on the tray, in pixels of the tray image; may reach beyond it."""

    name: str = Field(min_length=1, max_length=60, pattern=NAME_PATTERN)
    x: int = Field(description="left edge")
    y: int = Field(description="upper edge")
    width: int = Field(ge=8, le=20_000)
    height: int = Field(ge=8, le=20_000)


class TrayPocket(Section):
    """A place of the tray where a part belongs: its centre in pixels of the tray image."""

    name: str = Field(min_length=1, max_length=60, pattern=NAME_PATTERN)
    x: float
    y: float


class TrayException(Section):
    """What is different on some trays, by file name or pattern (``"2024-05-*"``)."""

    files: tuple[str, ...] = Field(min_length=1)
    boxes: tuple[TrayBox, ...] = Field((), description="in place of the boxes of the same name")
    skip: tuple[str, ...] = Field((), description="pockets that are not looked at on these trays")


class TraySection(Section):
    """Where the parts lie in a tray image."""

    mode: Literal["none", "boxes", "round", "template"] = Field(
        "none", description="none: each image shows one part; the others: how parts are found"
    )
    size: tuple[int, int] | None = Field(
        None, description="height, width of tray images; others are not judged. None: any"
    )
    part: tuple[int, int] | None = Field(
        None, description="height, width in pixels of what is cut out for a part; learned"
    )
    allow_empty: bool = Field(False, description="an empty pocket is only counted")
    boxes: tuple[TrayBox, ...] = Field((), description="mode boxes")
    pockets: tuple[TrayPocket, ...] = Field(
        (), description="mode round, template: names and places; none: named in reading order"
    )
    exceptions: tuple[TrayException, ...] = ()
    radius: float | None = Field(
        None, gt=2, description="mode round: radius of the part's outline in pixels; learned"
    )
    bright: bool | None = Field(
        None, description="mode round: whether parts are brighter than the tray; learned"
    )
    example: str | None = Field(
        None, description="mode template: image of one good part, cut closely; or learned"
    )
    turned: bool = Field(True, description="mode template: parts may lie at any angle")
    tolerance: float = Field(
        0.05, gt=0, le=0.3, description="how much larger or smaller than usual a part may be"
    )
    contrast: float | None = Field(
        None, gt=0, description="usual step of brightness at the parts' edges, of 255; learned"
    )
    least_match: float = Field(
        0.5, gt=0, le=1, description="share of a part's outline that has to be found"
    )

    @model_validator(mode="after")
    def _consistent(self) -> TraySection:
        if self.mode == "boxes" and not self.boxes:
            raise ValueError("mode boxes needs boxes: add [[tray.boxes]] with name, x, y, ...")
        names = [place.name for place in (self.boxes or self.pockets)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two pockets are called {twice[0]!r}; give each its own name")
        for exception in self.exceptions:
            for name in (*(box.name for box in exception.boxes), *exception.skip):
                if names and name not in names:
                    raise ValueError(f"an exception names {name!r}, which is no pocket")
        return self


class PartSection(Section):
    """The part image that detectors see."""

    size: tuple[int, int] | Literal["auto"] = Field(
        "auto",
        description="height, width in pixels; auto: the median of the good images, the longer "
        "side at most max_side",
    )
    max_side: int = Field(512, ge=32, le=8192, description="limit of the automatic size")
    mm_per_pixel: float | None = Field(None, gt=0, description="scale of the source image")
    view: Literal["plain", "polar"] = Field(
        "plain", description="polar: the detector sees round parts unwrapped"
    )
    tile: int | None = Field(
        None,
        ge=64,
        le=4096,
        multiple_of=16,
        description="side of the tiles in which a larger part is looked at; none: in one piece",
    )
    overlap: float = Field(0.15, ge=0, le=0.5, description="what tiles have in common, at least")
    captures: Literal["apart", "together"] = Field(
        "apart",
        description="good images that show one and the same part: apart, each counts by itself; "
        "together, they are held out together and limits count parts",
    )

    @field_validator("size")
    @classmethod
    def _size_in_range(cls, value: Any) -> Any:
        if value != "auto" and not all(16 <= side <= 8192 for side in value):
            raise ValueError("each side must lie between 16 and 8192 pixels")
        return value

    @model_validator(mode="after")
    def _one_view(self) -> PartSection:
        if self.view == "polar" and self.tile is not None:
            raise ValueError("the polar view cannot be cut into tiles: drop part.tile")
        return self


class AlignSection(Section):
    """How a part is brought to the same place, size and angle in every part image."""

    method: Literal["auto", "none", "circle", "ellipse", "template"] = Field(
        "auto", description="auto: the one after which the good images agree best"
    )
    rotation: Literal["auto", "none", "angle"] = Field(
        "auto", description="turn to a common angle; auto: where the good images then agree better"
    )
    radius: float | None = Field(
        None, gt=0, description="learned: radius of the anchor ring in the part image, pixels"
    )
    outline: float | None = Field(
        None, gt=0, description="learned: radius of the part's outline in the part image, pixels"
    )
    least_match: float | None = Field(
        None, description="learned: a part that looks less like the good ones is not located"
    )


Place = tuple[float, float]


class MaskShape(Section):
    """An area of the part: x and y from 0 to 1 across the part image, radii as shares of its
    shorter side, so that it stays where it is when the working resolution changes."""

    shape: Literal["polygon", "circle", "ring"]
    points: tuple[Place, ...] = Field((), description="polygon: corners (x, y)")
    center: Place = (0.5, 0.5)
    radius: float | None = Field(None, gt=0, description="circle, ring: outer radius")
    inner: float | None = Field(None, gt=0, description="ring: inner radius")

    @model_validator(mode="after")
    def _complete(self) -> MaskShape:
        if self.shape == "polygon":
            if len(self.points) < 3:
                raise ValueError("a polygon needs at least three points")
        elif self.radius is None:
            raise ValueError(f"a {self.shape} needs a radius")
        if self.shape == "ring" and (self.inner is None or self.inner >= (self.radius or 0)):
            raise ValueError("a ring needs an inner radius below its radius")
        return self


class MaskSection(Section):
    """Which pixels of the part image count: for the score, the limits and the checks."""

    background: Literal["ignore", "count"] = Field(
        "ignore", description="what lies outside the part's outline, where one was found"
    )
    margin: float = Field(
        0.08, ge=0, le=1, description="how far beyond the outline pixels count, share of its radius"
    )
    ignore: tuple[MaskShape, ...] = Field((), description="areas that do not count")
    only: tuple[MaskShape, ...] = Field((), description="where given, these areas alone count")
    image: str | None = Field(
        None, description="file with a picture of the part image: pixels count where it is not 0"
    )


Range = tuple[float, float]
Check = Literal["auto", "off"] | Range


class ChecksSection(Section):
    """Checks of the part image before it is judged: what lies outside is NOT_JUDGED.

    ``"auto"`` is learned from the good images, with a generous margin.
    """

    brightness: Check = Field("auto", description="mean grey level of the part, 0..255")
    contrast: Check = Field("auto", description="deviation of grey levels")
    saturation: Check = Field("auto", description="share of pixels that are white")
    focus: Check = Field("auto", description="sharpness: log10 of the Laplacian's variance")
    likeness: Check = Field(
        "auto", description="correlation of edges with the mean good part: is a part there?"
    )
    place: Check = Field(
        "auto", description="distance from where parts usually lie, share of the image's side"
    )
    scale: Check = Field("auto", description="size against the usual one")
    shown: Check = Field("auto", description="share of the part that lies inside the image")


class DetectorSection(Section):
    """Which detector, and its settings by name."""

    name: str = "auto-default"
    settings: dict[str, Any] = Field(default_factory=dict)


class LimitsSection(Section):
    """What the limits are to promise."""

    overkill: float = Field(0.01, gt=0, lt=0.5, description="share of good parts judged NG")
    escape: float | None = Field(
        None, gt=0, lt=1, description="share of defective parts judged OK; needs defective images"
    )
    ok: float | None = Field(None, description="set by hand: at or below it a part is OK")
    ng: float | None = Field(None, description="set by hand: above it a part is NG")

    @model_validator(mode="after")
    def _ordered(self) -> LimitsSection:
        if (self.ok is None) != (self.ng is None):
            raise ValueError("set both limits.ok and limits.ng by hand, or neither")
        if self.ok is not None and self.ng is not None and self.ng < self.ok:
            raise ValueError("limits.ng must not lie below limits.ok")
        return self


class Recipe(Section):
    """Everything that decides a verdict."""

    name: str = ""
    seed: int = Field(0, ge=0, le=2**32 - 1)
    input: InputSection = InputSection()
    tray: TraySection = TraySection()
    part: PartSection = PartSection()
    align: AlignSection = AlignSection()
    mask: MaskSection = MaskSection()
    checks: ChecksSection = ChecksSection()
    detector: DetectorSection = DetectorSection()
    limits: LimitsSection = LimitsSection()


def parse_recipe(values: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """Validate plain values.

    Raises
    ------
    RecipeError
        One line with the place and the reason of the first mistake.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "top level"
        what = first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{where}: {place}: {what}") from None


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a TOML file.

    Raises
    ------
    RecipeError
        The file is missing, is not TOML, or does not validate.
    """
    try:
        with open(path, "rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RecipeError(f"{path}: cannot read the recipe: {reason}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a TOML file: {error}") from None
    return _beside(parse_recipe(values, where=str(path)), Path(path).parent)


def _beside(recipe: Recipe, folder: Path) -> Recipe:
    """File names in a recipe are relative to where it lies."""
    example = recipe.tray.example
    if example is None or Path(example).is_absolute():
        return recipe
    tray = recipe.tray.model_copy(update={"example": str(folder / example)})
    return recipe.model_copy(update={"tray": tray})


def _literal(text: str) -> Any:
    """A TOML value, or the text itself where it is not one (``--set detector.name=memory``)."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def override(recipe: Recipe, settings: list[str]) -> Recipe:
    """Apply ``key=value`` settings, keys with dots: ``limits.overkill=0.005``.

    A key without a known section is taken as a setting of the detector
    (``epochs=5`` is ``detector.settings.epochs=5``).

    Raises
    ------
    RecipeError
        A setting has no ``=`` or does not validate.
    """
    values = recipe.model_dump(exclude_unset=True)
    sections = set(Recipe.model_fields)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"--set {setting}: write it as key=value, such as epochs=5")
        steps = key.strip().split(".")
        if steps[0] not in sections:
            steps = ["detector", "settings", *steps]
        place = values
        for step in steps[:-1]:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise RecipeError(f"--set {setting}: {step} is a value, not a section")
        place[steps[-1]] = _literal(text.strip())
    return parse_recipe(values, where="--set")


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as TOML text, without the settings that are not set (TOML has no null)."""
    import tomli_w

    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))
