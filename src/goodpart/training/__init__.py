"""The one training loop that every network of goodpart goes through; needs the extra ``train``."""

from __future__ import annotations

from goodpart.errors import MissingExtraError


def require_torch() -> None:
    """Say which extra is missing before a module that needs torch is imported.

    Raises
    ------
    MissingExtraError
        torch or lightning-fabric is not installed.
    """
    for package in ("torch", "lightning_fabric"):
        try:
            __import__(package)
        except ImportError:
            raise MissingExtraError(package, "train") from None
