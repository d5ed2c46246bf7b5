"""What a sink is: a place outside that has to hear of events."""

from typing import Protocol

from breezeblock.db.outbox import Event


class NotDelivered(Exception):
    """A sink did not take an event; the publisher tries again. The message holds no secrets: it goes into the log."""


class Sink(Protocol):
    """Takes events one by one, in order of number, each at least once."""

    @property
    def name(self) -> str:
        """The key of its row in `deliveries`."""

    def deliver(self, event: Event) -> None:
        """Hand an event over; returns when the other side has it. Raises `NotDelivered`."""

    def close(self) -> None:
        """Let connections go."""
