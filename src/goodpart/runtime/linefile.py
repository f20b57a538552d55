"""The line file: everything around the recipe (folders, database, outputs), as one TOML file."""

from __future__ import annotations

import socket
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from goodpart.detectors.engine import EngineName
from goodpart.errors import GoodpartError, RecipeError
from goodpart.outputs.settings import OutputsSection, SecretSection, Section
from goodpart.records.units import parse_age, parse_size


class FoldersSection(Section):
    """Where images come in and where everything goes."""

    inbox: Path | None = None
    results: Path | None = None
    done: Path | None = Field(None, description="default: done/ in results")
    ng: Path | None = Field(None, description="default: ng/ in results; NG and CHECK")
    quarantine: Path | None = Field(
        None, description="default: quarantine/ in results; what could not be judged"
    )


class DatabaseSection(Section):
    """Where records are kept."""

    url: str | None = Field(
        None, description="default: $GOODPART_DATABASE, or sqlite:///goodpart.db"
    )
    images: Path | None = Field(
        None, description="folder of the image store; default: beside a SQLite file"
    )
    url_from: SecretSection | None = Field(
        None, description="a URL with a password belongs here, not in url"
    )

    @model_validator(mode="after")
    def _one(self) -> DatabaseSection:
        if self.url is not None and self.url_from is not None:
            raise ValueError("give url or url_from, not both")
        return self


class WatchSection(Section):
    """How images are taken in."""

    handoff: Literal["normal", "legacy"] = Field(
        "normal", description="legacy: one fixed file name in, three fixed files out"
    )
    image: str = Field("image.jpg", description="legacy: the fixed file name", min_length=1)
    inputs: Literal["move", "delete"] = Field(
        "move", description="judged images; those that could not be judged are always kept"
    )
    lots: bool = Field(False, description="subfolders of the inbox are lots")
    settle: float = Field(0.2, ge=0.02, le=60, description="seconds a file must stand still")
    broken_after: float = Field(
        2.0, ge=0.1, le=3600, description="seconds after which an incomplete file is given up"
    )
    rescan: float = Field(1.0, ge=0.02, le=3600, description="seconds between looks at the inbox")
    events: Literal["auto", "polling"] = Field(
        "auto", description="auto: polling on network shares, events of the system elsewhere"
    )
    poll: float = Field(0.1, ge=0.01, le=60, description="seconds between looks when polling")
    workers: int = Field(
        4,
        ge=1,
        le=64,
        description="images on their way at the same time; those that wait share detector runs",
    )
    queue: int = Field(
        1000, ge=1, description="most images claimed ahead; the rest waits in the inbox"
    )
    engine: EngineName | None = Field(
        None, description="what runs the model's networks; default: what its limits were set on"
    )
    batch: int = Field(8, ge=1, le=256, description="most part images in one detector run")

    @model_validator(mode="after")
    def _plain_name(self) -> WatchSection:
        if Path(self.image).name != self.image or self.image.startswith("."):
            raise ValueError("image must be a plain file name")
        return self


class RetentionSection(Section):
    """Which pictures the image store keeps; records always stay, as do the pictures of NG, CHECK
    and reviewed parts and of training images (``goodpart records prune`` removes those)."""

    older_than: str | None = Field(None, description="remove pictures older than, such as 90d")
    max_size: str | None = Field(None, description="then the oldest, down to, such as 50GB")
    every: float = Field(3600.0, ge=1, le=86400, description="seconds")

    @model_validator(mode="after")
    def _understood(self) -> RetentionSection:
        try:
            if self.older_than is not None:
                parse_age(self.older_than)
            if self.max_size is not None:
                parse_size(self.max_size)
        except GoodpartError as error:
            raise ValueError(str(error)) from None
        return self


class HealthSection(Section):
    """The health file."""

    file: Path | None = Field(None, description="default: health.json in results")
    every: float = Field(1.0, ge=0.1, le=60, description="seconds")


class MetricsSection(Section):
    """The Prometheus endpoint; off unless a port is given."""

    port: int | None = Field(None, ge=0, le=65535)
    host: str = "127.0.0.1"


class LineFile(Section):
    """Everything around the recipe."""

    station: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=64,
        description="default: the machine's name",
    )
    operator: str | None = Field(None, max_length=64)
    folders: FoldersSection = FoldersSection()
    database: DatabaseSection = DatabaseSection()
    watch: WatchSection = WatchSection()
    outputs: OutputsSection = OutputsSection()
    retention: RetentionSection = RetentionSection()
    health: HealthSection = HealthSection()
    metrics: MetricsSection = MetricsSection()

    def with_values(self, **values: dict[str, Any]) -> LineFile:
        """The same with some values replaced, by section: ``with_values(watch={"lots": True})``.

        Raises
        ------
        RecipeError
            A value does not validate.
        """
        plain = self.model_dump(exclude_unset=True)
        for section, changed in values.items():
            plain[section] = {**plain.get(section, {}), **changed}
        return parse_line_file(plain, where="the command line")


def parse_line_file(values: dict[str, Any], *, where: str = "line file") -> LineFile:
    """Validate plain values.

    Raises
    ------
    RecipeError
        One line with the place and the reason of the first mistake.
    """
    try:
        return LineFile.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "top level"
        what = first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{where}: {place}: {what}") from None


def load_line_file(path: str | Path) -> LineFile:
    """Read a line file.

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
        raise RecipeError(f"{path}: cannot read the line file: {reason}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a TOML file: {error}") from None
    return parse_line_file(values, where=str(path))
