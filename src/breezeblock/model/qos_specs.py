"""QoS specs: what hosts or the storage limit the volumes of some types by."""

from typing import Any

import msgspec

CONSUMERS = ("back-end", "front-end", "both")

PER_GB = "read_iops_sec read_bytes_sec write_iops_sec write_bytes_sec total_iops_sec total_bytes_sec".split()
"""Specs that may be said for each GiB of a volume."""


class QosSpecs(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `qos_specs`."""

    id: str
    name: str
    consumer: str = "back-end"
    specs: dict[str, str | None] = {}
    created_at: str
    updated_at: str | None = None

    def for_host(self, size: int) -> dict[str, Any] | None:
        """What the host of a volume of `size` GiB is told; None where the storage alone is to limit it.

        Limits for each GiB become those of the volume (Cinder: `VolumeManager._parse_connection_options`). Raises
        `ValueError` for one that is no number.
        """
        if self.consumer not in {"front-end", "both"}:
            return None
        specs: dict[str, Any] = dict(self.specs)
        for option in PER_GB:
            if f"{option}_per_gb" not in specs:
                continue
            least = self._number(specs.pop(f"{option}_per_gb_min", 0))
            limit = max(least, self._number(specs.pop(f"{option}_per_gb")) * size)
            specs[option] = min(limit, self._number(specs.pop(f"{option}_max", limit)))
        return specs

    def _number(self, value: Any) -> int:
        try:
            return int(value)
        except (TypeError, ValueError):
            raise ValueError(f"The QoS specs {self.name} have a limit that is no number: {value}.") from None
