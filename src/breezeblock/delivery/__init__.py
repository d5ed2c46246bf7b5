"""Delivery of events: the outbox, number by number, to whoever has to hear of them."""
