"""The API as one WSGI application."""

from collections.abc import Iterable
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

import falcon

from breezeblock.api import faults, routes
from breezeblock.api.call import Parts
from breezeblock.api.dispatch import PublicResource, RequestIds, Resource, Route, UnversionedResource
from breezeblock.api.openapi import served as documents
from breezeblock.auth import policy
from breezeblock.auth.authentication import open_authentication
from breezeblock.config import Settings
from breezeblock.db.connect import Database
from breezeblock.images.catalog import ImageCatalog
from breezeblock.images.local import LocalCatalog

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def make_app(settings: Settings, database: Database, catalog: ImageCatalog) -> "WSGIApplication":
    """All routes, behind the authentication that the configuration asks for. Safe to call from many threads."""
    policy.load(settings)
    authentication = open_authentication(settings)
    parts = Parts(
        settings=settings,
        database=database,
        catalog=catalog,
        authentication=authentication,
        streams=BoundedSemaphore(max(1, int(settings.api_threads) // 2)),
    )
    app: falcon.App[Any, Any] = falcon.App(middleware=[RequestIds()])
    faults.install(app)
    _add(app, "/v3", parts, Resource, routes.VOLUME_ROUTES)
    _add(app, "/v3/{project_id}", parts, Resource, routes.VOLUME_ROUTES)
    public = [*routes.PUBLIC_ROUTES, *documents.VOLUME_ROUTES]
    if isinstance(catalog, LocalCatalog):
        _add(app, "/image/v2", parts, UnversionedResource, routes.IMAGE_ROUTES)
        public += [*routes.PUBLIC_IMAGE_ROUTES, *documents.IMAGE_ROUTES]
    for route in public:
        for spelling in dict.fromkeys((route.path, route.path.rstrip("/") + "/")):
            app.add_route(spelling, PublicResource(parts, route))
    return authentication.wrap(app)


def _add(app: falcon.App[Any, Any], prefix: str, parts: Parts, kind: type[Resource], table: Iterable[Route]) -> None:
    """Put the lines of a table below a prefix, those of one path together."""
    paths: dict[str, list[Route]] = {}
    for route in table:
        paths.setdefault(route.path, []).append(route)
    for path, lines in paths.items():
        app.add_route(prefix + path, kind(parts, lines))
