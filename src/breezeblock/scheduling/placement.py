"""Placement: which pool a new volume goes to, and for every other pool why not and by how many GiB.

The rules are those of Cinder's default filters (availability zone, capacity, capabilities) and of its capacity weigher.
What is promised in a pool is the sum of the rows, read in the caller's transaction, so that two placements at once
cannot both take the last GiB.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.db import pools as pool_rows
from breezeblock.db import services, volumes
from breezeblock.errors import InvalidInput, NoBackendYet, NoValidBackend
from breezeblock.model.operation import Answer
from breezeblock.model.pool import Pool
from breezeblock.scheduling.hints import Hints

NO_QUALITIES = frozenset({"creation_deadline", "image_hydration"})
"""Extra specs that tell the service something and are no quality of a pool."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for. `size` is GiB; `backend` pins to one `host@backend`; `zones` empty means any."""

    size: int
    extra_specs: dict[str, str] = {}
    zones: tuple[str, ...] = ()
    any_zone_instead: bool = False
    """Take any zone when no pool lies in those asked for (`allow_availability_zone_fallback`)."""
    backend: str | None = None
    encrypted: bool = False
    not_in: frozenset[str] = frozenset()
    """Pools that were tried already."""

    hints: Hints = Hints()

    @property
    def thick(self) -> bool:
        """Whether all of the capacity is to be taken at once."""
        return self.extra_specs.get("provisioning:type") == "thick"


class Placement(msgspec.Struct, frozen=True):
    """The chosen pool, and the answer of every pool."""

    pool: Pool
    answers: list[Answer]


def place(connection: Connection, wanted: Wanted) -> Placement:
    """Choose a pool.

    Raises:
        InvalidInput: no backend at all lies in the zones asked for.
        NoValidBackend: none fits; the message tells for each pool why not.
        NoBackendYet: no worker has ever reported a pool.
    """
    pools = pool_rows.all_pools(connection)
    if not pools:
        raise NoBackendYet
    closed = services.closed_backends(connection)
    wanted = _known_zones(pools, wanted)
    promised = volumes.provisioned_by_pool(connection)
    fitting: list[tuple[float, Pool]] = []
    answers: list[Answer] = []
    for pool in pools:
        reason = closed.get(pool.backend) or why_not(pool, wanted, promised.get(pool.name, 0))
        if reason:
            answers.append(Answer(step="placement", outcome="refused", reason=f"{pool.name}: {reason}"))
            continue
        free = free_gib(pool, wanted, promised.get(pool.name, 0))
        fitting.append((free, pool))
        told = f"{pool.name}: fits, {free - wanted.size:.0f} GiB left after"
        answers.append(Answer(step="placement", outcome="fits", reason=told))
    if not fitting:
        reasons = "; ".join(answer.reason for answer in answers)
        raise NoValidBackend(f"No valid backend was found. {reasons}.", answers)
    chosen = max(fitting, key=lambda candidate: (candidate[0], candidate[1].name))[1]
    answers.append(Answer(step="placement", outcome="made", reason=f"{chosen.name} has the most free capacity"))
    return Placement(chosen, answers)


def place_group(connection: Connection, wants: Sequence[Wanted]) -> Placement:
    """Choose a pool of a backend that fits each of several types: what belongs to a group lies on one backend.

    Raises what `place` raises; the message of `NoValidBackend` tells for each pool the first reason against it.
    """
    pools = pool_rows.all_pools(connection)
    if not pools:
        raise NoBackendYet
    promised = volumes.provisioned_by_pool(connection)
    wants = [_known_zones(pools, wanted) for wanted in wants]
    against = {pool.name: [why_not(pool, wanted, promised.get(pool.name, 0)) for wanted in wants] for pool in pools}
    answers: list[Answer] = []
    fitting: list[Pool] = []
    for pool in pools:
        beside = [one for one in pools if one.backend == pool.backend]
        fits = all(any(against[one.name][number] is None for one in beside) for number in range(len(wants)))
        reason = next((one for one in against[pool.name] if one), None)
        if fits and against[pool.name][0] is None:
            fitting.append(pool)
            answers.append(Answer(step="placement", outcome="fits", reason=f"{pool.name}: fits"))
        else:
            told = reason or "its backend does not fit all of the types"
            answers.append(Answer(step="placement", outcome="refused", reason=f"{pool.name}: {told}"))
    if not fitting:
        raise NoValidBackend(f"No valid backend was found. {'; '.join(answer.reason for answer in answers)}.")
    chosen = max(fitting, key=lambda pool: (free_gib(pool, wants[0], promised.get(pool.name, 0)), pool.name))
    answers.append(Answer(step="placement", outcome="made", reason=f"{chosen.name} has the most free capacity"))
    return Placement(chosen, answers)


def _known_zones(pools: list[Pool], wanted: Wanted) -> Wanted:
    if not wanted.zones or any(pool.availability_zone in wanted.zones for pool in pools):
        return wanted
    if wanted.any_zone_instead:
        return msgspec.structs.replace(wanted, zones=())
    raise InvalidInput(f"Availability zone '{' or '.join(wanted.zones)}' is invalid.")


def why_not(pool: Pool, wanted: Wanted, promised: int) -> str | None:
    """Why a pool cannot take what is wanted, or None when it can."""
    if not pool.up:
        return "the backend does not report"
    if pool.name in wanted.not_in:
        return "it failed before"
    if wanted.backend and pool.backend != wanted.backend:
        return f"the source lies on {wanted.backend}"
    if wanted.zones and pool.availability_zone not in wanted.zones:
        return f"it is in zone {pool.availability_zone}, asked was {' or '.join(wanted.zones)}"
    if wanted.encrypted and not pool.capabilities.get("encryption_support"):
        return "its driver holds no encrypted volumes"
    reason = wanted.hints.why_not(pool) or lacks(pool, wanted.extra_specs)
    if reason:
        return reason
    missing = wanted.size - free_gib(pool, wanted, promised)
    if missing > 0:
        return f"{missing:.1f} GiB too little is free"
    if not wanted.thick and pool.thin_provisioning_support:
        over = promised + wanted.size - pool.total_capacity_gb * pool.max_over_subscription_ratio
        if over > 0:
            return f"{over:.1f} GiB too much would be promised (ratio {pool.max_over_subscription_ratio})"
    return None


def lacks(pool: Pool, extra_specs: dict[str, str]) -> str | None:
    """Which quality asked for a pool does not have, or None."""
    for key, spec in extra_specs.items():
        if key not in NO_QUALITIES and not _has_quality(pool, key, spec):
            return f"it does not have {key} {spec}"
    return None


def free_gib(pool: Pool, wanted: Wanted, promised: int) -> float:
    """GiB that may still be promised in a pool: Cinder's capacity rule."""
    reserved = pool.total_capacity_gb * pool.reserved_percentage / 100
    free = pool.free_capacity_gb - reserved
    if wanted.thick or not pool.thin_provisioning_support:
        return free
    ratio = pool.max_over_subscription_ratio
    return min(free * ratio, pool.total_capacity_gb * ratio - promised)


def _has_quality(pool: Pool, key: str, spec: str) -> bool:
    scope, _, name = key.rpartition(":")
    if scope and scope != "capabilities":
        return True  # scoped keys are for the driver (Cinder's CapabilitiesFilter ignores them too)
    if name not in pool.capabilities:
        return False
    return matches(spec, pool.capabilities[name])


def matches(spec: str, value: object) -> bool:
    """Whether a capability has the value an extra spec asks for, in Cinder's little language (`<is> True`, `>= 5` …)."""
    operator, _, operand = spec.strip().partition(" ")
    operand = operand.strip()
    text = str(value)
    match operator:
        case "<is>":
            return text.lower() == operand.lower()
        case "<in>":
            return operand in text
        case "<or>":
            return text in [one.strip() for one in operand.split("<or>")]
        case "s==":
            return text == operand
        case "s!=":
            return text != operand
        case "=" | ">=" | "<=" | "==" | "!=":
            return _compare(operator, text, operand)
        case _:
            return text.lower() == spec.strip().lower()


def _compare(operator: str, text: str, operand: str) -> bool:
    try:
        have, want = float(text), float(operand)
    except ValueError:
        return False
    return {"=": have >= want, ">=": have >= want, "<=": have <= want, "==": have == want, "!=": have != want}[operator]
