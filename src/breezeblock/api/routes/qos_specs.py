"""QoS specs. Associating them is a GET, as with Cinder."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import qos_specs
from breezeblock.api.routes.route_makers import get
from breezeblock.api.schemas import qos_specs as schemas

RULE = "volume_extension:qos_specs_manage"

ROUTES: list[Route] = [
    Route(method="POST", path="/qos-specs", handler=qos_specs.create, policy=f"{RULE}:create", schema=schemas.CREATE),
    get("/qos-specs", qos_specs.index, f"{RULE}:get_all", query=qos_specs.LISTING),
    get("/qos-specs/{id}", qos_specs.show, f"{RULE}:get"),
    Route(
        method="PUT",
        path="/qos-specs/{id}",
        handler=qos_specs.update,
        policy=f"{RULE}:update",
        schema=schemas.UPDATE,
    ),
    Route(
        method="DELETE",
        path="/qos-specs/{id}",
        handler=qos_specs.delete,
        policy=f"{RULE}:delete",
        status=202,
        query=schemas.DeleteQuery,
    ),
    Route(
        method="PUT",
        path="/qos-specs/{id}/delete_keys",
        handler=qos_specs.delete_keys,
        policy=f"{RULE}:delete",
        schema=schemas.KEYS,
        status=202,
    ),
    get("/qos-specs/{id}/associations", qos_specs.associations, f"{RULE}:get_all"),
    *(
        Route(
            method="GET",
            path=f"/qos-specs/{{id}}/{handler.__name__}",
            handler=handler,
            policy=f"{RULE}:update",
            status=202,
            query=query,
        )
        for handler, query in (
            (qos_specs.associate, schemas.AssociateQuery),
            (qos_specs.disassociate, schemas.AssociateQuery),
            (qos_specs.disassociate_all, None),
        )
    ),
]
