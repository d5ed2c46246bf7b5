"""A volume with the content of a backup."""

from breezeblock.db import backups
from breezeblock.flows import encrypting
from breezeblock.flows.backup_content import copy_in
from breezeblock.flows.engine import Flow
from breezeblock.flows.made import Made
from breezeblock.model.sources import FromBackup
from breezeblock.model.volume import Volume


def create(flow: Flow, volume: Volume, spec: FromBackup) -> Made:
    """Make an empty volume and fill it with the backup."""
    with flow.backend.database.read() as connection:
        backup = backups.get(connection, spec.backup_id)
    flow.take_copy_turn(volume.project_id)
    with flow.explained("create_volume", size=volume.size):
        update = flow.driver.create_volume(volume) or {}
    with flow.explained("copy_backup_to_volume", backup=backup.id):
        rekey = encrypting.rekeying(flow, volume, backup.encryption_key_id)
        flow.driver.copy_image_to_volume(
            volume, f"backup:{backup.id}", lambda target: copy_in(flow, backup, target, rekey)
        )
    return Made(model_update=update, bootable=backup.volume_bootable, image_metadata=backup.image_metadata)
