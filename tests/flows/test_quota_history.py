"""Quota is the sum of the rows: whatever happens in whatever order, usage says what is there, and the limit holds."""

import contextlib
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from breezeblock.db import quotas
from breezeblock.errors import BackendOutOfSpace, BreezeblockError, InvalidInput, InvalidState, OverQuota
from breezeblock.scheduling import quota
from breezeblock.services import extend, snapshots
from breezeblock.services import volumes as volume_services
from tests.cloud import MEMBER, Cloud

CONF = """
[DEFAULT]
enabled_backends = one
quota_volumes = 4
quota_gigabytes = 12
quota_snapshots = 3
scheduler_max_attempts = 1
[one]
volume_driver = simulated
"""
REFUSED = (OverQuota, InvalidState, InvalidInput)


class Histories(RuleBasedStateMachine):
    """Random lives of a project: creates that work or fail, extends, snapshots, deletes, workers that stop half-way."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.cloud = Cloud(Path(self.folder.name), CONF)
        self.known = []
        self.taken = []

    def teardown(self):
        self.work()
        self.cloud.close()
        self.folder.cleanup()

    @rule(size=st.integers(1, 6), works=st.booleans())
    def create(self, size, works):
        driver = self.cloud.driver
        made = type(driver).create_volume

        def full(volume):
            raise BackendOutOfSpace

        if not works:
            driver.create_volume = full
        try:
            self.known.append(self.cloud.create(size=size).id)
            self.work()
        except REFUSED:
            pass
        finally:
            driver.create_volume = made.__get__(driver)

    @rule(size=st.integers(1, 6))
    def create_and_lose_the_worker(self, size):
        """Nobody runs the flow: the row is there and counts."""
        with contextlib.suppress(REFUSED):
            self.known.append(self.cloud.create(size=size).id)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), size=st.integers(1, 9))
    def extend(self, data, size):
        volume = data.draw(st.sampled_from(self.known))
        self.attempt(extend.extend_volume, self.cloud.database, self.cloud.settings, MEMBER, volume, size)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def snapshot(self, data):
        volume = data.draw(st.sampled_from(self.known))
        taken = self.attempt(
            snapshots.create_snapshot, self.cloud.database, self.cloud.settings, MEMBER, volume_id=volume
        )
        if taken:
            self.taken.append(taken.id)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), cascade=st.booleans())
    def delete(self, data, cascade):
        volume = data.draw(st.sampled_from(self.known))
        self.attempt(volume_services.delete_volume, self.cloud.database, MEMBER, volume, cascade=cascade)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def delete_snapshot(self, data):
        snapshot = data.draw(st.sampled_from(self.taken))
        self.attempt(snapshots.delete_snapshot, self.cloud.database, MEMBER, snapshot)

    @rule()
    def work(self):
        """A worker comes and runs all that is asked for."""
        with self.cloud.running():
            while self.cloud.count("flow_requests"):
                pass

    def attempt(self, call, *arguments, **more):
        try:
            return call(*arguments, **more)
        except BreezeblockError:
            return None

    @invariant()
    def usage_is_the_sum_of_the_rows_and_within_the_limits(self):
        with self.cloud.database.read() as connection:
            rows = connection.exec_driver_sql("SELECT size FROM volumes").scalars().all()
            kept = connection.exec_driver_sql("SELECT volume_size FROM snapshots").scalars().all()
            used = quota.in_use(quotas.usage(connection, MEMBER.project_id), self.cloud.settings)
        assert used["volumes"] == len(rows) <= 4
        assert used["snapshots"] == len(kept) <= 3
        assert used["gigabytes"] == sum(rows) + sum(kept) <= 12


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
