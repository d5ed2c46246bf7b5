"""Notifications on the message bus, as Cinder sends them: for Ceilometer and whoever else listens there.

The messages are those of oslo.messaging's Notifier (format 2.0, `messagingv2`). They do not go through it: it and its
drivers, the only public way, log errors and go on, and an event that did not arrive has to be sent again.
"""

import logging
import uuid
from typing import Any

from breezeblock.config import Settings
from breezeblock.db.outbox import Event
from breezeblock.delivery.sink import NotDelivered
from breezeblock.errors import ConfigError

log = logging.getLogger(__name__)

CONTROL_EXCHANGE = "cinder"


class Notifications:
    """The sink `notifications`."""

    name = "notifications"

    def __init__(self, settings: Settings) -> None:
        try:
            import oslo_messaging
        except ImportError as error:
            raise ConfigError(
                "notification_transport_url needs oslo.messaging; install breezeblock[notifications]."
            ) from error
        self._messaging: Any = oslo_messaging
        self._host = settings.host
        oslo_messaging.set_transport_defaults(CONTROL_EXCHANGE)
        try:
            self._transport: Any = oslo_messaging.get_notification_transport(
                settings.conf, url=settings.events["notification_transport_url"]
            )
        except (oslo_messaging.InvalidTransportURL, oslo_messaging.DriverLoadFailure) as error:
            # the error's own text holds the URL, and with it a password
            raise ConfigError(f"notification_transport_url is wrong ({type(error).__name__}).") from None
        self._topics: list[str] = settings.conf.oslo_messaging_notifications.topics

    def deliver(self, event: Event) -> None:
        """As `Sink.deliver`; the broker has confirmed the message."""
        priority = "ERROR" if event.type.endswith(".error") else "INFO"
        message = message_of(event, priority, self._host)
        context = {"project_id": event.project_id, "user_id": event.payload.get("user_id")}
        for topic in self._topics:
            target = self._messaging.Target(topic=f"{topic}.{priority.lower()}")
            try:
                self._transport._send_notification(target, context, message, version=2.0, retry=0)
            except Exception as error:  # whatever the transport's driver raises, the event has not arrived
                log.debug("notification %d", event.number, exc_info=True)
                raise NotDelivered(f"the message bus did not take it: {type(error).__name__}") from None

    def close(self) -> None:
        """As `Sink.close`."""
        self._transport.cleanup()


def message_of(event: Event, priority: str, host: str) -> dict[str, Any]:
    """The message of an event; sent again it has the same id. Times are written as Cinder writes them."""
    where = (event.payload.get("host") or host).partition("#")[0]
    return {
        "message_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{event.resource_id}:{event.number}")),
        "publisher_id": f"{'volume' if event.resource_type == 'image' else event.resource_type}.{where}",
        "event_type": event.type,
        "priority": priority,
        "payload": event.payload,
        "timestamp": event.created_at.replace("T", " "),
    }
