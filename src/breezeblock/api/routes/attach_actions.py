"""The actions that attach volumes the old way, without the resource of attachments."""

from breezeblock.api.call import Handler
from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import attach_actions
from breezeblock.api.routes.route_makers import action_on
from breezeblock.api.schemas import attach_actions as schemas


def _action(name: str, handler: Handler, **more: object) -> Route:
    return action_on("volumes", f"os-{name}", handler, f"volume_extension:volume_actions:{name}", **more)


ROUTES: list[Route] = [
    _action("attach", attach_actions.attach, schema=schemas.ATTACH),
    _action("detach", attach_actions.detach, schema=schemas.DETACH, waits=True),
    _action("reserve", attach_actions.reserve),
    _action("unreserve", attach_actions.unreserve),
    _action("begin_detaching", attach_actions.begin_detaching),
    _action("roll_detaching", attach_actions.roll_detaching),
    _action(
        "initialize_connection",
        attach_actions.initialize_connection,
        schema=schemas.INITIALIZE_CONNECTION,
        waits=True,
        status=200,
    ),
    _action(
        "terminate_connection", attach_actions.terminate_connection, schema=schemas.TERMINATE_CONNECTION, waits=True
    ),
    action_on(
        "volumes",
        "os-force_detach",
        attach_actions.force_detach,
        "volume_extension:volume_admin_actions:force_detach",
        schema=schemas.FORCE_DETACH,
        waits=True,
    ),
]
