"""Calls on what services log (3.32): this API process at once, the others by their rows."""

import logging
from typing import TypedDict

from breezeblock.api.call import Call
from breezeblock.api.schemas.services import API_BINARY, GetLog, SetLog
from breezeblock.errors import InvalidInput
from breezeblock.services import storage_services
from breezeblock.services.storage_services import ServiceLevels

_LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")


def set_log(call: Call) -> None:
    """PUT /os-services/set-log."""
    body: SetLog = call.body
    level = (body.level or "").upper()
    if level not in _LEVELS:
        raise InvalidInput(f"Invalid input received: Log level {body.level} is none of {', '.join(_LEVELS)}.")
    prefix = body.prefix or ""
    if API_BINARY in body.binaries and body.server in {None, "", call.settings.host}:
        for name in _loggers(prefix) or [prefix]:
            logging.getLogger(name).setLevel(level)
    storage_services.set_log_levels(call.database, body.server or None, body.binaries, prefix, level)


class LogLevels(TypedDict):
    """From which level on services log, by logger."""

    log_levels: list[ServiceLevels]


def get_log(call: Call) -> LogLevels:
    """PUT /os-services/get-log."""
    body: GetLog = call.body
    prefix = body.prefix or ""
    shown: list[ServiceLevels] = []
    if API_BINARY in body.binaries and body.server in {None, "", call.settings.host}:
        levels = {name: logging.getLevelName(logging.getLogger(name).getEffectiveLevel()) for name in _loggers(prefix)}
        shown.append(ServiceLevels(host=call.settings.host, binary=API_BINARY, levels=levels))
    found = storage_services.log_levels(call.database, body.server or None, body.binaries, prefix)
    return {"log_levels": [*shown, *found]}


def _loggers(prefix: str) -> list[str]:
    """The loggers of this process whose names begin so."""
    return sorted(name for name in logging.Logger.manager.loggerDict if name.startswith(prefix))
