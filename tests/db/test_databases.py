"""The databases that the other tests stand on are real, empty and apart from each other."""

import sqlalchemy as sa


def test_a_database_is_fresh_and_writable(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    assert sa.inspect(engine).get_table_names() == []
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE volumes (id TEXT PRIMARY KEY)"))
        connection.execute(sa.text("INSERT INTO volumes VALUES ('a')"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM volumes")) == 1
    engine.dispose()


def test_postgresql_keeps_what_it_acknowledges(postgres_url: str) -> None:
    engine = sa.create_engine(postgres_url)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SHOW fsync")) == "on"
        assert connection.scalar(sa.text("SHOW synchronous_commit")) == "on"
    engine.dispose()
