"""Logging of the processes: one line a record on standard error, as systemd's journal wants it."""

import logging


def set_up(role: str) -> None:
    """Log with time, level, role and module; warnings of libraries too."""
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s.%(msecs)03d %(process)d %(levelname)s {role} %(name)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )  # fmt: skip
    logging.getLogger("alembic").setLevel(logging.WARNING)
