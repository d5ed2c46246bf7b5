"""A volume type: a name for qualities of storage."""

import msgspec


class VolumeType(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `volume_types`."""

    id: str
    name: str
    description: str | None = None
    is_public: bool = True
    extra_specs: dict[str, str] = {}
    qos_specs_id: str | None = None
    created_at: str
    updated_at: str | None = None

    def wants(self, spec: str) -> bool:
        """Whether a boolean extra spec is asked for, in Cinder's spelling: `<is> True`."""
        return self.extra_specs.get(spec, "").strip().lower() in {"<is> true", "true"}
