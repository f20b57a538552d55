"""Webhook: signed, receipted, never redirected."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from pathlib import Path

import pytest
from tests.outputs.conftest import Receiver

from goodpart.errors import RecipeError
from goodpart.outputs.delivery import DeliveryError
from goodpart.outputs.settings import WebhookSection
from goodpart.outputs.webhook import Webhook


def test_a_message_is_json_with_a_key_and_a_signature(receiver: Receiver, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    settings = WebhookSection.model_validate({"url": receiver.url, "secret": {"file": secret}})
    Webhook(settings).send("the-id", {"verdict": "NG", "part": "캡 1"})
    [(headers, body)] = receiver.requests
    assert json.loads(body) == {"verdict": "NG", "part": "캡 1"}
    assert headers["Idempotency-Key"] == "the-id"
    signed = headers["Goodpart-Timestamp"].encode() + b"." + body
    expected = hmac.new(b"open sesame", signed, hashlib.sha256).hexdigest()
    assert headers["Goodpart-Signature"] == f"sha256={expected}"


def test_without_a_secret_there_is_no_signature(receiver: Receiver) -> None:
    Webhook(WebhookSection(url=receiver.url)).send("k", {})
    assert "Goodpart-Signature" not in receiver.requests[0][0]


@pytest.mark.parametrize(
    ("status", "refused"), [(400, True), (404, True), (302, True), (429, False), (500, False)]
)
def test_an_answer_that_is_no_receipt_is_an_error(
    status: int, refused: bool, receiver: Receiver
) -> None:
    receiver.statuses = [status]
    with pytest.raises(DeliveryError, match=str(status)) as caught:
        Webhook(WebhookSection(url=receiver.url)).send("k", {})
    assert caught.value.refused is refused
    assert len(receiver.requests) == 1


def test_a_receiver_that_is_not_there_may_come_back() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DeliveryError) as caught:
        Webhook(WebhookSection(url=f"http://127.0.0.1:{port}/")).send("k", {})
    assert not caught.value.refused


def test_a_receiver_that_does_not_answer_is_left_after_the_timeout(receiver: Receiver) -> None:
    receiver.delay = threading.Event()
    with pytest.raises(DeliveryError):
        Webhook(WebhookSection(url=receiver.url, timeout=0.2)).send("k", {})
    receiver.delay.set()


def test_a_secret_that_is_not_set_is_an_error_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    settings = WebhookSection.model_validate({"url": "http://a/", "secret": {"env": "HOOK_SECRET"}})
    with pytest.raises(RecipeError, match="HOOK_SECRET"):
        Webhook(settings)
