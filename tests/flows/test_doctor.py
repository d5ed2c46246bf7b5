"""`doctor`: finds each sort of disagreement, says nothing of a sound service, and mends what it found."""

import json
import re
import uuid
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from breezeblock.backups.repository import Place
from breezeblock.cli.doctor import command
from breezeblock.db import image_cache, moves, operations, tables, volume_types, volumes
from breezeblock.db.image_cache import CacheEntry
from breezeblock.exports.nbd import NbdExports
from breezeblock.flows import create_volume, engine, replicas
from breezeblock.flows.backup_content import open_store
from breezeblock.images.local import LocalCatalog
from breezeblock.lockfile import LockFile
from breezeblock.model import clock
from breezeblock.model import flows as flow_versions
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume
from breezeblock.model.volume_type import VolumeType
from breezeblock.services import attachments, backups, extend, snapshots
from breezeblock.services import volumes as volume_services
from breezeblock.services.doctor.examine import examine
from breezeblock.services.doctor.fix import FIXES
from tests.cloud import MEMBER, Cloud

CONF = {
    "simulated": "volume_driver = simulated\nsimulated_replication = true\n",
    "directory": "volume_driver = directory\nreplication_device = {replicas}\n",
}


@pytest.fixture(params=["simulated", "directory"])
def cloud(request, tmp_path):
    """A service whose worker is stopped, but for the blocks `with cloud.running()`."""
    (tmp_path / "replicas").mkdir()
    default = "[DEFAULT]\nenabled_backends = one\n[one]\n"
    cloud = Cloud(tmp_path / "data", default + CONF[request.param].format(replicas=tmp_path / "replicas"))
    yield cloud
    exports = NbdExports(cloud.settings.run_dir / "nbd" / "one")
    exports.adopt()
    exports.shutdown()
    cloud.close()


@pytest.fixture
def simulated(tmp_path):
    cloud = Cloud(tmp_path / "data", "[DEFAULT]\nenabled_backends = one\n[one]\n" + CONF["simulated"])
    yield cloud
    cloud.close()


def found(cloud):
    """What is wrong, as (kind, id)."""
    return sorted((one.kind, one.id) for one in examine(cloud.settings, cloud.database))


def doctor(cloud, *options):
    """Run the command with --json; its exit code and what it printed."""
    ran = CliRunner().invoke(command, ["--data-dir", str(cloud.settings.data_dir), "--json", *options])
    assert ran.exit_code in {0, 1}, ran.output
    return ran.exit_code, json.loads(ran.stdout)


def mended(cloud, *options):
    """All is found by the command, fixed, and not found any more; what was done."""
    code, told = doctor(cloud)
    assert code == 1
    assert all(one["fix"] for one in told["findings"]), told
    code, told = doctor(cloud, "--fix", "--yes", *options)
    assert (code, told["findings"]) == (0, []), told
    return [one["done"] for one in told["done"]]


def execute(cloud, statement):
    with cloud.database.begin() as connection:
        connection.execute(statement)


def a_volume(**changes):
    values = {"id": str(uuid.uuid4()), "project_id": "p", "user_id": "u", "size": 1, "status": "available"}
    return Volume(**values | changes, created_at=clock.now())


def drop_row(cloud, table, resource_id):
    execute(cloud, sa.delete(table).where(table.c.id == resource_id))


def test_the_page_lists_each_kind_and_each_has_a_fix_or_is_for_a_person():
    root = Path(__file__).parents[2]
    checks = root / "src" / "breezeblock" / "services" / "doctor"
    found = "".join((checks / name).read_text() for name in ("rows.py", "objects.py", "backups.py"))
    kinds = set(re.findall(r'(?:kind ?= ?|_purgeable\(picture, storage, )"(\w+)"', found)) | {"unreachable", "down"}
    kinds |= {"attachment_without_volume", "snapshot_without_volume"}
    table = re.findall(r"^\| (`.+?) \|", (root / "docs" / "doctor.md").read_text(), re.MULTILINE)
    assert kinds == {kind for row in table for kind in re.findall(r"`(\w+)`", row)}
    a_person = {"unknown_flow", "no_project", "unreachable", "down", "orphan_key", "lost_key", "hydration_without_flow"}
    assert kinds - set(FIXES) == a_person


def test_a_service_that_has_done_everything_is_clean(cloud):
    """Sources, snapshots, backups, replicas, extends, attachments and deletes leave nothing to find."""
    with cloud.database.begin() as connection:
        spec = {"replication_enabled": "<is> True"}
        kind = VolumeType(id="replicated", name="replicated", extra_specs=spec, created_at=clock.now())
        volume_types.insert(connection, kind)
    with cloud.running():
        volume = cloud.made(size=1, volume_type="replicated")
        replicas.request_due(cloud.backend)
        cloud.settled(volume.id)
        cloud.driver.copy_image_to_volume(volume, "test:1", lambda to: to.pwrite(b"x" * 65536, 0))
        snapshot = snapshots.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=volume.id)
        cloud.settled(snapshot.id)
        clone = cloud.made(source_volid=volume.id, size=2)
        cloud.made(snapshot_id=snapshot.id)
        cloud.made(source_replica=volume.id)
        backup = backups.create_backup(
            cloud.database, cloud.settings, MEMBER, backups.CreateBackup(volume_id=volume.id)
        )
        cloud.settled(backup.id)
        cloud.made(backup_id=backup.id)
        extend.extend_volume(cloud.database, cloud.settings, MEMBER, volume.id, 3)
        cloud.settled(volume.id)
        attached = attachments.create_attachment(cloud.database, MEMBER, volume_id=clone.id, connector={"host": "here"})
        attachments.complete(cloud.database, MEMBER, attached.id)
        assert found(cloud) == [], "while it runs"
        volume_services.delete_volume(cloud.database, MEMBER, volume.id, cascade=True)
        cloud.settled(volume.id)
    assert found(cloud) == []
    assert doctor(cloud)[0] == 0


def test_without_a_database_nothing_is_made(tmp_path):
    ran = CliRunner().invoke(command, ["--data-dir", str(tmp_path / "none")])
    assert ran.exit_code == 78
    assert "There is no database" in ran.output
    assert not (tmp_path / "none").exists()


def test_orphans_are_purged(cloud):
    orphan, snapshot = a_volume(host="x@one#one"), str(uuid.uuid4())
    cloud.driver.create_volume(orphan)
    kept = Snapshot(
        id=snapshot, project_id="p", user_id="u", volume_id=orphan.id, status="x", volume_size=1, created_at=""
    )
    cloud.driver.create_snapshot(kept, orphan)
    cloud.driver.update_replica(orphan)
    kinds = found(cloud)
    assert set(kinds) == {("orphan", orphan.id), ("orphan", snapshot), ("orphan_replica", orphan.id)}
    cloud.driver.close() if hasattr(cloud.driver, "close") else None
    mended(cloud)
    assert list(cloud.driver.list_objects()) == []


def test_an_orphan_gets_a_row_again(cloud):
    orphan = a_volume(size=2)
    cloud.driver.create_volume(orphan)
    code, told = doctor(cloud, "--adopt", "theirs", "--yes")
    assert (code, told["findings"]) == (0, [])
    adopted = cloud.volume(orphan.id)
    assert (adopted.project_id, adopted.size, adopted.status) == ("theirs", 2, "available")
    with cloud.running():
        volume_services.delete_volume(cloud.database, MEMBER.__class__(user_id="u", project_id="theirs"), orphan.id)
        assert cloud.settled(orphan.id).state == "succeeded"
    assert found(cloud) == []


def test_an_orphan_is_purged_by_the_worker_that_runs(cloud):
    orphan = a_volume()
    cloud.driver.create_volume(orphan)
    owner = LockFile(cloud.settings.run_dir / "worker.lock")
    owner.take()
    try:
        with cloud.running():
            (done,) = mended(cloud)
    finally:
        owner.release()
    assert "asked the worker" in done
    assert cloud.settled(orphan.id).kind == "purge_orphan"
    assert list(cloud.driver.list_objects()) == []


def test_on_both_databases(tmp_path, database_url):
    """With PostgreSQL nothing on a storage is done by the doctor itself: the worker is asked."""
    conf = f"[DEFAULT]\nenabled_backends = one\n[database]\nconnection = {database_url}\n[one]\n"
    cloud = Cloud(tmp_path / "data", conf + CONF["simulated"])
    with cloud.running():
        ghost, torn = cloud.made(size=1), cloud.made(size=1)
        orphan = a_volume()
        cloud.driver.create_volume(orphan)
        cloud.driver.delete_volume(ghost)
        execute(cloud, sa.delete(tables.events).where(tables.events.c.type == "volume.create.end"))
        with cloud.database.begin() as connection:
            moves.move(connection, "volume", torn.id, "reset_status", "deleting")
        kinds = {kind for kind, _ in found(cloud)}
        assert kinds == {"orphan", "ghost", "unpaired_event", "stuck"}
        code, told = doctor(cloud, "--fix", "--yes")
        cloud.settled(torn.id)
        assert found(cloud) == [], (code, told)
    assert cloud.volume(ghost.id).status == "error"
    assert list(cloud.driver.list_objects()) == []
    cloud.close()


def test_what_a_live_flow_is_about_is_let_be(simulated):
    """No worker runs: creates that are only asked for, half made, and deletes are no findings."""
    simulated.leaves_flows = True
    volume = simulated.create(size=1)
    simulated.driver.create_volume(volume)
    assert found(simulated) == []
    (simulated.driver.volumes.root / f"{volume.storage_name}.1").write_bytes(b"half")
    assert found(simulated) == []


def test_half_made_objects_without_a_flow(cloud):
    name = f"volume-{uuid.uuid4()}"
    if hasattr(cloud.driver, "volumes"):
        (cloud.driver.volumes.root / f"{name}.0").write_bytes(b"half")
    else:
        (cloud.driver._store.root / "tmp" / name).mkdir()
    assert found(cloud) == [("unfinished", name.removeprefix("volume-"))]
    mended(cloud)


def test_remains_of_failed_creates(simulated):
    with simulated.running():
        failed, whole = simulated.made(size=1), simulated.made(size=1)
    execute(
        simulated,
        sa.update(tables.volumes).where(tables.volumes.c.id == failed.id).values(status="error", launched_at=None),
    )
    (simulated.driver.volumes.root / f"{whole.storage_name}.0").touch()
    (simulated.driver.volumes.root / f"{whole.storage_name}.1").touch()
    assert set(found(simulated)) == {("remains", failed.id), ("unfinished", whole.id)}
    code, told = doctor(simulated, "--fix", "--yes")
    assert (code, [(one["id"], one["fix"]) for one in told["findings"]]) == (1, [(whole.id, None)])
    assert simulated.volume(failed.id).status == "error"
    assert list(simulated.driver.volumes.names()) == [whole.storage_name], "the whole one is not touched"


def test_ghosts_go_into_error_and_say_why(cloud):
    with cloud.running():
        volume = cloud.made(size=1)
        snapshot = snapshots.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=volume.id)
        cloud.settled(snapshot.id)
        backup = backups.create_backup(
            cloud.database, cloud.settings, MEMBER, backups.CreateBackup(volume_id=volume.id)
        )
        cloud.settled(backup.id)
    cloud.driver.delete_snapshot(cloud.snapshot(snapshot.id))
    cloud.driver.delete_volume(volume)
    (cloud.settings.data_dir / "backups" / f"volume-{volume.id}" / "manifests" / backup.id).unlink()
    assert set(found(cloud)) == {("ghost", one.id) for one in (volume, snapshot, backup)}
    mended(cloud)
    assert cloud.volume(volume.id).status == cloud.snapshot(snapshot.id).status == "error"
    assert "not on the storage" in cloud.operations(volume.id)[0].message


def test_images_and_their_files(simulated):
    images = LocalCatalog(simulated.database, simulated.settings.data_dir / "images")
    image = images.create(MEMBER, name="i", disk_format="raw", container_format="bare")
    images.upload(MEMBER, image.id, [b"\1" * 4096])
    assert found(simulated) == []
    root, stray = simulated.settings.data_dir / "images", str(uuid.uuid4())
    (root / image.id).unlink()
    (root / stray).write_bytes(b"x")
    (root / f"{uuid.UUID(int=1)}.upload").write_bytes(b"x")
    expected = [("orphan_image_file", stray), ("orphan_image_file", str(uuid.UUID(int=1))), ("ghost", image.id)]
    assert found(simulated) == sorted(expected)
    mended(simulated)
    assert images.get(MEMBER, image.id).status == "queued"
    assert list(root.iterdir()) == []


def test_a_backup_without_a_row(simulated):
    with simulated.running():
        volume = simulated.made(size=1)
        backup = backups.create_backup(
            simulated.database, simulated.settings, MEMBER, backups.CreateBackup(volume_id=volume.id)
        )
        simulated.settled(backup.id)
    drop_row(simulated, tables.backups, backup.id)
    assert found(simulated) == [("orphan_backup", backup.id)]
    mended(simulated)


def backed_up_twice(simulated):
    """A volume with data, and two backups of it."""
    with simulated.running():
        volume = simulated.made(size=1)
        simulated.driver.copy_image_to_volume(volume, "test:1", lambda target: target.pwrite(b"x" * 4096, 0))
        made = []
        for _ in range(2):
            request = backups.CreateBackup(volume_id=volume.id)
            made.append(backups.create_backup(simulated.database, simulated.settings, MEMBER, request))
            simulated.settled(made[-1].id)
    return volume, *made


def test_backups_that_lack_chunks(simulated):
    _, first, second = backed_up_twice(simulated)
    (chunk,) = (simulated.settings.data_dir / "backups").glob("*/chunks/*/*")
    chunk.unlink()
    assert set(found(simulated)) == {("ghost", first.id), ("ghost", second.id)}
    mended(simulated)
    with simulated.database.read() as connection:
        row = connection.execute(sa.select(tables.backups).where(tables.backups.c.id == first.id)).one()
    assert row.status == "error"
    assert chunk.name in row.fail_reason


def test_a_damaged_manifest_is_told_and_keeps_the_chunks(simulated):
    volume, first, second = backed_up_twice(simulated)
    drop_row(simulated, tables.backups, second.id)
    path = simulated.settings.data_dir / "backups" / f"volume-{volume.id}" / "manifests" / first.id
    path.write_bytes(path.read_bytes()[:-3])
    assert set(found(simulated)) == {("ghost", first.id), ("orphan_backup", second.id)}


def test_chunks_that_nobody_needs_and_claims_of_nobody(simulated):
    volume, first, second = backed_up_twice(simulated)
    root = simulated.settings.data_dir / "backups"
    stray = root / f"volume-{volume.id}" / "chunks" / "00" / ("00" * 32)
    stray.parent.mkdir()
    stray.write_bytes(b"x")
    assert found(simulated) == [("orphan_chunks", volume.id)]
    repository = open_store(simulated.settings).repository
    nobody, somebody = (Place(volume.id, one) for one in (str(uuid.uuid4()), first.id))
    repository.claim(nobody)
    repository.claim(somebody)
    assert sorted(found(simulated)) == sorted([("orphan_backup", nobody.backup_id), ("orphan_backup", first.id)])
    mended(simulated)
    assert not stray.exists()
    assert repository.missing(somebody, repository.manifest(somebody)) == []
    assert repository.has(Place(volume.id, second.id))


def test_sizes_are_made_to_agree(cloud):
    with cloud.running():
        larger, smaller = cloud.made(size=1), cloud.made(size=1)
        snapshot = snapshots.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=larger.id)
        cloud.settled(snapshot.id)
    cloud.driver.extend_volume(larger, 3)
    execute(cloud, sa.update(tables.snapshots).values(volume_size=5))
    execute(cloud, sa.update(tables.volumes).where(tables.volumes.c.id == smaller.id).values(size=2))
    assert set(found(cloud)) == {("wrong_size", one.id) for one in (larger, smaller, snapshot)}
    assert doctor(cloud)[0] == 1
    doctor(cloud, "--fix", "--yes")
    with cloud.running():
        cloud.settled(smaller.id)
    assert found(cloud) == []
    assert (cloud.volume(larger.id).size, cloud.volume(smaller.id).size) == (3, 2)
    assert cloud.snapshot(snapshot.id).volume_size == 1
    assert doctor(cloud)[0] == 0
    assert cloud.driver.size_of(smaller.storage_name) == 2 << 30


@pytest.mark.parametrize("status", ["creating", "extending", "backing-up", "deleting"])
def test_passing_states_without_a_flow(simulated, status):
    with simulated.running():
        volume = simulated.made(size=1)
    with simulated.database.begin() as connection:
        moves.move(connection, "volume", volume.id, "reset_status", status)
    assert found(simulated) == [("stuck", volume.id)]
    with simulated.running():
        _, told = doctor(simulated, "--fix", "--yes")
        simulated.settled(volume.id)
    assert found(simulated) == [], told
    if status == "deleting":
        assert simulated.count("volumes") == 0


def test_operations_flows_and_events_that_belong_to_nothing(simulated):
    lost, gone = simulated.create(size=1), simulated.create(size=1)
    (operation,) = simulated.operations(lost.id)
    drop_row(simulated, tables.flow_requests, operation.id)
    drop_row(simulated, tables.volumes, gone.id)
    (other,) = simulated.operations(gone.id)
    kinds = {kind for kind, _ in found(simulated)}
    assert kinds == {"stuck", "operation_without_flow", "unpaired_event", "flow_without_resource"}
    mended(simulated)
    assert {one.state for one in simulated.operations(lost.id)} == {"failed"}
    with simulated.database.read() as connection:
        assert operations.get(connection, other.id).state == "failed"


def test_flows_of_an_old_version_drain(simulated, monkeypatch):
    """They are listed until they have ended, by the function of their own version, and nothing is wrong with them."""
    ran = []
    first, second = simulated.create(size=1), simulated.create(size=1)
    monkeypatch.setattr(engine, "_KINDS", dict(engine._KINDS))
    monkeypatch.setitem(flow_versions.VERSIONS, "create_volume", (1, 2))

    @engine.flow("create_volume", abandon=create_volume.abandon, version=2)
    def newer(flow):
        ran.append(flow.arguments["volume_id"])
        create_volume.create_volume(flow)

    third = simulated.create(size=1)
    code, told = doctor(simulated)
    oldest = simulated.operations(first.id)[0].created_at
    drains = {"flow": "create_volume", "version": 1, "newest": 2, "count": 2, "oldest": oldest}
    assert (code, told["draining"], told["findings"]) == (0, [drains], [])
    shown = CliRunner().invoke(command, ["--data-dir", str(simulated.settings.data_dir)])
    assert shown.output.startswith(f"draining: 2 of create_volume v1 (now v2), oldest since {oldest}\n")
    with simulated.running():
        for volume in (first, second, third):
            assert simulated.settled(volume.id).state == "succeeded"
    assert ran == [third.id]
    assert doctor(simulated) == (0, {"clean": True, "findings": [], "draining": [], "done": []})


def test_a_flow_that_this_release_does_not_know_waits_and_is_told(simulated):
    simulated.leaves_flows = True
    newer, other = simulated.create(size=1), simulated.create(size=1)
    requests = tables.flow_requests
    for volume, values in ((newer, {"version": 9}), (other, {"flow": "teleport_volume"})):
        (operation,) = simulated.operations(volume.id)
        execute(simulated, sa.update(requests).where(requests.c.id == operation.id).values(**values))
    with simulated.running():
        simulated.made(size=1)
        code, told = doctor(simulated, "--fix", "--yes")
    assert (code, told["draining"], told["done"]) == (1, [], [])
    assert [(one["kind"], one["fix"]) for one in told["findings"]] == [("unknown_flow", None)] * 2
    shown = " ".join(one["wrong"] for one in told["findings"])
    assert "create_volume version 9 is to be run" in shown
    assert "teleport_volume version 1 is to be run" in shown
    assert simulated.volume(newer.id).status == simulated.volume(other.id).status == "creating"


def test_attachments_and_exports(cloud):
    with cloud.running():
        volume, other = cloud.made(size=1), cloud.made(size=1)
        one = attachments.create_attachment(cloud.database, MEMBER, volume_id=volume.id, connector={"host": "here"})
        attachments.complete(cloud.database, MEMBER, one.id)
        two = attachments.create_attachment(cloud.database, MEMBER, volume_id=other.id, connector={"host": "here"})
        attachments.complete(cloud.database, MEMBER, two.id)
    assert found(cloud) == []
    drop_row(cloud, tables.attachments, one.id)
    if not hasattr(cloud.driver, "volumes"):  # the simulated storage's exports need nothing that could end
        cloud.driver.terminate_connection(other, None)
    found_now = found(cloud)
    assert ("unwanted_export", volume.id) in found_now
    assert ("in_use_without_attachment", volume.id) in found_now
    assert (("missing_export", other.id) in found_now) == (not hasattr(cloud.driver, "volumes"))
    drop_row(cloud, tables.volumes, other.id)
    assert ("attachment_without_volume", two.id) in found(cloud)
    if hasattr(cloud.driver, "close"):
        cloud.driver.close()
    mended(cloud)
    assert cloud.volume(volume.id).status == "available"


def test_rows_without_their_volume(simulated):
    with simulated.running():
        volume = simulated.made(size=1)
        snapshot = snapshots.create_snapshot(simulated.database, simulated.settings, MEMBER, volume_id=volume.id)
        simulated.settled(snapshot.id)
    entry = CacheEntry(
        backend=simulated.backend.name,
        image_id="i",
        image_updated_at="t",
        checksum=None,
        volume_id="gone",
        size=1,
        last_used="t",
    )
    lost = msgspec.structs.replace(entry, image_id="j", volume_id="lost", operation_id="lost")
    with simulated.database.begin() as connection:
        image_cache.insert(connection, entry)
        image_cache.insert(connection, lost)
        volumes.remove(connection, volume.id)
    expected = [
        ("cache_without_fill", "j"),
        ("cache_without_volume", "i"),
        ("orphan", volume.id),
        ("snapshot_without_volume", snapshot.id),
    ]
    assert found(simulated) == expected
    doctor(simulated, "--fix", "--yes")
    with simulated.running():
        simulated.settled(snapshot.id)
    assert found(simulated) == []


def test_a_row_of_no_project_is_for_a_person(simulated):
    with simulated.running():
        volume = simulated.made(size=1)
    execute(simulated, sa.update(tables.volumes).values(project_id=""))
    code, told = doctor(simulated, "--fix", "--yes")
    assert code == 1
    assert [(one["kind"], one["id"], one["fix"]) for one in told["findings"]] == [("no_project", volume.id, None)]


def test_the_number_of_statements_is_fixed(simulated):
    seen = []
    sa.event.listen(simulated.database.engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    examine(simulated.settings, simulated.database)
    few, _ = len(seen), seen.clear()
    with simulated.running():
        for _ in range(5):
            simulated.made(size=1)
    seen.clear()
    examine(simulated.settings, simulated.database)
    assert len(seen) == few
