"""THE table: every call of the API, with the method and path, who answers, by which rule, from which version on.

A resource is one module here, one handler module, one view, one schema; `VOLUME_ROUTES` joins them, below `/v3` and
`/v3/{project_id}`.
"""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import versions
from breezeblock.api.routes import (
    attach_actions,
    attachments,
    backends,
    backups,
    default_types,
    group_types,
    groups,
    image_cache,
    images,
    manageable,
    operations,
    qos_specs,
    quota_sets,
    services,
    snapshots,
    transfers,
    user_messages,
    volume_types,
    volumes,
)

VOLUME_ROUTES: list[Route] = [
    *volumes.ROUTES,
    *attach_actions.ROUTES,
    *snapshots.ROUTES,
    *volume_types.ROUTES,
    *qos_specs.ROUTES,
    *default_types.ROUTES,
    *group_types.ROUTES,
    *attachments.ROUTES,
    *transfers.ROUTES,
    *backups.ROUTES,
    *groups.ROUTES,
    *backends.ROUTES,
    *services.ROUTES,
    *quota_sets.ROUTES,
    *user_messages.ROUTES,
    *operations.ROUTES,
    *image_cache.ROUTES,
    *manageable.ROUTES,
]

IMAGE_ROUTES = images.ROUTES

PUBLIC_ROUTES = {
    "/": versions.root,
    "/v3": versions.v3,
    "/healthcheck": versions.healthcheck,
}
"""Answered without authentication, with and without a slash at the end."""

PUBLIC_IMAGE_ROUTES = {"/image": versions.image, "/image/v2": versions.image}
"""The same for the image API."""
