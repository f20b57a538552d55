"""Webhook: each verdict as a signed JSON message by HTTP POST."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from goodpart.outputs.delivery import DeliveryError
from goodpart.outputs.settings import WebhookSection

_PASSING = frozenset({408, 409, 425, 429})
"""Client errors that may be gone at the next try."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signed message goes where the line file says and nowhere else."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature that the receiver compares: HMAC-SHA256 (RFC 2104) of ``timestamp.body``.

    Returns
    -------
    str
        ``sha256=`` and 64 hexadecimal digits.
    """
    mac = hmac.new(secret.encode("utf-8"), timestamp.encode("ascii") + b"." + body, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


class Webhook:
    """An HTTP receiver; any 2xx answer is a receipt.

    Each message has the headers ``Idempotency-Key`` (the inspection's id),
    ``Goodpart-Timestamp`` (seconds since 1970) and, with a secret, ``Goodpart-Signature``.

    Parameters
    ----------
    settings : WebhookSection

    Raises
    ------
    RecipeError
        The secret cannot be read.
    """

    name = "webhook"

    def __init__(self, settings: WebhookSection) -> None:
        self.retry = settings.retry
        self._settings = settings
        self._secret = settings.secret.read("outputs.webhook.secret") if settings.secret else None
        self._opener = urllib.request.build_opener(_NoRedirect)

    def send(self, key: str, payload: Mapping[str, Any]) -> None:
        """See :meth:`goodpart.outputs.delivery.Output.send`."""
        body = json.dumps(payload, ensure_ascii=False, allow_nan=False).encode("utf-8")
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "goodpart",
            "Idempotency-Key": key,
            "Goodpart-Timestamp": timestamp,
        }
        if self._secret is not None:
            headers["Goodpart-Signature"] = sign(self._secret, timestamp, body)
        request = urllib.request.Request(
            self._settings.url, data=body, headers=headers, method="POST"
        )
        try:
            with self._opener.open(request, timeout=self._settings.timeout) as answer:
                answer.read(65536)
        except urllib.error.HTTPError as error:
            error.close()
            refused = 300 <= error.code < 500 and error.code not in _PASSING
            raise DeliveryError(
                f"the receiver answered {error.code} {error.reason}", refused=refused
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise DeliveryError(f"no answer from the receiver: {reason}") from None

    def announce(self, state: str) -> None:
        """A webhook tells verdicts only."""

    def close(self) -> None:
        """Nothing is kept open."""
