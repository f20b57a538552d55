"""The exceptions that goodpart raises. Each message is one line: what is wrong, where, what to do.

The command line turns every :class:`GoodpartError` into that line and exit status 2; anything
else is a bug and keeps its traceback.
"""

from __future__ import annotations


class GoodpartError(Exception):
    """Base of everything that goodpart raises on purpose."""


class ImageError(GoodpartError):
    """One image cannot be used.

    Parameters
    ----------
    reason : str
        A short code that records keep, such as ``"unreadable"`` or ``"too large"``.
    message : str
        The whole sentence, naming the file.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class DataError(GoodpartError):
    """A data folder is missing, empty or laid out in a way that cannot be understood."""


class RecipeError(GoodpartError):
    """A recipe or a setting is not valid."""


class ModelError(GoodpartError):
    """A model folder cannot be loaded or written."""


class NotFittedError(GoodpartError):
    """A detector was asked for scores before it was fitted."""


class TrainingError(GoodpartError):
    """Training could not reach a usable result."""


class MissingExtraError(GoodpartError):
    """An optional dependency is not installed.

    Parameters
    ----------
    package : str
        The import that failed.
    extra : str
        The extra of goodpart that brings it, such as ``"train"``.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed: it belongs to the extra '{extra}', "
            f"install it with: pip install 'goodpart[{extra}]'"
        )
        self.package = package
        self.extra = extra
