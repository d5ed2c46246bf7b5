"""How far an operation is, in words."""

from collections.abc import Mapping
from typing import Any


def progress_text(progress: Mapping[str, Any]) -> str:
    """`1.2 of 4.0 GiB, 87.1 MiB/s, 33 s left`: what of it is known, of an operation or an entry's `progress`."""
    if not progress["bytes_total"]:
        return "not begun"
    parts = [f"{_size(progress['bytes_done'])} of {_size(progress['bytes_total'])}"]
    if progress["seconds_left"] is not None:
        parts += [f"{_size(progress['rate'])}/s", f"{_time(progress['seconds_left'])} left"]
    return ", ".join(parts)


def _size(count: float) -> str:
    if count < 1024:
        return f"{count:.0f} bytes"
    units = ("KiB", "MiB", "GiB", "TiB")
    power = next((power for power in range(1, len(units)) if count < 1024 ** (power + 1)), len(units))
    return f"{count / 1024**power:.1f} {units[power - 1]}"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
