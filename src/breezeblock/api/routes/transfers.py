"""Transfers of volumes, under both of their paths."""

from collections.abc import Iterable

from breezeblock.api.bodies import Schema
from breezeblock.api.call import Handler
from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import transfers
from breezeblock.api.routes.route_makers import get
from breezeblock.api.schemas import transfers as schemas


def _routes(path: str, create: Handler, schema: Schema | dict[int, Schema]) -> Iterable[Route]:
    one = f"{path}/{{id}}"
    yield Route(method="POST", path=path, handler=create, policy="volume:create_transfer", status=202, schema=schema)
    yield get(path, transfers.summaries, "volume:get_all_transfers", query=transfers.LISTING)
    yield get(f"{path}/detail", transfers.details, "volume:get_all_transfers", query=transfers.LISTING)
    yield get(one, transfers.show, "volume:get_transfer")
    yield Route(method="DELETE", path=one, handler=transfers.delete, policy="volume:delete_transfer", status=202)
    yield Route(
        method="POST",
        path=f"{one}/accept",
        handler=transfers.accept,
        policy="volume:accept_transfer",
        status=202,
        schema=schemas.ACCEPT,
    )


ROUTES: list[Route] = [
    *_routes("/os-volume-transfer", transfers.create_old, schemas.CREATE),
    *_routes("/volume-transfers", transfers.create, schemas.CREATE_BY_VERSION),
]
