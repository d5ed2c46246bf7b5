"""Group types, groups, group snapshots, and consistency groups."""

from typing import Any

from tests.contract.caller import LATEST, UNKNOWN, Answer, Caller
from tests.contract.making import odd_action, odd_bodies, volume


def types(c: Caller) -> None:
    """Group types and their specs."""
    body = {"group_type": {"name": c.name("kind"), "description": "d", "group_specs": {"k": "v"}}}
    c.post("/group_types", body)
    c.post("/group_types", body, role="admin", version="3.10")
    made = c.post("/group_types", body, role="admin")
    c.post("/group_types", body, role="admin", about="the name again")
    one = f"/group_types/{made.find('group_type.id')}"
    for version in ("3.10", "3.11", LATEST):
        for role in ("admin", "member", "reader"):
            c.get(one, role=role, version=version)
            c.get("/group_types", role=role, version=version)
    c.get("/group_types/default")
    c.get(f"/group_types/{UNKNOWN}")
    for query in (
        "is_public=true",
        "is_public=false",
        "is_public=x",
        "limit=1",
        "limit=x",
        "sort=name",
        "sort=no_such",
    ):
        c.get(f"/group_types?{query}", role="admin")
    for change in (
        {"name": c.name("new")},
        {"description": "e"},
        {"is_public": False},
        {"is_public": "true"},
        {},
        {"name": ""},
    ):
        c.put(one, {"group_type": change}, role="admin", about=str(sorted(change)))
        c.put(one, {"group_type": change}, about=str(sorted(change)))
    odd_bodies(c, "PUT", one, {"group_type": {"description": "x"}}, ["name", "description", "is_public"], role="admin")
    specs = f"{one}/group_specs"
    for role in ("admin", "member"):
        c.get(specs, role=role)
        c.post(specs, {"group_specs": {"a": "b"}}, role=role)
        c.get(f"{specs}/a", role=role)
        c.get(f"{specs}/no-such", role=role)
        c.put(f"{specs}/a", {"a": "c"}, role=role)
        c.put(f"{specs}/a", {"x": "c"}, role=role, about="another")
        c.delete(f"{specs}/no-such", role=role)
    c.delete(f"{specs}/a")
    c.delete(f"{specs}/a", role="admin")
    odd_bodies(c, "POST", specs, {"group_specs": {"a": "b"}}, ["a"], role="admin")
    c.delete(one)
    c.delete(one, role="admin")
    c.delete(one, role="admin", about="gone already")

    def undo(answer: Answer) -> None:
        c.ask("DELETE", f"/group_types/{answer.find('group_type.id')}", role="admin")

    value: Any
    for field in ("name", "description", "group_specs", "is_public"):
        for value in (None, "", " ", "x" * 256, 1, True, "yes", [], {}, {"a": 1}, {"a": None}, {"": "b"}, {"a b": "c"}):
            odd = {"group_type": {"name": c.name("odd")} | {field: value}}
            (answer,) = c.probe("POST", "/group_types", f"{field} {str(value)[:20]}", {"so": odd}, role="admin")
            if answer.status < 300:
                undo(answer)


def life(c: Caller) -> None:
    """A group with a volume, its snapshot, and a copy."""
    kind = c.post("/group_types", {"group_type": {"name": c.name("kind")}}, role="admin").find("group_type.id")
    volume_type = c.post("/types", {"volume_type": {"name": c.name("type")}}, role="admin").find("volume_type.id")
    body = {"group": {"name": c.name("group"), "description": "d", "group_type": kind, "volume_types": [volume_type]}}
    c.post("/groups", body, version="3.12")
    c.post("/groups", body, role="reader")
    made = c.post("/groups", body)
    group = str(made.find("group.id"))
    one = f"/groups/{group}"
    c.settle(one, "group")
    member = volume(c, group_id=group, volume_type=volume_type)
    c.get(f"/volumes/{member}")
    c.post("/volumes", {"volume": {"size": 1, "group_id": group}}, about="no type")
    for version in ("3.12", "3.13", "3.14", "3.24", "3.25", "3.37", "3.38", "3.57", "3.58", LATEST):
        for role in ("member", "admin"):
            c.get(one, version=version, role=role)
            c.get(f"{one}?list_volume=true", version=version, role=role)
            c.get("/groups", version=version, role=role)
            c.get("/groups/detail", version=version, role=role)
    c.get("/groups/detail?list_volume=true")
    c.get(one, role="other")
    c.get(one, role="reader")
    for query in (
        "sort=name",
        "sort=x",
        "limit=1",
        "limit=x",
        "marker=x",
        "name=x",
        "status=available",
        "no_such=1",
        "all_tenants=1",
        f"volume_id={member}",
        f"group_type={kind}",
    ):
        c.get(f"/groups?{query}")
        c.get(f"/groups?{query}", version="3.30")
    for change in (
        {"name": c.name("new")},
        {"description": "e"},
        {"add_volumes": UNKNOWN},
        {"remove_volumes": UNKNOWN},
        {},
        {"add_volumes": member},
    ):
        c.put(one, {"group": change}, about=str(change))
        c.settle(one, "group", quiet=True)
    c.put(one, {"group": {"name": "x"}}, role="reader")
    c.put(one, {"group": {"name": "x"}}, role="other")
    c.act(one, "delete", {"delete-volumes": False}, about="with a volume")
    c.act(one, "delete", {"delete-volumes": True}, role="reader")
    c.act(one, "delete", {"delete-volumes": True}, role="other")
    c.delete(f"/volumes/{member}", about="in a group")
    for action in ("enable_replication", "disable_replication", "failover_replication", "list_replication_targets"):
        c.act(one, action, {})
        c.act(one, action, {}, role="admin", version="3.37")
        c.act(one, action, {}, role="admin")
    c.act(one, "reset_status", {"status": "error"})
    for status in ("error", "available", "nonsense"):
        c.act(one, "reset_status", {"status": status}, role="admin", about=status)
        c.act(one, "reset_status", {"status": status}, role="admin", about=status, version="3.19")
    c.act(one, "reset_status", {"status": "available"}, role="admin", about="again")
    _snapshots(c, group)
    c.act(one, "delete", {"delete-volumes": True})
    c.settle(one, "group")
    c.get(one)
    c.settle(f"/volumes/{member}", "volume", quiet=True)
    c.purge(f"/volumes/{member}", "volume")
    c.ask("DELETE", f"/group_types/{kind}", role="admin")
    c.ask("DELETE", f"/types/{volume_type}", role="admin")


def _snapshots(c: Caller, group: str) -> None:
    body = {"group_snapshot": {"group_id": group, "name": c.name("gs"), "description": "d"}}
    c.post("/group_snapshots", body, version="3.13")
    c.post("/group_snapshots", body, role="reader")
    c.post("/group_snapshots", body, role="other")
    made = c.post("/group_snapshots", body)
    taken = str(made.find("group_snapshot.id"))
    one = f"/group_snapshots/{taken}"
    c.settle(one, "group_snapshot")
    for version in ("3.13", "3.14", "3.28", "3.29", "3.57", "3.58", LATEST):
        for role in ("member", "admin"):
            c.get(one, version=version, role=role)
            c.get("/group_snapshots", version=version, role=role)
            c.get("/group_snapshots/detail", version=version, role=role)
    c.get(one, role="other")
    c.get("/snapshots/detail")
    for query in (
        "sort=name",
        "sort=x",
        "limit=1",
        "limit=x",
        "marker=x",
        "name=x",
        "status=available",
        "no_such=1",
        "all_tenants=1",
    ):
        c.get(f"/group_snapshots?{query}")
        c.get(f"/group_snapshots?{query}", version="3.28")
    c.act(one, "reset_status", {"status": "error"})
    c.act(one, "reset_status", {"status": "error"}, role="admin", version="3.18")
    c.act(one, "reset_status", {"status": "nonsense"}, role="admin")
    c.act(one, "reset_status", {"status": "available"}, role="admin")
    c.act(f"/groups/{group}", "delete", {"delete-volumes": True}, about="with a snapshot")
    source = {"create-from-src": {"name": c.name("copy"), "description": "d", "group_snapshot_id": taken}}
    c.call("POST", "/groups/action", source, about="of a group snapshot", version="3.13")
    c.call("POST", "/groups/action", source, about="of a group snapshot", role="reader")
    copy = c.call("POST", "/groups/action", source, about="of a group snapshot")
    _remove(c, copy)
    source = {"create-from-src": {"name": c.name("copy"), "source_group_id": group}}
    _remove(c, c.call("POST", "/groups/action", source, about="of a group"))
    c.call("POST", "/groups/action", {"create-from-src": {"name": "x"}}, about="of nothing")
    both = {"create-from-src": {"group_snapshot_id": taken, "source_group_id": group}}
    c.call("POST", "/groups/action", both, about="of both")
    c.delete(one, role="reader")
    c.delete(one, role="other")
    c.delete(one)
    c.settle(one, "group_snapshot")
    c.delete(one)


def _remove(c: Caller, copy: Answer) -> None:
    """What was made of another group is waited for, and deleted."""
    path = f"/groups/{copy.find('group.id')}"
    c.settle(path, "group")
    c.get(path)
    c.ask("POST", f"{path}/action", {"delete": {"delete-volumes": True}})
    c.settle(path, "group", quiet=True)


def bodies(c: Caller) -> None:
    """Bodies that are not as they should be."""
    good: dict[str, Any] = {"group": {"name": "x", "group_type": UNKNOWN, "volume_types": [UNKNOWN]}}
    fields = "name description group_type volume_types availability_zone".split()
    odd_bodies(c, "POST", "/groups", good, fields)
    odd_bodies(
        c, "PUT", f"/groups/{UNKNOWN}", {"group": {"name": "x"}}, "name description add_volumes remove_volumes".split()
    )
    good = {"create-from-src": {"name": "x", "group_snapshot_id": UNKNOWN}}
    odd_bodies(c, "POST", "/groups/action", good, "name description group_snapshot_id source_group_id".split())
    good = {"group_snapshot": {"group_id": UNKNOWN, "name": "x"}}
    odd_bodies(c, "POST", "/group_snapshots", good, "group_id name description".split())
    odd_action(c, "groups", "delete", {"delete-volumes": True}, ["delete-volumes"])
    odd_action(c, "groups", "reset_status", {"status": "error"}, ["status"])
    odd_action(c, "group_snapshots", "reset_status", {"status": "error"}, ["status"])
    good = {"allow_attached_volume": False, "secondary_backend_id": "x"}
    odd_action(c, "groups", "failover_replication", good, good)
    for action in ("enable_replication", "disable_replication", "list_replication_targets"):
        odd_action(c, "groups", action, {})


def consistency(c: Caller) -> None:
    """The calls on consistency groups."""
    good = {"consistencygroup": {"name": "x", "volume_types": "no-such"}}
    fields = "name description volume_types availability_zone".split()
    odd_bodies(c, "POST", "/consistencygroups", good, fields)
    c.post("/consistencygroups", good, role="reader")
    good = {"consistencygroup-from-src": {"name": "x", "cgsnapshot_id": UNKNOWN}}
    odd_bodies(
        c, "POST", "/consistencygroups/create_from_src", good, "name description cgsnapshot_id source_cgid".split()
    )
    good = {"consistencygroup": {"name": "x"}}
    odd_bodies(
        c, "PUT", f"/consistencygroups/{UNKNOWN}/update", good, "name description add_volumes remove_volumes".split()
    )
    odd_bodies(c, "POST", f"/consistencygroups/{UNKNOWN}/delete", {"consistencygroup": {"force": True}}, ["force"])
    good = {"cgsnapshot": {"consistencygroup_id": UNKNOWN, "name": "x"}}
    odd_bodies(c, "POST", "/cgsnapshots", good, "consistencygroup_id name description".split())
    for kind in ("consistencygroups", "cgsnapshots"):
        for role in ("member", "reader", "admin"):
            for path in ("", "/detail", f"/{UNKNOWN}", "?limit=x", "?sort=x", "?no_such=1"):
                c.get(f"/{kind}{path}", role=role)
    c.delete(f"/cgsnapshots/{UNKNOWN}")


def consistency_life(c: Caller) -> None:
    """A consistency group; whether the storage can make one is not what is looked at."""
    kind = c.post("/types", {"volume_type": {"name": c.name("type")}}, role="admin").find("volume_type.id")
    made = c.post("/consistencygroups", {"consistencygroup": {"name": c.name("cg"), "volume_types": c.name("type")}})
    one = f"/consistencygroups/{made.find('consistencygroup.id')}"
    c.settle(one, "consistencygroup", quiet=True)
    for path in (one, "/consistencygroups", "/consistencygroups/detail"):
        for role in ("member", "reader", "admin"):
            c.get(path, role=role)
    c.get(one, role="other")
    c.put(
        f"{one}/update",
        {"consistencygroup": {"name": c.name("new"), "description": None, "add_volumes": None, "remove_volumes": None}},
        role="reader",
    )
    c.post(f"{one}/delete", {"consistencygroup": {"force": True}}, role="reader")
    c.post(f"{one}/delete", {"consistencygroup": {"force": True}}, role="other")
    c.post(f"{one}/delete", {"consistencygroup": {"force": True}})
    c.settle(one, "consistencygroup", quiet=True)
    c.ask("DELETE", f"/types/{kind}", role="admin")
