"""MQTT: each verdict as a JSON message, and the line's state as a retained one with a last will.

Topics, all below ``topic`` and the station's name: ``verdict`` (QoS 1, not retained), ``last``
(the latest verdict, retained) and ``state`` (retained; ``running``, ``blocked``, ``stopped``, and
``offline`` by the last will where the line's PC vanished).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from goodpart.errors import MissingExtraError
from goodpart.outputs.delivery import DeliveryError
from goodpart.outputs.settings import MqttSection


class Mqtt:
    """An MQTT broker.

    Parameters
    ----------
    settings : MqttSection
    station : str

    Raises
    ------
    MissingExtraError
        paho-mqtt is not installed.
    RecipeError
        The password cannot be read.
    """

    name = "mqtt"

    def __init__(self, settings: MqttSection, station: str) -> None:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise MissingExtraError("paho-mqtt", "mqtt") from None
        self.retry = settings.retry
        self._settings = settings
        level = "".join("_" if letter in "#+/" else letter for letter in station)
        self._topic = f"{settings.topic}/{level}"
        self._connected = threading.Event()
        self._why = "not connected yet"
        self._state = "running"
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="")
        if settings.username is not None:
            password = settings.password
            secret = None if password is None else password.read("outputs.mqtt.password")
            self._client.username_pw_set(settings.username, secret)
        if settings.tls:
            self._client.tls_set(ca_certs=str(settings.ca_file) if settings.ca_file else None)
        self._client.will_set(f"{self._topic}/state", "offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.reconnect_delay_set(min_delay=1, max_delay=30)
        # Only what the spool hands over is in flight: nothing piles up in the client.
        self._client.max_queued_messages_set(100)
        self._client.connect_async(settings.host, settings.port, keepalive=10)
        self._client.loop_start()

    def send(self, key: str, payload: Mapping[str, Any]) -> None:
        """See :meth:`goodpart.outputs.delivery.Output.send`."""
        if not self._connected.wait(self._settings.timeout):
            raise DeliveryError(f"no connection to the broker: {self._why}")
        body = json.dumps({"key": key, **payload}, ensure_ascii=False, allow_nan=False)
        self._publish("verdict", body, retain=False)
        self._publish("last", body, retain=True)

    def announce(self, state: str) -> None:
        """Publish the line's state; told again after each reconnection."""
        self._state = state
        if self._connected.is_set():
            self._client.publish(f"{self._topic}/state", state, qos=1, retain=True)

    def close(self) -> None:
        """Say goodbye, so that the last will stays unsaid."""
        if self._connected.is_set():
            told = self._client.publish(f"{self._topic}/state", "stopped", qos=1, retain=True)
            # Where the connection breaks at this moment the last will speaks instead.
            with suppress(RuntimeError, ValueError):
                told.wait_for_publish(self._settings.timeout)
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self, topic: str, body: str, *, retain: bool) -> None:
        try:
            told = self._client.publish(f"{self._topic}/{topic}", body, qos=1, retain=retain)
            told.wait_for_publish(self._settings.timeout)
            arrived = told.is_published()
        except (RuntimeError, ValueError) as error:
            raise DeliveryError(f"the broker did not take a message: {error}") from None
        if not arrived:
            raise DeliveryError("the broker gave no receipt in time")

    def _on_connect(self, client: Any, userdata: Any, flags: Any, code: Any, info: Any) -> None:
        if code.is_failure:
            self._why = str(code)
            return
        self._connected.set()
        client.publish(f"{self._topic}/state", self._state, qos=1, retain=True)

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, code: Any, info: Any) -> None:
        self._connected.clear()
        self._why = str(code)
