"""The life of some volumes, one flow at a time, and how far each kind of flow moves a gauge."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from bench.client import Client
from bench.gauges import Gauge
from bench.scenarios import CONNECTOR

Costs = dict[str, dict[str, float]]
"""Kind of flow -> name of a counter -> how far one flow moved it."""

One = TypeVar("One")
Made = TypeVar("Made")


class Life:
    """Makes volumes of several sources, changes them and removes them.

    `settle` waits until no flow is left to run; the client does not ask meanwhile, so that its polls are not counted.
    """

    def __init__(self, client: Client, settle: Callable[[], None], image_id: str) -> None:
        self._client = client
        self._settle = settle
        self._image_id = image_id

    def measure(self, count: int, gauge: Gauge) -> Costs:
        """Run `count` flows of each kind. Raises `ApiError` where one failed."""
        client, numbers = self._client, range(count)
        self._costs: Costs = {}
        first = self._available([client.create_volume(), client.create_volume(imageRef=self._image_id)])
        base = first[0]

        def snapshot(_: int) -> str:
            return client.create("snapshot", volume_id=base, name="bench")

        def attach(volume_id: str) -> str:
            return client.create("attachment", volume_uuid=volume_id, connector=CONNECTOR)

        raw = self._run("raw volume", lambda _: client.create_volume(), numbers, gauge)
        snapshots = self._run("snapshot", snapshot, numbers, gauge)
        others = self._run(
            "volume from a snapshot", lambda one: client.create_volume(snapshot_id=one), snapshots, gauge
        )
        others += self._run("clone", lambda _: client.create_volume(source_volid=base), numbers, gauge)
        others += self._run(
            "volume of a cached image", lambda _: client.create_volume(imageRef=self._image_id), numbers, gauge
        )
        self._available([*raw, *others])
        self._run("extend", lambda one: client.extend(one, 2), raw, gauge)
        attachments = self._run("attach", attach, raw, gauge)
        self._run("detach", lambda one: client.delete("attachment", one), attachments, gauge)
        self._run("snapshot, deletion", lambda one: client.delete("snapshot", one), snapshots, gauge)
        self._available(raw)
        self._run("raw volume, deletion", lambda one: client.delete("volume", one), raw, gauge)
        self._remove([*others, *first])
        return self._costs

    def _run(self, kind: str, call: Callable[[One], Made], subjects: Sequence[One], gauge: Gauge) -> list[Made]:
        self._settle()
        before = gauge()
        made = []
        for subject in subjects:
            made.append(call(subject))
            self._settle()
        after = gauge()
        self._costs[kind] = {name: (after[name] - before[name]) / len(subjects) for name in after}
        return made

    def _available(self, volume_ids: list[str]) -> list[str]:
        for volume_id in volume_ids:
            self._client.wait_available("volume", volume_id)
        return volume_ids

    def _remove(self, volume_ids: list[str]) -> None:
        for volume_id in volume_ids:
            self._client.delete("volume", volume_id)
        self._settle()
