"""Writes docs/configuration.md from the options themselves, so that no option is missing there: `make docs`."""

from collections.abc import Sequence
from pathlib import Path

from oslo_config import cfg

from breezeblock import config
from breezeblock.drivers.directory import driver as directory
from breezeblock.drivers.rbd import options as rbd
from breezeblock.drivers.simulated import driver as simulated

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"

INTRODUCTION = """# Configuration

<!-- Written by `make docs` from the options in the source; change them there, and this text in scripts/configuration_page.py. -->

Without any file the service runs embedded: SQLite, one directory of volumes, one of images, no authentication, on
loopback. All of it lies below the data directory (`--data-dir`, by default `/var/lib/breezeblock`).

To change that, write `breezeblock.conf` into the data directory, or name files by `--config-file` (several may be given;
a later one overrides an earlier one). They are ini files. An option that means the same as one of Cinder's has its
name. `--listen HOST:PORT` goes before what the files say. A wrong value is refused at start, with exit code 78, and so
is an unknown option in a backend's section.

Two backends, one of them keeping replicas:

```ini
[DEFAULT]
enabled_backends = fast, large

[fast]
directory_path = /srv/nvme/volumes
max_over_subscription_ratio = 5

[large]
directory_path = /srv/disks/volumes
replication_device = /mnt/other-machine/replicas
```

A volume type chooses between them by its extra specs:

    openstack volume type create --property volume_backend_name=fast fast
    openstack volume type create --property replication_enabled='<is> True' replicated
    openstack volume type create --property provisioning:type=thick thick

With Keystone, Glance and PostgreSQL (install the package with the extras `keystone` and `postgresql`):

```ini
[DEFAULT]
auth_strategy = keystone
image_service = glance
osapi_volume_listen = 0.0.0.0

[database]
connection = postgresql+psycopg://breezeblock:SECRET@db.example.org/breezeblock

[keystone_authtoken]
auth_url = https://keystone.example.org/v3
auth_type = password
username = breezeblock
password = SECRET
project_name = service
user_domain_name = Default
project_domain_name = Default

[glance]
auth_url = https://keystone.example.org/v3
username = breezeblock
password = SECRET
```

`[keystone_authtoken]` is read by keystonemiddleware, and its options are
[described there](https://docs.openstack.org/keystonemiddleware/latest/middlewarearchitecture.html).
With `[glance]` each process logs in once when it starts; credentials that are refused, or a Keystone that is away, are a
warning in its log, and it tries again with the first image.
"""


def page() -> str:
    """The whole page."""
    backend = "Of each section that `enabled_backends` names, whatever its driver:"
    simulation = "A storage for tests and demonstrations; [drivers.md](drivers.md) tells how to use it."
    return "\n".join(
        [
            INTRODUCTION,
            *_section("[DEFAULT]", "", config.DEFAULT_OPTIONS),
            *_section("[database]", "", config.DATABASE_OPTIONS),
            *_section("[glance]", "Read where `image_service` is `glance`.", config.GLANCE_OPTIONS),
            *_section(
                "[events]", "Where events are delivered to; [events.md](events.md) tells how.", config.EVENTS_OPTIONS
            ),
            *_section(
                "[key_manager]",
                "Keys of encrypted volumes; [encryption.md](encryption.md) tells more.",
                config.KEY_MANAGER_OPTIONS,
            ),
            *_section("A backend's section", backend, config.BACKEND_OPTIONS),
            *_section("`volume_driver = directory`", "Volumes are files in a directory.", directory.OPTIONS),
            *_section(
                "`volume_driver = rbd`",
                "Volumes are images in a pool of Ceph; [rbd.md](rbd.md) tells more.",
                rbd.OPTIONS,
            ),
            *_section("`volume_driver = simulated`", simulation, simulated.OPTIONS),
        ]
    )


def _section(title: str, text: str, options: Sequence[cfg.Opt]) -> list[str]:
    rows = [f"| `{option.name}` | {_default(option)} | {_meaning(option)} |" for option in options]
    return [
        f"## {title}",
        "",
        *([text, ""] if text else []),
        "| option | default | meaning |",
        "|---|---|---|",
        *rows,
        "",
    ]


def _default(option: cfg.Opt) -> str:
    if option.default is None or option.default == []:
        return ""
    value = ", ".join(option.default) if isinstance(option.default, list) else str(option.default)
    return f"`{value.lower() if isinstance(option.default, bool) else value}`"


def _meaning(option: cfg.Opt) -> str:
    """The help text, and the values that are allowed where it is not any."""
    kind = option.type
    choices = getattr(kind, "choices", None)
    limits = [f"{name} {limit}" for name in ("min", "max") if (limit := getattr(kind, name, None)) is not None]
    if choices:
        allowed = f" One of {', '.join(f'`{choice}`' for choice in choices)}."
    elif limits and not isinstance(option, cfg.PortOpt):
        allowed = f" ({', '.join(limits)})"
    else:
        allowed = ""
    text = (option.help or "").replace("|", "\\|").replace("<", "&lt;")
    return text + allowed


if __name__ == "__main__":
    PAGE.write_text(page())
