"""The API as one WSGI application."""

from collections.abc import Iterable
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

import falcon

from breezeblock.api import faults, routes
from breezeblock.api.call import Parts
from breezeblock.api.dispatch import PublicResource, RequestIds, Resource, Route
from breezeblock.auth.authentication import open_authentication
from breezeblock.config import Settings
from breezeblock.db.connect import Database
from breezeblock.images.catalog import ImageCatalog

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def make_app(settings: Settings, database: Database, catalog: ImageCatalog) -> "WSGIApplication":
    """All routes, behind the authentication that the configuration asks for. Safe to call from many threads."""
    authentication = open_authentication(settings)
    parts = Parts(
        settings=settings,
        database=database,
        catalog=catalog,
        authentication=authentication,
        streams=BoundedSemaphore(max(1, int(settings.api_threads) // 2)),
    )
    app: falcon.App[Any, Any] = falcon.App(middleware=[RequestIds()])
    app.req_options.strip_url_path_trailing_slash = True
    faults.install(app)
    for path, handler in routes.PUBLIC_ROUTES.items():
        app.add_route(path, PublicResource(parts, handler))
    for path, lines in _by_path(routes.VOLUME_ROUTES).items():
        resource = Resource(parts, lines)
        app.add_route("/v3" + path, resource)
        app.add_route("/v3/{project_id}" + path, resource)
    return authentication.wrap(app)


def _by_path(table: Iterable[Route]) -> dict[str, list[Route]]:
    paths: dict[str, list[Route]] = {}
    for route in table:
        paths.setdefault(route.path, []).append(route)
    return paths
