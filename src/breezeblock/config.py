"""The configuration: ini files with Cinder's option names, read once into frozen records.

Without any file the service runs embedded: SQLite, one directory backend and a local image store under the data
directory, no authentication, on loopback.
"""

import difflib
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from oslo_config import cfg

from breezeblock.errors import ConfigError

log = logging.getLogger(__name__)

DEFAULT_PROJECT = "00000000000040008000000000000001"
INTERNAL_PROJECT = "00000000000040008000000000000002"

DEFAULT_OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "host", help="Name of this host in host@backend#pool. Default: localhost on SQLite, else the host name."
    ),
    cfg.StrOpt("osapi_volume_listen", default="127.0.0.1", help="Address that the API listens on."),
    cfg.PortOpt("osapi_volume_listen_port", default=8776, help="Port that the API listens on."),
    cfg.StrOpt("public_endpoint", help="URL that clients reach the API by, for links. Default: the request's own."),
    cfg.IntOpt("api_threads", default=8, min=1, help="Threads of an API process."),
    cfg.IntOpt("osapi_max_limit", default=1000, min=1, help="Most items in one page of a list."),
    cfg.IntOpt("osapi_max_request_body_size", default=114688, min=1024, help="Most bytes of a request body."),
    cfg.ListOpt("enabled_backends", default=["directory"], help="Names of the sections that describe backends."),
    cfg.StrOpt("storage_availability_zone", default="nova", help="Availability zone of the backends."),
    cfg.StrOpt("default_availability_zone", help="Zone of a volume when none is asked. Default: the storage's."),
    cfg.BoolOpt("allow_availability_zone_fallback", default=False, help="Use the default zone for an unknown one."),
    cfg.IntOpt("scheduler_max_attempts", default=3, min=1, help="Pools that a create tries when storages fail."),
    cfg.StrOpt("default_volume_type", default="__DEFAULT__", help="Type of a volume when none is asked."),
    cfg.StrOpt(
        "auth_strategy", default="none", choices=["none", "http_basic", "keystone"], help="Who may call the API."
    ),
    cfg.StrOpt(
        "http_basic_auth_user_file",
        help="htpasswd file (bcrypt) of the users of auth_strategy http_basic. Default: htpasswd in the data directory.",
    ),
    cfg.DictOpt(
        "http_basic_auth_user_projects",
        default={},
        help="Projects of those users, as user:project. Default: all have the one project of auth_strategy none.",
    ),
    cfg.DictOpt(
        "http_basic_auth_user_roles",
        default={},
        help="Roles of those users, as user:role: admin, manager, member, reader or service. Default: admin.",
    ),
    cfg.BoolOpt("allow_unauthenticated_network", default=False, help="Let auth_strategy none listen beyond loopback."),
    cfg.StrOpt("image_service", default="local", choices=["local", "glance"], help="Where images come from."),
    cfg.StrOpt("image_store_path", help="Directory of the local image store. Default: images in the data directory."),
    cfg.ListOpt(
        "allowed_direct_url_schemes", default=[], help="Schemes of image locations used directly: cinder, file."
    ),
    cfg.StrOpt("image_conversion_dir", help="Where an image is put while it is converted. Default: in the data dir."),
    cfg.BoolOpt("enable_force_upload", default=True, help="Let a volume in use be uploaded to an image, with force."),
    cfg.ListOpt("vmdk_allowed_types", default=["streamOptimized", "monolithicSparse"], help="VMDK types accepted."),
    cfg.StrOpt(
        "verify_glance_signatures",
        default="enabled",
        choices=["disabled", "enabled"],
        help="Verify the signatures of images that have one; unsigned images are accepted all the same.",
    ),
    cfg.ListOpt(
        "default_trusted_certificate_ids",
        default=[],
        help="UUIDs of certificates in the key manager of which one must have issued an image's. Default: any will do.",
    ),
    cfg.StrOpt(
        "local_key_path", help="Directory of the keys of encrypted volumes. Default: keys in the data directory."
    ),
    cfg.StrOpt("cinder_internal_tenant_project_id", default=INTERNAL_PROJECT, help="Owner of the image-volume cache."),
    cfg.StrOpt("cinder_internal_tenant_user_id", default="breezeblock", help="User of the image-volume cache."),
    cfg.IntOpt("quota_volumes", default=1000, min=-1, help="Volumes of a project; -1 is without limit."),
    cfg.IntOpt("quota_snapshots", default=1000, min=-1, help="Snapshots of a project."),
    cfg.IntOpt("quota_gigabytes", default=100000, min=-1, help="GiB of volumes and snapshots of a project."),
    cfg.IntOpt("quota_backups", default=1000, min=-1, help="Backups of a project."),
    cfg.IntOpt("quota_backup_gigabytes", default=100000, min=-1, help="GiB of backups of a project."),
    cfg.IntOpt("quota_groups", default=10, min=-1, help="Groups of a project."),
    cfg.IntOpt("per_volume_size_limit", default=-1, min=-1, help="GiB of one volume."),
    cfg.IntOpt("volume_transfer_salt_length", default=8, min=8, help="Characters of the salt of a transfer's key."),
    cfg.IntOpt("volume_transfer_key_length", default=16, min=16, help="Characters of a transfer's key."),
    cfg.BoolOpt("no_snapshot_gb_quota", default=False, help="Do not count snapshots against quota_gigabytes."),
    cfg.StrOpt("backup_posix_path", help="Directory of backups. Default: backups in the data directory."),
    cfg.IntOpt(
        "backup_timer_interval", default=120, min=1, help="Seconds between the events that tell how far a backup is."
    ),
    cfg.IntOpt("replica_refresh_interval", default=300, min=1, help="Seconds between refreshes of replicas."),
    cfg.IntOpt("backend_stats_polling_interval", default=30, min=1, help="Seconds between capacity reports."),
    cfg.IntOpt("flow_threads", default=32, min=1, help="Flows that a worker runs at once."),
    cfg.IntOpt(
        "event_retention_days",
        default=7,
        min=0,
        help="Days that events are kept; one that a sink has yet to get is kept longer.",
    ),
    cfg.IntOpt("message_ttl", default=2592000, min=0, help="Seconds that messages to users are kept."),
    cfg.IntOpt("operation_retention_days", default=30, min=0, help="Days that finished operations are kept."),
    cfg.IntOpt(
        "max_flow_attempts", default=10, min=1, help="How often a flow is taken up after a crash of its worker."
    ),
]

DATABASE_OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "connection", secret=True, help="sqlite:/// or postgresql+psycopg:// URL. Default: SQLite in the data dir."
    ),
    cfg.IntOpt("max_pool_size", default=8, min=1, help="Connections that one process keeps."),
]

GLANCE_OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt("endpoint_override", help="URL of the image service; default: from the catalog."),
    cfg.StrOpt("auth_url", help="Keystone's URL."),
    cfg.StrOpt("username", help="The service's user."),
    cfg.StrOpt("password", secret=True, help="Its password."),
    cfg.StrOpt("project_name", default="service", help="Its project."),
    cfg.StrOpt("user_domain_name", default="Default", help="Domain of the user."),
    cfg.StrOpt("project_domain_name", default="Default", help="Domain of the project."),
    cfg.StrOpt("region_name", help="Region of the image service."),
    cfg.StrOpt("cafile", help="CA bundle for TLS."),
    cfg.IntOpt("timeout", default=60, min=1, help="Seconds that a call may take to begin answering."),
]

EVENTS_OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt("webhook_url", help="http:// or https:// URL that each event is posted to; none by default."),
    cfg.StrOpt("webhook_secret", secret=True, help="Key of the signatures of those posts; needed with webhook_url."),
    cfg.StrOpt(
        "webhook_cafile", help="CA bundle that the webhook's certificate is verified by. Default: the system's."
    ),
    cfg.IntOpt("webhook_timeout", default=10, min=1, help="Seconds that the webhook's receiver has to answer in."),
    cfg.StrOpt(
        "notification_transport_url",
        secret=True,
        help="rabbit:// URL of the message bus that gets notifications, as of oslo.messaging; none by default.",
    ),
]

KEY_MANAGER_OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "backend",
        default="local",
        choices=["local", "barbican"],
        help="Where the keys of encrypted volumes are kept. With barbican castellan reads its other options here "
        "(auth_type = keystone_password, auth_url, username, password, project_name, ...) and in [barbican].",
    ),
]

BACKEND_OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt("volume_driver", default="directory", help="Name of the driver's entry point."),
    cfg.StrOpt("volume_backend_name", help="Name that volume types ask for. Default: the section's name."),
    cfg.StrOpt("backend_availability_zone", help="Zone of this backend. Default: storage_availability_zone."),
    cfg.StrOpt("backend_host", help="Host in the names of this backend's pools. Default: host."),
    cfg.IntOpt("reserved_percentage", default=0, min=0, max=100, help="Per cent of the capacity kept free."),
    cfg.FloatOpt("max_over_subscription_ratio", default=20.0, min=1.0, help="Thin volumes over real capacity."),
    cfg.BoolOpt("image_volume_cache_enabled", default=True, help="Keep a volume of each image used, to clone from."),
    cfg.IntOpt("image_volume_cache_max_size_gb", default=0, min=0, help="GiB of cached image volumes; 0: no limit."),
    cfg.IntOpt("image_volume_cache_max_count", default=0, min=0, help="Number of cached image volumes; 0: no limit."),
    cfg.BoolOpt(
        "image_adopt",
        default=False,
        help="Let volumes stand on qcow2 images as they are, where the driver can, until a pass behind has converted them.",
    ),
    cfg.IntOpt(
        "backend_slots",
        default=1,
        min=1,
        max=64,
        help="Workers that may share the backend (PostgreSQL, and a driver that allows it). Each slot has its own copies.",
    ),
    cfg.BoolOpt(
        "backup_changed_blocks",
        default=False,
        help="Keep the snapshot that a volume's last backup was read from, where the driver can tell what has changed since:"
        " then an incremental backup reads only that.",
    ),
    cfg.IntOpt("max_parallel_copies", default=2, min=1, help="Images and backups copied at once."),
    cfg.IntOpt(
        "volume_copy_bps_limit", default=0, min=0, help="Bytes a second of all copies together; 0: as fast as they can."
    ),
]


class ListenAddress(msgspec.Struct, frozen=True):
    """An address the API listens on."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class BackendSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's section. A driver reads its own options by `read`."""

    name: str
    host: str
    data_dir: Path
    volume_driver: str
    volume_backend_name: str
    availability_zone: str
    reserved_percentage: int
    max_over_subscription_ratio: float
    image_volume_cache_enabled: bool
    image_volume_cache_max_size_gb: int
    image_volume_cache_max_count: int
    image_adopt: bool
    backend_slots: int
    backup_changed_blocks: bool
    max_parallel_copies: int
    volume_copy_bps_limit: int
    conf: Any = None

    @property
    def backend(self) -> str:
        """`host@backend`."""
        return f"{self.host}@{self.name}"

    def read(self, options: Sequence[cfg.Opt]) -> Mapping[str, Any]:
        """The driver's own options of this section. Raises `ConfigError` for an option nobody knows."""
        self.conf.register_opts(options, group=self.name)
        known = {opt.name for opt in [*BACKEND_OPTIONS, *options]}
        for written in _keys_of_section(self.conf, self.name):
            if written not in known:
                near = difflib.get_close_matches(written, known, n=1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise ConfigError(f"Unknown option {written} in section [{self.name}].{hint}")
        group = self.conf[self.name]
        return {opt.name: group[opt.name] for opt in options}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration. `default` holds the options of `[DEFAULT]` by name, `glance` those of `[glance]`,
    `events` those of `[events]`, `key_manager` ours of `[key_manager]`."""

    data_dir: Path
    host: str
    listen: ListenAddress
    database_url: str
    database_pool: int
    backends: tuple[BackendSettings, ...]
    default: Mapping[str, Any]
    glance: Mapping[str, Any]
    events: Mapping[str, Any]
    key_manager: Mapping[str, Any]
    conf: Any = None

    def __getattr__(self, name: str) -> Any:
        """Options of `[DEFAULT]` by their names: `settings.quota_volumes`."""
        try:
            return object.__getattribute__(self, "default")[name]
        except KeyError:
            raise AttributeError(name) from None

    def backend(self, name: str) -> BackendSettings:
        """The backend of that section. Raises `ConfigError` where it is not enabled."""
        for backend in self.backends:
            if backend.name == name:
                return backend
        raise ConfigError(f"No backend {name} is enabled; there are {', '.join(b.name for b in self.backends)}.")

    @property
    def run_dir(self) -> Path:
        """Where sockets and locks of running processes lie."""
        return self.data_dir / "run"

    def path(self, option: str, default: str) -> Path:
        """A directory option of `[DEFAULT]`, by default below the data directory."""
        return Path(self.default[option]) if self.default[option] else self.data_dir / default


def load(
    data_dir: Path, *, config_files: Sequence[Path] = (), listen: str | None = None, database_url: str | None = None
) -> Settings:
    """Read the configuration files, by default `breezeblock.conf` in the data directory if there is one.

    `listen` (`HOST:PORT`) and `database_url` go before what the files say.

    Raises:
        ConfigError: a file is not readable, or an option is unknown or out of range.
    """
    data_dir = data_dir.absolute()
    own = data_dir / "breezeblock.conf"
    files = list(config_files) or ([own] if own.exists() else [])
    conf = cfg.ConfigOpts()
    conf.register_opts(DEFAULT_OPTIONS)
    conf.register_opts(DATABASE_OPTIONS, group="database")
    conf.register_opts(GLANCE_OPTIONS, group="glance")
    conf.register_opts(EVENTS_OPTIONS, group="events")
    conf.register_opts(KEY_MANAGER_OPTIONS, group="key_manager")
    try:
        conf(args=[], project="breezeblock", default_config_files=[str(f) for f in files], default_config_dirs=[])
        default = {opt.name: conf[opt.name] for opt in DEFAULT_OPTIONS}
        glance = {opt.name: conf.glance[opt.name] for opt in GLANCE_OPTIONS}
        events = {opt.name: conf.events[opt.name] for opt in EVENTS_OPTIONS}
        key_manager = {opt.name: conf.key_manager[opt.name] for opt in KEY_MANAGER_OPTIONS}
        url = database_url or conf.database.connection or f"sqlite:///{data_dir / 'breezeblock.db'}"
        host = default["host"] or ("localhost" if url.startswith("sqlite") else socket.gethostname())
        backends = tuple(_backend(conf, name, host, data_dir, default) for name in default["enabled_backends"])
    except (cfg.Error, ValueError) as error:
        raise ConfigError(f"The configuration is wrong: {error}") from error
    _tell_unknown(conf)
    address = (
        _address(listen)
        if listen
        else ListenAddress(default["osapi_volume_listen"], default["osapi_volume_listen_port"])
    )
    if default["auth_strategy"] == "none" and not address.is_loopback and not default["allow_unauthenticated_network"]:
        raise ConfigError(
            f"auth_strategy is none and {address.host} is not a loopback address: anybody could delete every volume. "
            "Listen on 127.0.0.1, set auth_strategy = keystone or http_basic, or set allow_unauthenticated_network = true."
        )
    return Settings(
        data_dir=data_dir,
        host=host,
        listen=address,
        database_url=url,
        database_pool=conf.database.max_pool_size,
        backends=backends,
        default=default,
        glance=glance,
        events=events,
        key_manager=key_manager,
        conf=conf,
    )


def _backend(conf: Any, name: str, host: str, data_dir: Path, default: Mapping[str, Any]) -> BackendSettings:
    conf.register_opts(BACKEND_OPTIONS, group=name)
    group = conf[name]
    return BackendSettings(
        name=name,
        host=group.backend_host or host,
        data_dir=data_dir,
        volume_driver=group.volume_driver,
        volume_backend_name=group.volume_backend_name or name,
        availability_zone=group.backend_availability_zone or default["storage_availability_zone"],
        reserved_percentage=group.reserved_percentage,
        max_over_subscription_ratio=group.max_over_subscription_ratio,
        image_volume_cache_enabled=group.image_volume_cache_enabled,
        image_volume_cache_max_size_gb=group.image_volume_cache_max_size_gb,
        image_volume_cache_max_count=group.image_volume_cache_max_count,
        image_adopt=group.image_adopt,
        backend_slots=group.backend_slots,
        backup_changed_blocks=group.backup_changed_blocks,
        max_parallel_copies=group.max_parallel_copies,
        volume_copy_bps_limit=group.volume_copy_bps_limit,
        conf=conf,
    )


def _tell_unknown(conf: Any) -> None:
    """Log options that nobody reads: a cinder.conf has many, and among them may be one that was misspelt."""
    for section, options in (("DEFAULT", DEFAULT_OPTIONS), ("database", DATABASE_OPTIONS), ("glance", GLANCE_OPTIONS)):
        known = [opt.name for opt in options]
        for written in _keys_of_section(conf, section):
            if written not in known:
                near = difflib.get_close_matches(written, known, n=1)
                log.warning(
                    "[%s] %s means nothing here%s", section, written, f"; did you mean {near[0]}?" if near else ""
                )


def _keys_of_section(conf: Any, section: str) -> list[str]:
    """The option names that the files write in a section; oslo.config itself ignores unknown ones."""
    keys: list[str] = []
    for file in conf.default_config_files:
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(file, sections).parse()
        keys += sections.get(section, {})
    return keys


def _address(text: str) -> ListenAddress:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) < 65536:
        raise ConfigError(f"{text} is not HOST:PORT.")
    return ListenAddress(host.strip("[]"), int(port))


def prepare_data_dir(data_dir: Path) -> None:
    """Make the data directory and its run directory, for this user alone."""
    for path in (data_dir, data_dir / "run"):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(path, os.W_OK):
            raise ConfigError(f"{path} is not writable for user {os.geteuid()}.")
