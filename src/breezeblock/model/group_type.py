"""A group type: what the groups made of it can do."""

import msgspec


class GroupType(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `group_types`."""

    id: str
    name: str
    description: str | None = None
    is_public: bool = True
    group_specs: dict[str, str | None] = {}
    created_at: str
    updated_at: str | None = None

    def wants(self, spec: str) -> bool:
        """Whether a boolean group spec is asked for, in Cinder's spelling: `<is> True`."""
        return (self.group_specs.get(spec) or "").strip().lower() in {"<is> true", "true"}
