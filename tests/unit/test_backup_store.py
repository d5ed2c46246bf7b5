"""The backup store: objects in a directory, and backups that share chunks, whatever dies and whoever else is at work."""

import errno
import os
import random
import signal
import threading
import uuid

import msgspec
import pytest
import zstandard

from breezeblock.backups import repository as repositories
from breezeblock.backups.directory import LOCK, DirectoryObjects
from breezeblock.backups.legacy import LegacyBackups
from breezeblock.backups.manifest import Chunk, Manifest
from breezeblock.backups.repository import Place, Progress, Repository, place_of
from breezeblock.errors import BackendNotFound, BackendOutOfSpace, BackendTransient, BackupDamaged, DriverError

VOLUME = str(uuid.UUID(int=7))
A, B, C = (Place(VOLUME, str(uuid.UUID(int=number))) for number in (1, 2, 3))


@pytest.fixture
def repository(tmp_path):
    return Repository(DirectoryObjects(tmp_path / "backups"))


def store(repository, place, *pieces):
    """Make a backup of these pieces."""
    repository.claim(place)
    chunks, offset = [], 0
    for piece in pieces:
        chunks.append(Chunk(offset, len(piece), repository.keep(place, piece, trusting=True)[0]))
        offset += len(piece)
    repository.publish(place, Manifest(volume_size=offset, chunks=chunks))
    repository.unclaim(place)


def content(repository, place):
    return b"".join(repository.read(place, chunk) for chunk in repository.manifest(place).chunks)


def files(repository):
    root = repository.objects.root
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != ".lock")


def test_what_was_stored_is_read_and_equal_pieces_are_kept_once(repository):
    store(repository, A, b"one" * 100, b"two" * 100, b"one" * 100)
    assert content(repository, A) == b"one" * 100 + b"two" * 100 + b"one" * 100
    assert len(repository.chunks(VOLUME)) == 2
    assert repository.claimed(VOLUME) == []


def test_files_and_folders_are_for_their_owner_alone(repository):
    store(repository, A, b"one")
    root = repository.objects.root
    assert {path.stat().st_mode & 0o077 for path in [root, *root.rglob("*")]} == {0}


def test_an_unfinished_backup_is_not_there(repository):
    repository.claim(A)
    repository.keep(A, b"piece", trusting=True)
    assert not repository.has(A)
    with pytest.raises(BackendNotFound, match=A.backup_id):
        repository.manifest(A)


def test_backups_share_chunks_and_go_in_any_order(repository):
    store(repository, A, b"one", b"two")
    store(repository, B, b"two", b"three")
    assert len(repository.chunks(VOLUME)) == 3
    assert repository.remove(A) == []
    assert content(repository, B) == b"twothree"
    assert len(repository.chunks(VOLUME)) == 2
    assert repository.remove(A) == []
    assert repository.remove(B) == []
    assert files(repository) == []
    assert os.listdir(repository.objects.root) == [".lock"]


def test_nothing_that_a_backup_under_way_may_rely_on_is_removed(repository):
    store(repository, A, b"one")
    repository.claim(B)
    assert repository.keep(B, b"one", trusting=True)[1] == 0
    assert repository.remove(A) == [B.backup_id]
    sha256 = repository.keep(B, b"one", trusting=True)[0]
    repository.publish(B, Manifest(volume_size=3, chunks=[Chunk(0, 3, sha256)]))
    repository.unclaim(B)
    assert repository.remove(A) == []
    assert content(repository, B) == b"one"


def test_what_is_given_up_leaves_what_others_need(repository):
    store(repository, A, b"one")
    repository.claim(B)
    repository.keep(B, b"one", trusting=True)
    repository.keep(B, b"two", trusting=True)
    assert repository.remove(B) == []
    assert content(repository, A) == b"one"
    assert len(repository.chunks(VOLUME)) == 1


def test_removals_and_backups_at_once_break_none(repository):
    """Twenty rounds: two are removed while two others are made of the same pieces."""
    pieces = [bytes([number]) * 1000 for number in range(20)]
    errors = []

    def guarded(call, *arguments):
        def run():
            try:
                call(*arguments)
            except BaseException as error:
                errors.append(error)

        return threading.Thread(target=run)

    def removed(place):
        while repository.remove(place):
            pass

    last = []
    for turn in range(20):
        new = [Place(VOLUME, str(uuid.UUID(int=100 + 2 * turn + number))) for number in range(2)]
        threads = [guarded(removed, place) for place in last]
        threads += [guarded(store, repository, place, *random.Random(turn).sample(pieces, 10)) for place in new]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        for place in new:
            content(repository, place)
        last = new
    assert repository.unwanted(VOLUME) == []


def test_large_removals_let_others_in_between(repository, monkeypatch):
    monkeypatch.setattr(repositories, "BATCH", 3)
    store(repository, A, *(bytes([number]) for number in range(10)))
    assert repository.remove(A) == []
    assert files(repository) == []


def test_a_claim_tells_how_far_it_is(repository):
    assert repository.claim(A) == (1, [])
    repository.note(A, 1, Progress(100, [Chunk(0, 3, "x")]))
    number, pieces = repository.claim(A)
    assert (number, [piece.upto for piece in pieces], pieces[1].chunks) == (2, [0, 100], [Chunk(0, 3, "x")])


@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b"", lambda b: b[:20] + bytes([b[20] ^ 1]) + b[21:]])
def test_damage_is_noticed_named_and_healed_by_a_backup_that_does_not_trust(repository, damage):
    piece = random.Random(1).randbytes(5000)
    store(repository, A, piece)
    (name,) = repository.chunks(VOLUME)
    path = repository.objects.root / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BackupDamaged, match=name):
        content(repository, A)
    repository.claim(B)
    assert repository.keep(B, piece, trusting=True)[1] == 0
    assert repository.keep(B, piece, trusting=False)[1] > 0
    assert content(repository, A) == piece


def test_missing_chunks_are_named(repository):
    store(repository, A, b"one", b"two")
    gone = sorted(repository.chunks(VOLUME))[0]
    (repository.objects.root / gone).unlink()
    assert repository.missing(A, repository.manifest(A)) == [gone]
    with pytest.raises(BackendNotFound, match=gone):
        content(repository, A)


def test_a_damaged_manifest_keeps_all_chunks(repository):
    """What it names is not known, so nothing is removed by it or beside it."""
    store(repository, A, b"one")
    store(repository, B, b"two")
    path = repository.objects.root / A.manifest
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(BackupDamaged, match=A.manifest):
        repository.manifest(A)
    assert repository.remove(B) == []
    assert len(repository.chunks(VOLUME)) == 2
    assert repository.remove(A) == []
    assert files(repository) == []


@pytest.mark.parametrize("text", ["", "volume-x/y", "../../etc/passwd", f"volume-{VOLUME}/../{VOLUME}", "backup-1"])
def test_a_place_is_two_ids(text):
    assert place_of(text) is None
    assert place_of(str(A)) == A


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [(errno.ENOSPC, BackendOutOfSpace, "Delete backups, or add space"), (errno.EIO, BackendTransient, "Input/output")],
)
def test_a_disk_that_fails_leaves_no_half_object(repository, monkeypatch, code, kind, said):
    repository.claim(A)
    before = files(repository)

    def fail(_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(kind, match=said):
        repository.keep(A, b"piece", trusting=True)
    monkeypatch.undo()
    assert files(repository) == before


CHANGES = ("fsync", "rename", "unlink", "mkdir", "rmdir", "open")


def killed(root, after, act):
    """Do it in another process, which ends by SIGKILL once it has made so many changes; whether it came to its end."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    left = after

    def counting(real):
        def change(*arguments, **named):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return change

    try:
        for name in CHANGES:
            setattr(os, name, counting(getattr(os, name)))
        act(Repository(DirectoryObjects(root)))
    except BaseException:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


def test_killed_at_any_line_no_backup_is_broken_and_again_is_done(tmp_path):
    """A backup is made, and another one that shares with it is removed: killed after each change, and done again."""

    def make(repository):
        store(repository, C, b"two", b"three", b"four")

    def remove(repository):
        assert repository.remove(A) == []

    for act, left in ((make, {A, B, C}), (remove, {B})):
        for after in range(1000):
            root = tmp_path / f"{act.__name__}-{after}"
            repository = Repository(DirectoryObjects(root))
            store(repository, A, b"one", b"two")
            store(repository, B, b"two", b"three")
            ended = killed(root, after, act)
            assert content(repository, B) == b"twothree"
            if repository.has(A):
                assert content(repository, A) == b"onetwo"
            if repository.has(C):
                assert content(repository, C) == b"twothreefour"
            act(repository)
            assert {place for place in (A, B, C) if repository.has(place)} == left
            assert repository.collect(VOLUME) == []
            assert len(files(repository)) == len(left) + len(repository.chunks(VOLUME)), files(repository)
            assert [repository.remove(place) for place in sorted(left, key=str)][-1] == []
            assert [path.name for path in root.iterdir()] == [LOCK]
            if ended:
                break
        assert after > 5


def test_two_processes_are_not_in_the_exclusive_section_at_once(tmp_path):
    objects, other = DirectoryObjects(tmp_path), DirectoryObjects(tmp_path)
    inside = []

    def enter():
        with other.exclusive():
            inside.append(True)

    with objects.exclusive():
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(0.2)
        assert inside == []
    thread.join()
    assert inside == [True]


def legacy(root, backup_id, *pieces):
    """A backup as release 1 made it."""
    folder = root / f"backup-{backup_id}"
    folder.mkdir(parents=True)
    chunks, offset = [], 0
    for piece in pieces:
        sha256 = repositories.hashlib.sha256(piece).hexdigest()
        (folder / sha256).write_bytes(zstandard.ZstdCompressor(level=1).compress(piece))
        chunks.append([offset, len(piece), sha256])
        offset += len(piece)
    manifest = {"format": 1, "volume_size": offset, "chunks": chunks}
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))


def test_backups_of_the_release_before_are_read_and_removed(tmp_path):
    legacy(tmp_path, A.backup_id, b"one", b"two")
    legacy(tmp_path, B.backup_id, b"two")
    (tmp_path / f"backup-{C.backup_id}").mkdir()
    former = LegacyBackups(tmp_path)
    assert former.stored() == {A.backup_id: True, B.backup_id: True, C.backup_id: False}
    manifest = former.manifest(A.backup_id)
    assert b"".join(former.read(A.backup_id, chunk) for chunk in manifest.chunks) == b"onetwo"
    former.delete(A.backup_id)
    former.delete(A.backup_id)
    assert former.missing(B.backup_id, former.manifest(B.backup_id)) == []
    with pytest.raises(BackendNotFound):
        former.manifest(A.backup_id)


def test_damage_of_the_release_before_is_named(tmp_path):
    legacy(tmp_path, A.backup_id, b"one")
    former = LegacyBackups(tmp_path)
    (chunk,) = former.manifest(A.backup_id).chunks
    (tmp_path / f"backup-{A.backup_id}" / chunk.sha256).write_bytes(b"x")
    with pytest.raises(DriverError, match=chunk.sha256):
        former.read(A.backup_id, chunk)
    (tmp_path / f"backup-{A.backup_id}" / chunk.sha256).unlink()
    assert former.missing(A.backup_id, former.manifest(A.backup_id)) == [f"backup-{A.backup_id}/{chunk.sha256}"]
