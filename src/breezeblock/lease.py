"""A lease on one's own life: a timer in the kernel that kills this process unless it is renewed in time.

The kernel does it, so it also ends a process that is stopped, or whose threads all wait for one that hangs.
"""

import ctypes
import os
import signal
import time

_TIMER_ABSTIME = 1
_SIGEV_SIGNAL = 0

_libc = ctypes.CDLL(None, use_errno=True)


class _SignalEvent(ctypes.Structure):
    """`struct sigevent` of <signal.h>."""

    _fields_ = [
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("padding", ctypes.c_byte * 48),
    ]


class _TimerValue(ctypes.Structure):
    """`struct itimerspec` of <time.h>: interval, then the time of the end."""

    _fields_ = [
        ("interval_seconds", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    ]


def now() -> float:
    """Seconds since the machine's start; time spent in suspend counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """Kills this process by SIGKILL at the time it was last renewed for. Children have no part in it."""

    def __init__(self) -> None:
        event = _SignalEvent(None, signal.SIGKILL, _SIGEV_SIGNAL)
        self._timer = ctypes.c_void_p()
        _check(_libc.timer_create(time.CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(self._timer)))

    def renew(self, until: float) -> None:
        """Live until then, as `now` tells time; a time that has passed ends the process at once."""
        self._set(_TimerValue(0, 0, int(until), int(until % 1 * 1e9)))

    def end(self) -> None:
        """Live on without it."""
        _check(_libc.timer_delete(self._timer))

    def _set(self, value: _TimerValue) -> None:
        _check(_libc.timer_settime(self._timer, _TIMER_ABSTIME, ctypes.byref(value), None))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
