"""Whether a storage may be given to rules that make and delete volumes there."""

from breezeblock.drivers.contract import Driver, Examinable, Manages


def held(driver: Driver) -> list[str]:
    """All that a storage holds, as far as its driver can tell: objects, what nobody manages, replicas."""
    found = set(driver.list_objects())
    if isinstance(driver, Manages):
        manageable = [*driver.get_manageable_volumes(), *driver.get_manageable_snapshots()]
        found |= {" ".join(one.reference.values()) for one in manageable}
    if driver.capabilities.replication and isinstance(driver, Examinable):
        found |= {f"the replica of {name}" for name in driver.list_replicas()}
    return sorted(found)
