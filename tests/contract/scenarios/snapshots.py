"""Snapshots."""

from tests.contract.caller import LATEST, UNKNOWN, Caller
from tests.contract.making import odd_action, odd_bodies, snapshot, versions_of, volume

VIEWS = "3.0 3.13 3.14 3.40 3.41 3.64 3.65 3.71".split()


def life(c: Caller) -> None:
    """A snapshot, from its making to its end."""
    source = volume(c)
    one = f"/snapshots/{snapshot(c, source, description='d', metadata={'k': 'v'})}"
    for version in VIEWS:
        c.get(one, version=version)
        c.get(one, version=version, role="admin")
        c.get("/snapshots/detail", version=version)
        c.get("/snapshots", version=version)
        made = c.post(
            "/snapshots", {"snapshot": {"volume_id": source, "name": c.name("s"), "force": True}}, version=version
        )
        c.settle(f"/snapshots/{made.find('snapshot.id')}", "snapshot", quiet=True)
        c.purge(f"/snapshots/{made.find('snapshot.id')}", "snapshot")
    for role in ("reader", "other"):
        c.get(one, role=role)
        c.put(one, {"snapshot": {"name": "x"}}, role=role)
        c.delete(one, role=role)
        c.post("/snapshots", {"snapshot": {"volume_id": source}}, role=role)
    c.put(one, {"snapshot": {"name": c.name("new"), "description": ""}}, keep=["snapshot.description"])
    c.put(one, {"snapshot": {"display_name": c.name("newer")}}, version="3.0")
    c.put(one, {"snapshot": {}})
    odd_bodies(
        c, "PUT", one, {"snapshot": {"name": "n"}}, ["name", "display_name", "description", "display_description"]
    )
    c.delete(f"/volumes/{source}", about="which has a snapshot")
    c.delete(one)
    c.settle(one, "snapshot")
    c.get(one)
    c.delete(one)
    c.purge(f"/volumes/{source}", "volume")


def bodies(c: Caller) -> None:
    """Creations that are not as they should be."""
    fields = "volume_id name display_name description metadata force".split()
    for version in ("3.0", "3.65", LATEST):
        odd_bodies(c, "POST", "/snapshots", {"snapshot": {"volume_id": UNKNOWN}}, fields, version=version)
    source = volume(c)
    one = f"/volumes/{source}"
    for status in ("in-use", "error", "creating", "maintenance"):
        c.act(one, "os-reset_status", {"status": status}, role="admin", about=status)
        for version in ("3.65", "3.66"):
            for force in (None, False, True):
                if status == "in-use" and (force or version == "3.66"):
                    continue
                body = {"volume_id": source} | ({} if force is None else {"force": force})
                c.post("/snapshots", {"snapshot": body}, version=version, about=f"while {status}, force {force}")
    c.act(one, "os-reset_status", {"status": "available"}, role="admin")
    c.post("/snapshots", {"snapshot": {"volume_id": source, "force": False}}, version="3.66", about="force is gone")
    c.purge(one, "volume")


def actions(c: Caller) -> None:
    """Administrators' actions, and that of a compute service."""
    source = volume(c)
    one = f"/snapshots/{snapshot(c, source)}"
    for (
        status
    ) in "error available creating deleting error_deleting deleted backing-up unmanaging restoring nonsense".split():
        c.act(one, "os-reset_status", {"status": status}, role="admin", about=status)
        c.get(one, keep=["snapshot.status"])
        if status in {"creating", "backing-up"}:
            c.delete(one, about=status)
            c.post("/volumes", {"volume": {"size": 1, "snapshot_id": one[11:]}}, about=f"of one that is {status}")
    c.act(one, "os-reset_status", {"status": "error"})
    for status in ("creating", "deleting", "error", "available", "error_deleting", "nonsense"):
        for value in ({"status": status}, {"status": status, "progress": "50%"}):
            c.act(one, "os-reset_status", {"status": "creating"}, role="admin")
            c.act(one, "os-update_snapshot_status", value, about=str(value))
            c.get(one, keep=["snapshot.status", "snapshot.os-extended-snapshot-attributes:progress"])
    c.act(one, "os-reset_status", {"status": "available"}, role="admin")
    c.act(one, "os-update_snapshot_status", {"status": "error"}, about="one that is available")
    c.act(one, "os-unmanage")
    c.act(one, "os-force_delete")
    c.act(one, "os-update_snapshot_status", {"status": "error"}, role="reader")
    odd_action(c, "snapshots", "os-reset_status", {"status": "error"}, ["status"])
    odd_action(
        c, "snapshots", "os-update_snapshot_status", {"status": "error", "progress": "1%"}, ["status", "progress"]
    )
    odd_action(c, "snapshots", "os-force_delete", None)
    odd_action(c, "snapshots", "os-unmanage", None)
    c.act(one, "os-reset_status", {"status": "creating"}, role="admin")
    c.act(one, "os-force_delete", role="admin")
    c.settle(one, "snapshot")
    c.purge(f"/volumes/{source}", "volume")


def lists(c: Caller) -> None:
    """Filters, order, pages."""
    source = volume(c)
    names = [c.name(word) for word in ("a", "b", "c")]
    made = [snapshot(c, source, name=name, metadata={"n": name}) for name in names]
    keep = ["snapshots[].name"]
    for query in (
        "sort=name",
        "sort=name:asc",
        "sort=name:desc",
        "sort_key=name&sort_dir=asc",
        "sort=no_such",
        "sort=name:asc&limit=2",
        "sort=name:asc&limit=0",
        "limit=-1",
        "limit=x",
        "sort=name:asc&offset=1",
        "offset=x",
        f"sort=name:asc&marker={made[0]}",
        f"marker={UNKNOWN}",
        "marker=nonsense",
        "sort_dir=asc",
    ):
        for version in ("3.29", "3.30") if "name" in query else (LATEST,):
            c.get(f"/snapshots?{query}", keep=keep, version=version)
    for query in (
        f"name={names[0]}",
        "name=no-such",
        "status=available",
        "status=nonsense",
        f"volume_id={source}",
        f"volume_id={UNKNOWN}",
        f"name~={names[0][1:]}",
        f"metadata={{'n': '{names[0]}'}}",
        "no_such_filter=1",
        "user_id=x",
        "project_id=x",
        "created_at=gt:2000-01-01T00:00:00",
        "created_at=nonsense",
        "with_count=true",
        "with_count=x",
        "consumes_quota=true",
        "availability_zone=nova",
        "all_tenants=1&name=no-such",
        "host=x",
        "volume_size=1",
        f"id={made[1]}",
        "description=x",
        "progress=100%25",
    ):
        for version in ("3.21", "3.22") if "metadata" in query else versions_of(query):
            c.get(f"/snapshots?{query}&sort=name:asc", keep=[*keep, "count"], version=version)
    for key in ("volume_size", "status", "created_at", "id", "volume_id", "user_id"):
        c.get(f"/snapshots?sort={key}")
    c.get(f"/snapshots/detail?all_tenants=1&name={names[0]}", role="admin", keep=keep)
    c.get("/snapshots/detail", role="other")
    c.get("/snapshots/detail", role="reader", keep=["snapshots[].os-extended-snapshot-attributes:progress"])
    for one in made:
        c.purge(f"/snapshots/{one}", "snapshot")
    c.purge(f"/volumes/{source}", "volume")


def metadata(c: Caller) -> None:
    """Metadata of a snapshot."""
    source = volume(c)
    taken = f"/snapshots/{snapshot(c, source, metadata={'k': 'v'})}"
    one = f"{taken}/metadata"
    for version in ("3.0", LATEST):
        c.get(one, version=version, keep=["metadata"])
    c.post(one, {"metadata": {"a": "b"}}, keep=["metadata"])
    c.put(one, {"metadata": {"c": "d"}}, keep=["metadata"])
    c.get(f"{one}/c", keep=["meta"])
    c.get(f"{one}/no-such")
    c.put(f"{one}/c", {"meta": {"c": "e"}}, keep=["meta"])
    c.put(f"{one}/c", {"meta": {"other": "e"}}, about="another key")
    c.delete(f"{one}/c")
    c.delete(f"{one}/c", about="gone already")
    for role in ("reader", "other"):
        c.get(one, role=role)
        c.post(one, {"metadata": {"x": "y"}}, role=role)
        c.put(one, {"metadata": {"x": "y"}}, role=role)
        c.delete(f"{one}/x", role=role)
    c.get(f"/snapshots/{UNKNOWN}/metadata")
    for method, path in (("POST", one), ("PUT", one)):
        odd_bodies(c, method, path, {"metadata": {"k": "v"}}, ["k"])
    odd_bodies(c, "PUT", f"{one}/k", {"meta": {"k": "v"}}, ["k"])
    c.purge(taken, "snapshot")
    c.purge(f"/volumes/{source}", "volume")
