"""Forget the key of an image that was made of an encrypted volume and is gone."""

from breezeblock.db import image_keys
from breezeblock.flows import encrypting
from breezeblock.flows.engine import Flow, flow, message_for_user


def abandon(flow: Flow, error: BaseException) -> None:
    """Nothing to undo: the note of the key is left, and the doctor tells of it."""
    with flow.ending("failed", message_for_user(error)):
        pass


@flow("forget_image_key", abandon=abandon)
def forget_image_key(flow: Flow) -> None:
    """The key first, then the note of it."""
    with flow.backend.database.read() as connection:
        key = image_keys.find(connection, flow.arguments["image_id"])
    if key is None:
        return
    with flow.explained("forget_key", encryption_key_id=key.encryption_key_id):
        encrypting.forget_key(flow, key.encryption_key_id)
    with flow.ending() as connection:
        image_keys.remove(connection, key.id)
