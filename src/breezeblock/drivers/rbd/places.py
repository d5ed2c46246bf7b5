"""The clusters of one backend: its own, and the one of its `replication_device`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from breezeblock.config import BackendSettings
from breezeblock.drivers.rbd.cluster import Cluster
from breezeblock.drivers.rbd.connecting import Connections, Credentials
from breezeblock.drivers.rbd.exporting import Exporting
from breezeblock.drivers.rbd.store import Store
from breezeblock.drivers.rbd.wire import Access
from breezeblock.errors import ConfigError

KEYS = frozenset(("backend_id", "conf", "user", "pool", "secret_uuid", "cluster_name"))


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A pool of a cluster. `backend_id` is None for the backend's own."""

    backend_id: str | None
    access: Access
    cluster: Cluster
    store: Store
    connections: Connections
    exporting: Exporting

    def close(self) -> None:
        """End the connection; export daemons go on serving."""
        self.exporting.close()
        self.store.close()
        self.cluster.close()


def own_place(settings: BackendSettings, options: Mapping[str, Any]) -> Place:
    """The pool that the section names. Touches nothing."""
    return _place(
        settings,
        options,
        backend_id=None,
        conf=options["rbd_ceph_conf"],
        cluster_name=options["rbd_cluster_name"],
        user=options["rbd_user"],
        pool=options["rbd_pool"],
        secret_uuid=options["rbd_secret_uuid"],
    )


def target_place(settings: BackendSettings, options: Mapping[str, Any]) -> Place | None:
    """The pool of the `replication_device`; None without one. Raises `ConfigError`."""
    devices: list[dict[str, str]] = options["replication_device"] or []
    if not devices:
        return None
    device = devices[0]
    unknown = sorted(device.keys() - KEYS)
    if len(devices) > 1 or unknown or not device.get("backend_id") or device["backend_id"] == "default":
        raise ConfigError(
            f"The replication_device of {settings.name} must be one, with a backend_id other than default, and have no "
            f"other keys than {', '.join(sorted(KEYS))}{': ' + ', '.join(unknown) if unknown else ''}."
        )
    name = device["backend_id"]
    return _place(
        settings,
        options,
        backend_id=name,
        conf=device.get("conf", f"/etc/ceph/{name}.conf"),
        cluster_name=device.get("cluster_name", options["rbd_cluster_name"]),
        user=device.get("user", options["rbd_user"] or "cinder"),
        pool=device.get("pool", options["rbd_pool"]),
        secret_uuid=device.get("secret_uuid", options["rbd_secret_uuid"]),
    )


def _place(
    settings: BackendSettings,
    options: Mapping[str, Any],
    *,
    backend_id: str | None,
    conf: str,
    cluster_name: str,
    user: str | None,
    pool: str,
    secret_uuid: str | None,
) -> Place:
    access = Access(conf=conf, cluster=cluster_name, user=user, pool=pool, timeout=options["rados_connect_timeout"])
    cluster = Cluster(
        access,
        settings.backend,
        timeout=options["rbd_operation_timeout"],
        retries=options["rados_connection_retries"],
        interval=options["rados_connection_interval"],
    )
    credentials = Credentials(
        cluster_name=cluster_name,
        pool=pool,
        user=user,
        secret_uuid=secret_uuid,
        keyring_path=options["rbd_keyring_conf"],
    )
    connections = Connections(cluster, credentials)
    run_dir = settings.data_dir / "run" / "nbd" / (f"{settings.name}.away" if backend_id else settings.name)
    return Place(
        backend_id=backend_id,
        access=access,
        cluster=cluster,
        store=Store(cluster, pool),
        connections=connections,
        exporting=Exporting(run_dir, cluster, access, connections, options["rbd_nbd_hosts"]),
    )
