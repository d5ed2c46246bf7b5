"""The shapes that routes come in."""

from collections.abc import Iterable

from breezeblock.api.bodies import Schema
from breezeblock.api.call import Handler
from breezeblock.api.dispatch import Route
from breezeblock.api.handlers.metadata import MetadataHandlers
from breezeblock.api.schemas import volumes as volume_schemas


def action_on(resource: str, action: str, handler: Handler, policy: str, **more: object) -> Route:
    """`POST /{resource}/{id}/action` with a body `{action: …}`; answers 202 unless told otherwise."""
    return Route(
        method="POST",
        path=f"/{resource}/{{id}}/action",
        action=action,
        handler=handler,
        policy=policy,
        **{"status": 202, **more},  # type: ignore[arg-type]
    )


def get(path: str, handler: Handler, policy: str | None, since: int = 0, **more: object) -> Route:
    """`GET path`."""
    return Route(method="GET", path=path, handler=handler, policy=policy, since=since, **more)  # type: ignore[arg-type]


def metadata_of(
    owner: str,
    handlers: MetadataHandlers,
    bodies: tuple[Schema, Schema],
    show: str,
    add: str,
    change: str,
    remove: str,
) -> Iterable[Route]:
    """The calls on the metadata of a resource, with the bodies of all of it and of one, and the rule of each call."""
    whole, member = f"/{owner}/{{id}}/metadata", f"/{owner}/{{id}}/metadata/{{key}}"
    metadata, meta = bodies
    if_match = volume_schemas.IfMatch if handlers.etags else None
    yield get(whole, handlers.show, show, answer_headers=("Etag",) if handlers.etags else ())
    yield Route(method="POST", path=whole, handler=handlers.add, policy=add, schema=metadata)
    yield Route(method="PUT", path=whole, handler=handlers.replace, policy=change, schema=metadata, headers=if_match)
    yield get(member, handlers.show_one, show)
    yield Route(method="PUT", path=member, handler=handlers.set_one, policy=change, schema=meta, headers=if_match)
    yield Route(method="DELETE", path=member, handler=handlers.remove_one, policy=remove)
