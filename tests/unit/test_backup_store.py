"""The store of backups: whole or not there, checked when read."""

import errno
import os

import pytest

from breezeblock.backups.directory import Chunk, DirectoryStore, Manifest
from breezeblock.errors import BackendNotFound, BackendOutOfSpace, DriverError


@pytest.fixture
def store(tmp_path):
    return DirectoryStore(tmp_path / "backups")


def backup(store, backup_id="b", pieces=(b"one" * 100, b"two" * 100, b"one" * 100)):
    chunks, offset = [], 0
    for piece in pieces:
        chunks.append(Chunk(offset, len(piece), store.put(backup_id, piece)))
        offset += len(piece)
    store.put_manifest(backup_id, Manifest(volume_size=offset, chunks=chunks))
    return b"".join(pieces)


def content(store, backup_id="b"):
    return b"".join(piece for _, piece in store.read(backup_id, store.manifest(backup_id)))


def test_what_was_put_is_read(store, tmp_path):
    whole = backup(store)
    assert content(store) == whole
    assert len([path for path in (tmp_path / "backups" / "backup-b").iterdir() if path.suffix != ".json"]) == 2


def test_an_unfinished_backup_is_not_there(store):
    store.put("b", b"piece")
    with pytest.raises(BackendNotFound):
        store.manifest("b")


def test_files_are_for_their_owner_alone(store, tmp_path):
    backup(store)
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "backups").rglob("*")} == {0}


def test_damage_is_noticed(store, tmp_path):
    backup(store)
    name = store.manifest("b").chunks[0].sha256
    path = tmp_path / "backups" / "backup-b" / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DriverError, match=name):
        content(store)


def test_deleting_one_leaves_the_others_and_is_done_twice(store):
    backup(store, "a")
    whole = backup(store, "b")
    store.delete("a")
    store.delete("a")
    assert content(store, "b") == whole


def test_a_full_disk_leaves_no_half_chunk(store, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BackendOutOfSpace, match="No space left"):
        store.put("b", b"piece")
    assert list((tmp_path / "backups" / "backup-b").iterdir()) == []
