"""THE table: every call of the API, with the method and path, who answers, by which rule, from which version on.

A resource is one module here, one handler module, one view, one schema; `VOLUME_ROUTES` joins them, below `/v3` and
`/v3/{project_id}`.
"""

import falcon

from breezeblock.api.dispatch import PublicRoute, Route
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

PUBLIC_ROUTES = [
    PublicRoute(path="/", handler=versions.root, status=300),
    PublicRoute(path="/v3", handler=versions.v3),
    PublicRoute(path="/healthcheck", handler=versions.healthcheck, produces=falcon.MEDIA_TEXT),
]
"""Answered without authentication, with and without a slash at the end."""

PUBLIC_IMAGE_ROUTES = [PublicRoute(path=path, handler=versions.image, status=300) for path in ("/image", "/image/v2")]
"""The same for the image API."""
