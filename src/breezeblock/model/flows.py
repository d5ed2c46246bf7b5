"""Which flows there are, and in which versions this release runs them.

A request for a flow is kept until the flow has ended, through upgrades too. So the function of a version stays as long
as a request of that version may wait somewhere; `breezeblock doctor` lists what drains. CONTRIBUTING.md says how a flow
is changed.
"""

VERSIONS: dict[str, tuple[int, ...]] = {
    "accept_transfer": (1,),
    "connect_volume": (1,),
    "create_backup": (1,),
    "create_group_from_src": (1,),
    "create_group_snapshot": (1,),
    "create_snapshot": (1,),
    "create_volume": (1,),
    "delete_backup": (1,),
    "delete_group": (1,),
    "delete_group_snapshot": (1,),
    "delete_snapshot": (1,),
    "delete_volume": (1,),
    "disconnect_volume": (1,),
    "extend_volume": (1,),
    "failover_host": (1,),
    "fill_image_cache": (1,),
    "forget_image_key": (1,),
    "hydrate_volume": (1,),
    "import_backup": (1,),
    "list_manageable": (1,),
    "manage_snapshot": (1,),
    "manage_volume": (1,),
    "migrate_volume": (1,),
    "purge_orphan": (1,),
    "reconcile_export": (1,),
    "refresh_replica": (1,),
    "reimage_volume": (1,),
    "restore_backup": (1,),
    "retype_volume": (1,),
    "revert_to_snapshot": (1,),
    "settle_image": (1,),
    "unmanage_snapshot": (1,),
    "unmanage_volume": (1,),
    "upload_image": (1,),
}
"""By name, the oldest version first. `flows.engine.flow` registers a function for each; the newest is requested."""


def newest(name: str) -> int:
    """The version that a new request of this flow has. Raises `KeyError` for a flow that there is not."""
    return VERSIONS[name][-1]


def is_known(name: str, version: int) -> bool:
    """Whether this release can run it."""
    return version in VERSIONS.get(name, ())
