"""What the section of a backend on Ceph may say; the options that Cinder's driver has as well have its names."""

from oslo_config import cfg, types

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt("rbd_cluster_name", default="ceph", help="Name of the Ceph cluster."),
    cfg.StrOpt("rbd_pool", default="rbd", help="The pool that the volumes are in."),
    cfg.StrOpt("rbd_user", help="The cephx user; the name without client."),
    cfg.StrOpt("rbd_ceph_conf", default="", help="Path of the Ceph configuration. Default: where Ceph looks for it."),
    cfg.StrOpt(
        "rbd_keyring_conf",
        help="Path of a keyring that is told to every host which opens a volume; none by default, since users can read it.",
    ),
    cfg.ListOpt(
        "rbd_nbd_hosts",
        default=[],
        help="Hosts without Ceph on this machine, as connectors call them: they get an NBD export, like any that asks for one.",
    ),
    cfg.StrOpt("rbd_secret_uuid", help="UUID of the libvirt secret that hosts have the cephx key in."),
    cfg.BoolOpt(
        "rbd_flatten_volume_from_snapshot",
        default=False,
        help="Copy all that a volume of a snapshot stands on, so that it needs the snapshot no more.",
    ),
    cfg.IntOpt(
        "rbd_max_clone_depth",
        default=5,
        min=0,
        help="Clones of clones that are allowed before one is flattened; 0: every clone is.",
    ),
    cfg.IntOpt("rbd_store_chunk_size", default=4, min=1, max=32, help="MiB of the objects that volumes are kept in."),
    cfg.IntOpt(
        "rados_connect_timeout",
        default=-1,
        help="Seconds that Ceph has to answer in before a call fails; -1: rbd_operation_timeout alone.",
    ),
    cfg.MultiOpt(
        "replication_device",
        item_type=types.Dict(),
        help="Where replicas of the volumes are kept: backend_id:NAME,conf:PATH,user:NAME,pool:NAME,secret_uuid:UUID.",
    ),
    cfg.IntOpt("rados_connection_retries", default=3, min=1, help="How often a connection is tried."),
    cfg.IntOpt("rados_connection_interval", default=5, min=0, help="Seconds between these tries."),
    cfg.IntOpt(
        "rbd_operation_timeout",
        default=60,
        min=1,
        help="Seconds without a sign from Ceph after which the connection is given up and made anew.",
    ),
    cfg.BoolOpt(
        "report_dynamic_total_capacity",
        default=True,
        help="The total capacity is what is used and what is free; else the cluster's, or the pool's quota.",
    ),
    cfg.BoolOpt(
        "rbd_exclusive_cinder_pool",
        default=True,
        help="The pool has volumes of this service alone, so that what is provisioned need not be counted there.",
    ),
]
