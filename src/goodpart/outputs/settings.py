"""Settings of the outputs, as sections of the line file."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from goodpart.errors import RecipeError


class Section(BaseModel):
    """A part of the line file: unknown keys are errors, values cannot be changed in place."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SecretSection(Section):
    """Where a secret comes from; it never stands in the line file itself."""

    env: str | None = Field(None, description="name of an environment variable")
    file: Path | None = Field(None, description="file that holds the secret alone")

    @model_validator(mode="after")
    def _one_of_two(self) -> SecretSection:
        if (self.env is None) == (self.file is None):
            raise ValueError("give either env or file")
        return self

    def read(self, where: str) -> str:
        """The secret.

        Raises
        ------
        RecipeError
            The variable is not set, or the file cannot be read, or it is empty.
        """
        if self.env is not None:
            value = os.environ.get(self.env, "")
            source = f"the environment variable {self.env}"
        else:
            assert self.file is not None
            source = str(self.file)
            try:
                value = self.file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise RecipeError(f"{where}: cannot read {source}: {error}") from None
        if not value:
            raise RecipeError(f"{where}: {source} is empty or not set")
        return value


class FilesSection(Section):
    """Result files."""

    enabled: bool = True
    pictures: bool = Field(True, description="heatmap.png and histogram.png beside result.txt")


class RetrySection(Section):
    """When a delivery that failed is tried again."""

    first: float = Field(1.0, gt=0, description="seconds; doubled after each failure")
    longest: float = Field(300.0, gt=0, description="seconds, at most")


class WebhookSection(Section):
    """A signed JSON message for every verdict, by HTTP."""

    enabled: bool = True
    url: str = Field(pattern=r"^https?://[^\s]+$")
    secret: SecretSection | None = Field(None, description="key of the signature (HMAC-SHA256)")
    timeout: float = Field(5.0, gt=0, le=120, description="seconds")
    retry: RetrySection = RetrySection()


class MqttSection(Section):
    """A JSON message for every verdict, by MQTT."""

    enabled: bool = True
    host: str
    port: int = Field(1883, ge=1, le=65535)
    topic: str = Field("goodpart", pattern=r"^[^#+\s]+$", description="what all topics begin with")
    username: str | None = None
    password: SecretSection | None = None
    tls: bool = False
    ca_file: Path | None = Field(None, description="authority to trust; default: the system's")
    timeout: float = Field(5.0, gt=0, le=120, description="seconds")
    retry: RetrySection = RetrySection()


class OutputsSection(Section):
    """Who is told of every verdict."""

    files: FilesSection = FilesSection()
    webhook: WebhookSection | None = None
    mqtt: MqttSection | None = None
