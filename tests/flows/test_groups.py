"""Groups through services and flows: all or nothing, with real bytes."""

import pytest
from click.testing import CliRunner

from breezeblock.cli.doctor import command
from breezeblock.db import group_snapshots as group_snapshot_rows
from breezeblock.db import groups as group_rows
from breezeblock.db import moves, snapshots, volumes
from breezeblock.errors import InvalidState, NotFound
from breezeblock.services import attachments, group_snapshots, group_types, groups, operations
from breezeblock.services.doctor.examine import examine
from tests.cloud import MEMBER, Cloud

TWO = "[DEFAULT]\nenabled_backends = one\nflow_threads = {threads}\n[one]\nvolume_driver = {driver}\n{more}\n"


def cloud_of(tmp_path, more="", driver="simulated", threads=4):
    if driver == "simulated":
        more = f"simulated_group_snapshots = true\n{more}"
    return Cloud(tmp_path / "data", TWO.format(threads=threads, driver=driver, more=more))


def group_of(cloud, volumes=2, consistent=False):
    """A group with some volumes, and their ids."""
    specs = {"consistent_group_snapshot_enabled": "<is> True"} if consistent else {}
    group_types.create_type(cloud.database, name="kind", description=None, is_public=True, group_specs=specs)
    group = groups.create_group(
        cloud.database, cloud.settings, MEMBER, group_type="kind", wanted_types=["__DEFAULT__"], name="g"
    )
    return group, [cloud.made(size=1, volume_type="__DEFAULT__", group_id=group.id).id for _ in range(volumes)]


def snapshot_of(cloud, group):
    taken = group_snapshots.create_group_snapshot(cloud.database, cloud.settings, MEMBER, group_id=group.id)
    cloud.settled(taken.id)
    return status(cloud, group_snapshot_rows, taken.id), members(cloud, taken.id)


def settled_members(cloud, taken_id):
    for one in members(cloud, taken_id):
        cloud.settled(one.id)
    return members(cloud, taken_id)


def status(cloud, rows, resource_id):
    with cloud.database.read() as connection:
        return rows.get(connection, resource_id)


def members(cloud, taken_id):
    with cloud.database.read() as connection:
        return group_snapshot_rows.members(connection, taken_id)


def volumes_of(cloud, group_id):
    with cloud.database.read() as connection:
        return group_rows.volumes_of(connection, group_id)


def write(cloud, volume_id, content):
    cloud.driver.copy_image_to_volume(cloud.volume(volume_id), "test:1", lambda to: to.pwrite(content, 0))


def read(cloud, thing):
    with cloud.driver.open_volume(thing) as source:
        return source.pread(3, 0)


def test_one_snapshot_that_fails_undoes_the_others(tmp_path):
    cloud = cloud_of(tmp_path, "simulated_failures = create_snapshot:error:1")
    with cloud.running():
        group, _ = group_of(cloud, 3)
        taken, _ = snapshot_of(cloud, group)
        left = settled_members(cloud, taken.id)
        assert (taken.status, [one.status for one in left]) == ("error", ["error"])
        (operation,) = cloud.operations(taken.id)
        assert (operation.state, left[0].id in operation.message) == ("failed", True)
        assert [name for name in cloud.driver.list_objects() if name.startswith("snapshot-")] == []
        again, made = snapshot_of(cloud, group)
        assert (again.status, [one.status for one in made]) == ("available", ["available"] * 3)
    cloud.close()


def test_a_storage_that_fails_at_once_for_all_leaves_nothing(tmp_path):
    cloud = cloud_of(tmp_path, "simulated_failures = create_group_snapshot:error:1")
    with cloud.running():
        group, _ = group_of(cloud, consistent=True)
        taken, left = snapshot_of(cloud, group)
        assert (taken.status, [one.status for one in left]) == ("error", ["error"] * 2)
        assert [name for name in cloud.driver.list_objects() if name.startswith("snapshot-")] == []
        group_snapshots.delete_group_snapshot(cloud.database, MEMBER, taken.id)
        assert cloud.settled(taken.id).state == "succeeded"
        with pytest.raises(NotFound):
            cloud.snapshot(left[0].id)
        again, made = snapshot_of(cloud, group)
        assert (again.status, [one.progress for one in made]) == ("available", ["100%"] * 2)
    cloud.close()


def test_a_group_of_snapshots_has_their_content_and_one_that_fails_undoes_the_others(tmp_path):
    cloud = cloud_of(tmp_path, "simulated_failures = create_cloned_volume:error:1")
    with cloud.running():
        group, (first, second) = group_of(cloud)
        write(cloud, first, b"one")
        write(cloud, second, b"two")
        taken, _ = snapshot_of(cloud, group)
        copy = groups.create_group_from_src(cloud.database, cloud.settings, MEMBER, group_snapshot_id=taken.id)
        assert cloud.settled(copy.id).state == "succeeded"
        made = volumes_of(cloud, copy.id)
        assert {read(cloud, one) for one in made} == {b"one", b"two"}
        assert {one.backend for one in made} == {group.backend}
        broken = groups.create_group_from_src(cloud.database, cloud.settings, MEMBER, source_group_id=group.id)
        assert cloud.settled(broken.id).state == "failed"
        for one in volumes_of(cloud, broken.id):
            cloud.settled(one.id)
        assert status(cloud, group_rows, broken.id).status == "error"
        assert [one.status for one in volumes_of(cloud, broken.id)] == ["error"]
        groups.delete_group(cloud.database, MEMBER, broken.id, delete_volumes=True)
        assert cloud.settled(broken.id).state == "succeeded"
    cloud.close()


def test_a_group_whose_volume_cannot_be_deleted_is_in_error_and_deleted_again(tmp_path):
    cloud = cloud_of(tmp_path, "simulated_failures = delete_volume:error:1")
    with cloud.running():
        group, _ = group_of(cloud)
        groups.delete_group(cloud.database, MEMBER, group.id, delete_volumes=True)
        assert "could not be deleted" in cloud.settled(group.id).message
        assert status(cloud, group_rows, group.id).status == "error"
        assert [one.status for one in volumes_of(cloud, group.id)] == ["error_deleting"]
        groups.delete_group(cloud.database, MEMBER, group.id, delete_volumes=True)
        assert cloud.settled(group.id).state == "succeeded"
        assert list(cloud.driver.list_objects()) == []
    cloud.close()


def test_one_thread_is_enough_for_many_members(tmp_path):
    """A group's flow gives its thread back while it waits."""
    cloud = cloud_of(tmp_path, threads=1)
    with cloud.running():
        group, _ = group_of(cloud, 5)
        taken, made = snapshot_of(cloud, group)
        assert (taken.status, len(made)) == ("available", 5)
        (operation,) = cloud.operations(taken.id)
        assert {one.outcome for one in operation.answers} <= {"waited"}
        with pytest.raises(InvalidState, match="Group has existing snapshots"):
            groups.delete_group(cloud.database, MEMBER, group.id, delete_volumes=True)
        group_snapshots.delete_group_snapshot(cloud.database, MEMBER, taken.id)
        cloud.settled(taken.id)
        groups.delete_group(cloud.database, MEMBER, group.id, delete_volumes=True)
        assert cloud.settled(group.id).state == "succeeded"
    cloud.close()


def test_what_waits_for_its_members_is_not_cancelled(tmp_path):
    cloud = cloud_of(tmp_path)
    with cloud.running():
        group, _ = group_of(cloud)
    taken = group_snapshots.create_group_snapshot(cloud.database, cloud.settings, MEMBER, group_id=group.id)
    (operation,) = cloud.operations(taken.id)
    with pytest.raises(InvalidState, match="cancel one of them"):
        operations.cancel_operation(cloud.database, MEMBER, operation.id)
    with pytest.raises(InvalidState, match="status must be available or error"):
        group_snapshots.delete_group_snapshot(cloud.database, MEMBER, taken.id)
    with cloud.running():
        assert cloud.settled(taken.id).state == "succeeded"
    cloud.close()


def test_the_directory_takes_volumes_together_that_nobody_has_open(tmp_path):
    cloud = cloud_of(tmp_path, driver="directory")
    with cloud.running():
        group, (first, second) = group_of(cloud, consistent=True)
        write(cloud, first, b"one")
        write(cloud, second, b"two")
        taken, made = snapshot_of(cloud, group)
        assert taken.status == "available"
        assert {read(cloud, one) for one in made} == {b"one", b"two"}
        attached = attachments.create_attachment(cloud.database, MEMBER, volume_id=first, connector={"host": "here"})
        attachments.complete(cloud.database, MEMBER, attached.id)
        refused, left = snapshot_of(cloud, group)
        assert (refused.status, [one.status for one in left]) == ("error", ["error"] * 2)
        assert "detached first" in cloud.settled(refused.id).message
        attachments.delete_attachment(cloud.database, MEMBER, attached.id)
    cloud.close()


def test_the_doctor_ends_what_nobody_ends(tmp_path):
    cloud = cloud_of(tmp_path)
    with cloud.running():
        group, (first, _) = group_of(cloud)
        taken, (member, _) = snapshot_of(cloud, group)
    with cloud.database.begin() as connection:
        for noun, stuck in (("group", group.id), ("group_snapshot", taken.id)):
            moves.move(connection, noun, stuck, "reset_status", "creating")
        volumes.update(connection, first, group_id="gone")
        snapshots.update(connection, member.id, group_snapshot_id="gone")
    assert sorted((one.kind, one.resource) for one in examine(cloud.settings, cloud.database)) == [
        ("stuck", "group"),
        ("stuck", "group_snapshot"),
        ("without_group", "snapshot"),
        ("without_group", "volume"),
    ]
    fixed(cloud)
    assert [
        status(cloud, rows, of).status for rows, of in ((group_rows, group.id), (group_snapshot_rows, taken.id))
    ] == ["error"] * 2
    assert (cloud.volume(first).group_id, cloud.snapshot(member.id).group_snapshot_id) == (None, None)
    with cloud.database.begin() as connection:
        for noun, stuck in (("group", group.id), ("group_snapshot", taken.id)):
            moves.move(connection, noun, stuck, "reset_status", "deleting")
    fixed(cloud)
    with cloud.running():
        assert "could not be deleted" in cloud.settled(group.id).message
        assert "could not be deleted" in cloud.settled(taken.id).message
    assert examine(cloud.settings, cloud.database) == []
    cloud.close()


def fixed(cloud):
    ran = CliRunner().invoke(command, ["--data-dir", str(cloud.settings.data_dir), "--fix", "--yes"])
    assert ran.exit_code in {0, 1}, ran.output
