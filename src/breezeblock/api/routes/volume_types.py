"""Volume types, their extra specs, access and encryption."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import encryption, volume_types
from breezeblock.api.routes.route_makers import action_on, get
from breezeblock.api.schemas import encryption as encryption_schemas
from breezeblock.api.schemas import volume_types as type_schemas

EXTRA_SPECS = "volume_extension:types_extra_specs"
TYPE_ACCESS = "volume_extension:volume_type_access"
TYPE_ENCRYPTION = "volume_extension:volume_type_encryption"

ROUTES: list[Route] = [
    Route(
        method="POST",
        path="/types",
        handler=volume_types.create,
        policy="volume_extension:type_create",
        schema=type_schemas.CREATE,
    ),
    get("/types", volume_types.index, "volume_extension:type_get_all", query=volume_types.LISTING),
    get("/types/{id}", volume_types.show, "volume_extension:type_get"),
    Route(
        method="PUT",
        path="/types/{id}",
        handler=volume_types.update,
        policy="volume_extension:type_update",
        schema=type_schemas.UPDATE,
    ),
    Route(
        method="DELETE",
        path="/types/{id}",
        handler=volume_types.delete,
        policy="volume_extension:type_delete",
        status=202,
    ),
    get("/types/{id}/extra_specs", volume_types.list_specs, f"{EXTRA_SPECS}:index"),
    Route(
        method="POST",
        path="/types/{id}/extra_specs",
        handler=volume_types.set_specs,
        policy=f"{EXTRA_SPECS}:create",
        schema=type_schemas.EXTRA_SPECS,
    ),
    get("/types/{id}/extra_specs/{key}", volume_types.show_spec, f"{EXTRA_SPECS}:show"),
    Route(
        method="PUT",
        path="/types/{id}/extra_specs/{key}",
        handler=volume_types.set_spec,
        policy=f"{EXTRA_SPECS}:update",
        schema=type_schemas.EXTRA_SPEC,
    ),
    Route(
        method="DELETE",
        path="/types/{id}/extra_specs/{key}",
        handler=volume_types.remove_spec,
        policy=f"{EXTRA_SPECS}:delete",
        status=202,
    ),
    get("/types/{id}/os-volume-type-access", volume_types.list_access, f"{TYPE_ACCESS}:get_all_for_type"),
    action_on(
        "types",
        "addProjectAccess",
        volume_types.add_access,
        f"{TYPE_ACCESS}:addProjectAccess",
        schema=type_schemas.PROJECT_ACCESS,
    ),
    action_on(
        "types",
        "removeProjectAccess",
        volume_types.remove_access,
        f"{TYPE_ACCESS}:removeProjectAccess",
        schema=type_schemas.PROJECT_ACCESS,
    ),
    get("/types/{id}/encryption", encryption.show, f"{TYPE_ENCRYPTION}:get"),
    Route(
        method="POST",
        path="/types/{id}/encryption",
        handler=encryption.create,
        policy=f"{TYPE_ENCRYPTION}:create",
        schema=encryption_schemas.CREATE,
    ),
    get("/types/{id}/encryption/{key}", encryption.show_one, f"{TYPE_ENCRYPTION}:get"),
    Route(
        method="PUT",
        path="/types/{id}/encryption/{key}",
        handler=encryption.update,
        policy=f"{TYPE_ENCRYPTION}:update",
        schema=encryption_schemas.UPDATE,
    ),
    Route(
        method="DELETE",
        path="/types/{id}/encryption/{key}",
        handler=encryption.delete,
        policy=f"{TYPE_ENCRYPTION}:delete",
        status=202,
    ),
]
