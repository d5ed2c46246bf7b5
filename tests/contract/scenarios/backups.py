"""Backups."""

from tests.contract.caller import UNKNOWN, Caller
from tests.contract.making import odd_action, odd_bodies, snapshot, versions_of, volume

VIEWS = "3.0 3.8 3.9 3.17 3.18 3.42 3.43 3.44 3.45 3.50 3.51 3.55 3.56 3.63 3.64 3.71".split()


def _made(c: Caller, source: str, **fields: object) -> str:
    answer = c.post("/backups", {"backup": {"volume_id": source, "name": c.name("backup")} | fields})
    c.settle(f"/backups/{answer.find('backup.id')}", "backup")
    c.settle(f"/volumes/{source}", "volume", quiet=True)
    return f"/backups/{answer.find('backup.id')}"


def life(c: Caller) -> None:
    """A backup, from its making to its end."""
    source = volume(c)
    for role in ("reader", "other"):
        c.post("/backups", {"backup": {"volume_id": source}}, role=role)
    c.post("/backups", {"backup": {"volume_id": source, "incremental": True}}, about="incremental, without a full one")
    one = _made(c, source, description="d", metadata={"k": "v"})
    for version in VIEWS:
        for role in ("member", "admin"):
            c.get(one, version=version, role=role)
            c.get("/backups", version=version, role=role)
            c.get("/backups/detail", version=version, role=role)
    for role in ("reader", "other"):
        c.get(one, role=role)
        c.put(one, {"backup": {"name": "x"}}, role=role)
        c.delete(one, role=role)
        c.post(f"{one}/restore", {"restore": {}}, role=role)
    c.put(one, {"backup": {"name": c.name("x")}}, version="3.8")
    c.put(one, {"backup": {"name": c.name("x"), "description": "e"}}, version="3.9", keep=["backup.description"])
    c.put(one, {"backup": {"name": c.name("y"), "metadata": {"a": "b"}}}, version="3.43", keep=["backup.metadata"])
    c.put(one, {"backup": {}})
    odd_bodies(c, "PUT", one, {"backup": {"name": "x"}}, ["name", "description", "metadata"])
    odd_bodies(c, "PUT", one, {"backup": {"name": "x"}}, ["metadata"], version="3.42")
    second = _made(c, source, incremental=True)
    c.get(second)
    c.get(one, about="with one that depends on it")
    c.delete(one, about="with one that depends on it")
    taken = snapshot(c, source)
    of_snapshot = _made(c, source, snapshot_id=taken)
    c.get(of_snapshot)
    c.act(f"/volumes/{source}", "os-reset_status", {"status": "error"}, role="admin")
    c.post("/backups", {"backup": {"volume_id": source}}, about="of a volume in error")
    c.act(f"/volumes/{source}", "os-reset_status", {"status": "available"}, role="admin")
    _restored(c, one, source)
    c.get(f"{one}/export_record")
    c.get(f"{one}/export_record", role="admin")
    c.get(f"/backups/{UNKNOWN}/export_record", role="admin")
    for path in (second, of_snapshot, one):
        c.delete(path)
        c.settle(path, "backup")
    c.get(one)
    c.purge(f"/snapshots/{taken}", "snapshot")
    c.purge(f"/volumes/{source}", "volume")


def _restored(c: Caller, one: str, source: str) -> None:
    small = c.post(f"{one}/restore", {"restore": {"volume_id": UNKNOWN}}, about="into what is not there")
    answer = c.post(f"{one}/restore", {"restore": {"name": c.name("restored")}}, about="into a new volume")
    path = f"/volumes/{answer.find('restore.volume_id')}"
    c.settle(one, "backup")
    c.settle(path, "volume")
    c.get(path)
    c.purge(path, "volume")
    c.post(f"{one}/restore", {"restore": {"volume_id": source}}, about="into its volume")
    c.settle(one, "backup", quiet=True)
    c.settle(f"/volumes/{source}", "volume")
    c.act(f"/volumes/{source}", "os-reset_status", {"status": "in-use"}, role="admin")
    c.post(f"{one}/restore", {"restore": {"volume_id": source}}, about="into a volume in use")
    c.act(f"/volumes/{source}", "os-reset_status", {"status": "available"}, role="admin")
    for status in ("error", "creating"):
        c.act(one, "os-reset_status", {"status": status}, role="admin", about=status)
        c.post(f"{one}/restore", {"restore": {}}, about=f"while {status}")
    c.act(one, "os-reset_status", {"status": "available"}, role="admin")
    made = c.post("/volumes", {"volume": {"backup_id": one[9:], "size": 1}}, version="3.47")
    c.settle(f"/volumes/{made.find('volume.id')}", "volume")
    c.settle(one, "backup", quiet=True)
    c.get(f"/volumes/{made.find('volume.id')}", keep=["volume.metadata"])
    c.purge(f"/volumes/{made.find('volume.id')}", "volume")
    assert small


def bodies(c: Caller) -> None:
    """Bodies that are not as they should be."""
    good = {"backup": {"volume_id": UNKNOWN, "name": "x"}}
    fields = "volume_id name description container force incremental snapshot_id metadata availability_zone".split()
    for version in ("3.0", "3.42", "3.43", "3.50", "3.51"):
        odd_bodies(c, "POST", "/backups", good, fields if version == "3.0" else fields[-2:], version=version)
    odd_bodies(c, "POST", f"/backups/{UNKNOWN}/restore", {"restore": {"volume_id": UNKNOWN}}, ["volume_id", "name"])
    odd_bodies(c, "PUT", f"/backups/{UNKNOWN}", {"backup": {"name": "x"}}, ["name", "description"], version="3.9")
    good = {"backup-record": {"backup_service": "x", "backup_url": "bm90IGEgcmVjb3Jk"}}
    c.post("/backups/import_record", good)
    odd_bodies(c, "POST", "/backups/import_record", good, ["backup_service", "backup_url"], role="admin")
    c.delete(f"/backups/{UNKNOWN}")
    c.get(f"/backups/{UNKNOWN}")


def actions(c: Caller) -> None:
    """Administrators' actions."""
    source = volume(c)
    one = _made(c, source)
    c.act(one, "os-reset_status", {"status": "error"})
    c.act(one, "os-force_delete")
    for status in "available error creating deleting restoring error_deleting nonsense backing-up".split():
        c.act(one, "os-reset_status", {"status": status}, role="admin", about=status)
        c.get(one)
    odd_action(c, "backups", "os-reset_status", {"status": "error"}, ["status"])
    odd_action(c, "backups", "os-force_delete", None)
    c.act(one, "os-reset_status", {"status": "available"}, role="admin")
    c.act(one, "os-force_delete", role="admin")
    c.settle(one, "backup")
    c.purge(f"/volumes/{source}", "volume")


def lists(c: Caller) -> None:
    """Filters, order, pages."""
    source = volume(c)
    made = [_made(c, source, name=c.name(word)) for word in ("a", "b")]
    keep = ["backups[].name"]
    for query in (
        "sort=name:asc",
        "sort=name:desc",
        "sort_key=name&sort_dir=asc",
        "sort=no_such",
        "sort=name:asc&limit=1",
        "limit=-1",
        "limit=x",
        "sort=name:asc&offset=1",
        f"sort=name:asc&marker={made[0][9:]}",
        "marker=nonsense",
        f"marker={UNKNOWN}",
        f"name={c.name('a')}",
        "name=no-such",
        "status=available",
        f"volume_id={source}",
        f"volume_id={UNKNOWN}",
        f"name~={c.name('a')}",
        "no_such=1",
        "with_count=true",
        "with_count=x",
        "all_tenants=1",
        "created_at=gt:2000-01-01T00:00:00",
        "is_incremental=false",
        "size=1",
        "user_id=x",
        "snapshot_id=x",
        "project_id=x",
    ):
        for version in ("3.36", "3.37") if "name:" in query else versions_of(query):
            c.get(f"/backups?{query}", keep=[*keep, "count"], version=version)
    for key in ("size", "status", "created_at", "id", "volume_id", "host"):
        c.get(f"/backups?sort={key}")
    c.get("/backups/detail", role="other")
    c.get("/backups/detail", role="reader")
    for path in made:
        c.purge(path, "backup")
    c.purge(f"/volumes/{source}", "volume")
