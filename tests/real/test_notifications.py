"""Notifications on a real RabbitMQ: Cinder's form, in order, and none lost whoever is killed."""

import json
import os
import signal
import sqlite3
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from breezeblock.cli.client import Client
from tests.clients.test_processes import child, create, status_of
from tests.processes import Server, free_port
from tests.real import rabbitmq

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

PROGRAM = Path(sys.executable).with_name("breezeblock")
CONF = """
[DEFAULT]
enabled_backends = one, broken
[one]
volume_driver = simulated
[broken]
volume_driver = simulated
simulated_failures = create_volume:error:1
[events]
notification_transport_url = {url}
[oslo_messaging_notifications]
topics = {topic}
[oslo_messaging_rabbit]
amqp_durable_queues = true
"""
WAIT_SECONDS = 120

# cinder/volume/volume_utils.py: _usage_from_volume, _usage_from_snapshot, _usage_from_backup
VOLUME_KEYS = set(
    "tenant_id host user_id availability_zone volume_id volume_type display_name launched_at created_at status "
    "snapshot_id size replication_status replication_extended_status replication_driver_data metadata "
    "volume_attachment".split()
)
SNAPSHOT_KEYS = set(
    "tenant_id user_id availability_zone volume_id volume_size snapshot_id display_name created_at status deleted "
    "metadata".split()
)
BACKUP_KEYS = set(
    "tenant_id user_id availability_zone backup_id host display_name created_at status volume_id size service_metadata "
    "service fail_reason parent_id num_dependent_backups snapshot_id".split()
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    rabbitmq.install()
    with rabbitmq.Rabbit(tmp_path_factory.mktemp("rabbitmq") / "node") as node:
        node.start()
        yield node


@pytest.fixture
def site(tmp_path, broker):
    with Site(tmp_path, broker) as site:
        yield site


class Site:
    """A service with a topic of its own on the broker, and a durable queue that holds whatever it sends there."""

    def __init__(self, tmp_path, broker):
        self.broker = broker
        self.topic = f"topic-{uuid.uuid4().hex[:8]}"
        self.data_dir = tmp_path / "data"
        self.data_dir.mkdir(mode=0o700)
        (self.data_dir / "breezeblock.conf").write_text(CONF.format(url=broker.url, topic=self.topic))
        self.log = tmp_path / "log"
        with broker.connect() as connection, connection.channel() as channel:
            channel.exchange_declare("cinder", "topic", durable=True, auto_delete=False)
            channel.queue_declare(self.topic, durable=True, auto_delete=False)
            channel.queue_bind(self.topic, "cinder", f"{self.topic}.*")
        self.came = []  # messages, in the order in which they came

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()

    def start(self):
        address = f"127.0.0.1:{free_port()}"
        self.server = Server([PROGRAM, "serve", "--data-dir", self.data_dir, "--listen", address], self.log)
        self.server.wait_for(f"http://{address}/healthcheck")
        self.client = Client(self.data_dir)

    def told(self):
        """What is in the outbox: number, type and id of the resource, in order."""
        with closing(sqlite3.connect(self.data_dir / "breezeblock.db")) as database:
            return list(database.execute("SELECT number, type, resource_id FROM events ORDER BY number"))

    def delivered(self):
        """The number that the publisher has saved as delivered."""
        with closing(sqlite3.connect(self.data_dir / "breezeblock.db")) as database:
            row = database.execute("SELECT last_number FROM deliveries WHERE sink = 'notifications'").fetchone()
        return row[0] if row else 0

    def expected(self):
        """The message ids of the outbox, in order."""
        return [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{resource}:{number}")) for number, _, resource in self.told()]

    def receive(self, queue=None):
        """The messages in a queue, by default of all priorities; each is acknowledged."""
        messages = []
        with self.broker.connect() as connection, connection.channel() as channel:
            while (message := channel.basic_get(queue or self.topic)) is not None:
                messages.append(opened(message))
                channel.basic_ack(message.delivery_tag)
        return messages

    def receive_all(self):
        """Wait until everything in the outbox has come at least once; all messages, in order."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            self.came += self.receive()
            missing = set(self.expected()) - {message["message_id"] for message in self.came}
            if not missing:
                return self.came
            assert time.monotonic() < deadline, f"{len(missing)} did not come\n{self.log.read_text()[-3000:]}"
            time.sleep(0.1)

    def make_and_remove(self, count):
        """So many volumes, one after the other."""
        for _ in range(count):
            volume_id = create(self.client)
            status_of(self.client, volume_id, "available")
            self.client.call("DELETE", f"/volumes/{volume_id}")

    def settle(self):
        """Wait until no flow is left."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self.client.call("GET", "/volumes")["volumes"] or self.client.call("GET", "/snapshots")["snapshots"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def wait_for_delivery(self, number):
        deadline = time.monotonic() + WAIT_SECONDS
        while self.delivered() < number:
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.02)

    def check_complete(self):
        """All of the outbox came; whoever passes over what it has had sees it in order of number."""
        came = [message["message_id"] for message in self.receive_all()]
        assert list(dict.fromkeys(came)) == self.expected()
        return len(came) - len(set(came))


def opened(message):
    """A notification out of oslo.messaging's envelope, with its routing key."""
    envelope = json.loads(message.body)
    assert envelope["oslo.version"] == "2.0"
    assert message.delivery_info["exchange"] == "cinder"
    return {**json.loads(envelope["oslo.message"]), "routing_key": message.delivery_info["routing_key"]}


def gone(site, kind, resource_id):
    deadline = time.monotonic() + WAIT_SECONDS
    while any(one["id"] == resource_id for one in site.client.call("GET", f"/{kind}s")[f"{kind}s"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def a_life(site):
    """A volume that fails, and one that is attached, snapshotted, backed up and deleted. The ids of both."""
    call = site.client.call
    call("POST", "/types", {"volume_type": {"name": "broken", "extra_specs": {"volume_backend_name": "broken"}}})
    failed = create(site.client, volume_type="broken")
    status_of(site.client, failed, "error")
    volume = create(site.client, name="mine", metadata={"purpose": "test"})
    status_of(site.client, volume, "available")
    wanted = {"volume_uuid": volume, "instance_uuid": str(uuid.uuid4()), "connector": {"host": "here", "secret": "s3"}}
    attachment = call("POST", "/attachments", {"attachment": wanted})["attachment"]["id"]
    call("POST", f"/attachments/{attachment}/action", {"os-complete": {}})
    call("DELETE", f"/attachments/{attachment}")
    snapshot = call("POST", "/snapshots", {"snapshot": {"volume_id": volume, "name": "then"}})["snapshot"]["id"]
    wait_available(site, "snapshot", snapshot)
    backup = call("POST", "/backups", {"backup": {"volume_id": volume}})["backup"]["id"]
    wait_available(site, "backup", backup)
    call("DELETE", f"/backups/{backup}")
    gone(site, "backup", backup)
    call("DELETE", f"/snapshots/{snapshot}")
    gone(site, "snapshot", snapshot)
    call("DELETE", f"/volumes/{volume}")
    gone(site, "volume", volume)
    return failed, volume


def wait_available(site, kind, resource_id):
    deadline = time.monotonic() + WAIT_SECONDS
    while site.client.call("GET", f"/{kind}s/{resource_id}")[kind]["status"] != "available":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_cinders_notifications_in_order(site):
    site.start()
    failed, volume = a_life(site)
    came = site.receive_all()
    assert [message["message_id"] for message in came] == site.expected()
    assert [message["event_type"] for message in came] == [
        "volume.create.start",
        "volume.create.error",
        "volume.create.start",
        "volume.create.end",
        "volume.attach.start",
        "volume.attach.end",
        "volume.detach.start",
        "volume.detach.end",
        "snapshot.create.start",
        "snapshot.create.end",
        "backup.create.start",
        "backup.createprogress",
        "backup.create.end",
        "backup.delete.start",
        "backup.delete.end",
        "snapshot.delete.start",
        "snapshot.delete.end",
        "volume.delete.start",
        "volume.delete.end",
    ]
    keys = {"volume": VOLUME_KEYS, "snapshot": SNAPSHOT_KEYS, "backup": BACKUP_KEYS}
    for message in came:
        noun, payload = message["event_type"].partition(".")[0], message["payload"]
        assert keys[noun] <= payload.keys()
        assert message["publisher_id"] == f"{noun}.{payload['host'].partition('#')[0]}"
        is_error = message["event_type"].endswith(".error")
        assert message["priority"] == ("ERROR" if is_error else "INFO")
        assert message["routing_key"] == f"{site.topic}.{message['priority'].lower()}"
        assert message["_context_project_id"] == payload["tenant_id"]
        assert "s3" not in json.dumps(message)  # what a connector holds is between the host and the storage
    error, made, attached = came[1]["payload"], came[3]["payload"], came[5]["payload"]
    assert (error["volume_id"], error["error"]) == (failed, "Simulated failure of create_volume: error.")
    assert (made["volume_id"], made["status"], made["size"]) == (volume, "available", 1)
    assert (made["display_name"], made["metadata"]) == ("mine", {"purpose": "test"})
    assert made["launched_at"]
    assert [one["attached_host"] for one in attached["volume_attachment"]] == ["here"]
    assert [message["payload"]["deleted"] for message in came[15:17]] == ["", "True"]
    # the queues that oslo.messaging makes for whoever begins to listen later
    assert [one["event_type"] for one in site.receive(f"{site.topic}.error")] == ["volume.create.error"]
    assert len(site.receive(f"{site.topic}.info")) == 18
    assert site.broker.password not in site.log.read_text()


def test_a_broker_killed_amid_the_stream_loses_nothing(site):
    site.start()
    with ThreadPoolExecutor() as pool:
        makers = [pool.submit(site.make_and_remove, 20) for _ in range(2)]
        for number in (20, 60):
            site.wait_for_delivery(number)
            site.broker.kill()
            site.broker.start()
        for maker in makers:
            maker.result()
    site.settle()
    assert len(site.told()) == 2 * 20 * 4
    print(f"{site.check_complete()} of {len(site.told())} came twice")
    assert "events to notifications wait behind number" in site.log.read_text()


def test_a_worker_killed_amid_the_stream_loses_nothing(site):
    site.start()
    with ThreadPoolExecutor() as pool:
        maker = pool.submit(site.make_and_remove, 20)
        for number in (10, 30):
            site.wait_for_delivery(number)
            os.kill(child(site.server, "worker"), signal.SIGKILL)
        maker.result()
    site.settle()
    assert len(site.told()) == 20 * 4
    print(f"{site.check_complete()} of {len(site.told())} came twice")


def test_without_a_broker_the_service_works_and_tells_later(site):
    site.broker.kill()
    site.start()
    site.make_and_remove(3)
    site.settle()
    assert site.delivered() == 0
    site.broker.start()
    assert site.check_complete() == 0
    assert len(site.came) == 3 * 4
