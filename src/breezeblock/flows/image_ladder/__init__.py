"""The rungs of the image ladder, one module each: `climb(flow, volume, image) -> Made | Declined`."""

from collections.abc import Callable
from typing import NamedTuple

from breezeblock.flows.engine import Flow
from breezeblock.flows.made import Declined, Made
from breezeblock.model.image import Image
from breezeblock.model.volume import Volume


class Rung(NamedTuple):
    """A rung by name."""

    name: str
    climb: Callable[[Flow, Volume, Image], Made | Declined]
