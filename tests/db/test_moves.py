"""Changes of status are compare-and-swap on the table of legal moves."""

import threading

import pytest

from breezeblock.db import migrate, moves, outbox, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidState, NotFound
from breezeblock.model import clock
from breezeblock.model.states import BACKUP_MOVES, PASSING, SNAPSHOT_MOVES, VOLUME_MOVES
from breezeblock.model.volume import Volume


@pytest.fixture
def database(database_url):
    database = Database(database_url)
    migrate.upgrade(database)
    with database.begin() as connection:
        volumes.insert(
            connection,
            Volume(id="v", project_id="p", user_id="u", size=1, status="available", created_at=clock.now()),
        )
    yield database
    database.close()


def test_a_move_sets_the_status_and_remembers_the_last(database):
    with database.begin() as connection:
        moves.move(connection, "volume", "v", "extend", size=2)
        moves.move(connection, "volume", "v", "extend_done", "available")
        volume = volumes.get(connection, "v")
    assert (volume.status, volume.previous_status, volume.size) == ("available", "extending", 2)


def test_an_illegal_move_changes_nothing_and_names_the_legal_starts(database):
    with database.begin() as connection:
        with pytest.raises(InvalidState, match="must be creating, downloading, restoring-backup, but is available"):
            moves.move(connection, "volume", "v", "create_done", size=99)
        assert volumes.get(connection, "v").size == 1


def test_a_move_of_nothing_is_not_found(database):
    with database.begin() as connection, pytest.raises(NotFound):
        moves.move(connection, "volume", "absent", "delete")


def test_a_move_to_a_status_it_does_not_end_in_is_a_mistake(database):
    with database.begin() as connection, pytest.raises(ValueError, match="does not end in gone"):
        moves.move(connection, "volume", "v", "delete", "gone")


def test_of_many_at_once_one_wins(database):
    won = []

    def try_it():
        with database.begin() as connection:
            if moves.try_move(connection, "volume", "v", "delete"):
                won.append(1)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_what_is_rolled_back_leaves_neither_status_nor_event(database):
    def change_and_break():
        with database.begin() as connection:
            outbox.volume_event(connection, "delete.start", volumes.get(connection, "v"), None)
            moves.move(connection, "volume", "v", "delete")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_and_break()
    with database.read() as connection:
        assert volumes.get(connection, "v").status == "available"
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one() == 0


@pytest.mark.parametrize("table", [VOLUME_MOVES, SNAPSHOT_MOVES, BACKUP_MOVES])
def test_every_passing_status_can_be_left(table):
    """Whatever a move leads into that must not last, another move leads out of."""
    entered = {end for name, move in table.items() if name != "reset_status" for end in move.end}
    for status in entered & PASSING:
        leaving = [name for name, move in table.items() if move.start and status in move.start]
        assert leaving or status == "deleting", f"nothing leads out of {status}"
