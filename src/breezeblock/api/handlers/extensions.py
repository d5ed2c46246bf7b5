"""GET /extensions: what Cinder calls the parts of its API that were once optional. The list never changes."""

from typing import Any, TypedDict

from breezeblock.api.call import Call
from breezeblock.errors import NotFound

_NAMED = {
    "encryption": ("VolumeTypeEncryption", "2013-07-01T00:00:00+00:00", "Encryption support for volume types."),
    "os-volume-encryption-metadata": (
        "VolumeEncryptionMetadata",
        "2013-07-10T00:00:00+00:00",
        "Volume encryption metadata retrieval support.",
    ),
    "backups": ("Backups", "2012-12-12T00:00:00+00:00", "Backups support."),
    "OS-SCH-HNT": ("SchedulerHints", "2013-04-18T00:00:00+00:00", "Pass arbitrary key/value pairs to the scheduler."),
    "os-admin-actions": ("AdminActions", "2012-08-25T00:00:00+00:00", "Enable admin actions."),
    "capabilities": ("Capabilities", "2015-08-31T00:00:00+00:00", "Capabilities support."),
    "os-hosts": ("Hosts", "2011-06-29T00:00:00+00:00", "Admin-only host administration."),
    "os-quota-class-sets": ("QuotaClasses", "2012-03-12T00:00:00+00:00", "Quota classes management support."),
    "qos-specs": ("Qos_specs_manage", "2013-08-02T00:00:00+00:00", "QoS specs support."),
    "os-availability-zone": ("AvailabilityZones", "2013-06-27T00:00:00+00:00", "Describe Availability Zones."),
    "os-extended-services": ("ExtendedServices", "2014-01-10T00:00:00-00:00", "Extended services support."),
    "os-extended-snapshot-attributes": (
        "ExtendedSnapshotAttributes",
        "2012-06-19T00:00:00+00:00",
        "Extended SnapshotAttributes support.",
    ),
    "os-quota-sets": ("Quotas", "2011-08-08T00:00:00+00:00", "Quota management support."),
    "os-services": ("Services", "2012-10-28T00:00:00-00:00", "Services support."),
    "os-types-extra-specs": ("TypesExtraSpecs", "2011-08-24T00:00:00+00:00", "Type extra specs support."),
    "os-types-manage": ("TypesManage", "2011-08-24T00:00:00+00:00", "Types manage support."),
    "os-used-limits": ("UsedLimits", "2013-10-03T00:00:00+00:00", "Provide data on limited resources in use."),
    "os-vol-host-attr": ("VolumeHostAttribute", "2011-11-03T00:00:00+00:00", "Expose host as a volume attribute."),
    "os-vol-image-meta": ("VolumeImageMetadata", "2012-12-07T00:00:00+00:00", "Show a volume's image metadata."),
    "os-vol-mig-status-attr": ("VolumeMigStatusAttribute", "2013-08-08T00:00:00+00:00", "Expose migration_status."),
    "os-vol-tenant-attr": ("VolumeTenantAttribute", "2011-11-03T00:00:00+00:00", "Expose the owner's project_id."),
    "os-volume-actions": ("VolumeActions", "2012-05-31T00:00:00+00:00", "Enable volume actions."),
    "os-volume-type-access": ("VolumeTypeAccess", "2014-06-26T00:00:00Z", "Volume type access support."),
    "scheduler-stats": ("Scheduler_stats", "2014-09-07T00:00:00+00:00", "Scheduler stats support."),
}


class Extension(TypedDict):
    """A part of the API that was once optional."""

    name: str
    alias: str
    description: str
    updated: str
    links: list[Any]


class Extensions(TypedDict):
    """The parts that were once optional."""

    extensions: list[Extension]


class OneExtension(TypedDict):
    """One of them."""

    extension: Extension


def _shown(alias: str) -> Extension:
    name, updated, description = _NAMED[alias]
    return {"name": name, "alias": alias, "description": description, "updated": updated, "links": []}


def index(call: Call) -> Extensions:
    """GET /extensions."""
    return {"extensions": [_shown(alias) for alias in _NAMED]}


def show(call: Call) -> OneExtension:
    """GET /extensions/{alias}."""
    if call.id not in _NAMED:
        raise NotFound
    return {"extension": _shown(call.id)}
