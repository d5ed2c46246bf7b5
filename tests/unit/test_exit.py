"""A process that has done its work ends well."""

import subprocess
import sys

AT_THE_END = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 0, len(gc.get_objects()) < 1000))
import breezeblock.api.routes
"""


def test_nothing_is_collected_at_the_end() -> None:
    """msgspec does not survive that its classes are: three of ten processes died of it at their end."""
    ended = subprocess.run([sys.executable, "-c", AT_THE_END], capture_output=True, text=True, check=True)
    assert ended.stdout == "True True\n"
