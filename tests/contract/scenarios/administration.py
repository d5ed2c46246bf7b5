"""Quotas, services, pools, messages."""

from typing import Any

from tests.contract.caller import LATEST, UNKNOWN, Caller
from tests.contract.making import odd_bodies, volume


def quotas(c: Caller) -> None:
    """Quotas of projects and of the class."""
    own, other = f"/os-quota-sets/{c.project()}", f"/os-quota-sets/{c.project('other')}"
    for role in ("admin", "member", "reader"):
        for path in (own, f"{own}?usage=true", f"{own}?usage=x", f"{own}/defaults", other):
            c.get(path, role=role)
    for body in (
        {"volumes": 20},
        {"volumes": -1},
        {"volumes": -2},
        {"volumes": "x"},
        {"volumes": "21"},
        {"no_such": 1},
        {"volumes": 2**31},
        {"volumes": None},
        {},
        {"volumes": True},
        {"gigabytes": 5, "snapshots": 5},
        {"volumes": 1.5},
        {"volumes": ""},
        {"tenant_id": "x", "volumes": 20},
        {"id": "x"},
    ):
        c.put(other, {"quota_set": body}, role="admin", about=str(body))
    c.put(other, {"quota_set": {"volumes": 20}})
    c.put(f"{other}?skip_validation=false", {"quota_set": {"volumes": 20}}, role="admin")
    c.put(f"{other}?skip_validation=x", {"quota_set": {"volumes": 20}}, role="admin")
    odd_bodies(c, "PUT", other, {"quota_set": {"volumes": 20}}, ["volumes", "gigabytes_no_such_type"], role="admin")
    c.delete(other)
    c.delete(other, role="admin")
    for role in ("admin", "member"):
        c.get("/os-quota-class-sets/default", role=role)
        c.get("/os-quota-class-sets/no-such", role=role)
        c.put("/os-quota-class-sets/contract", {"quota_class_set": {"volumes": 100000}}, role=role)
    odd_bodies(
        c,
        "PUT",
        "/os-quota-class-sets/contract",
        {"quota_class_set": {"volumes": 7}},
        ["volumes", "no_such"],
        role="admin",
    )


def over_quota(c: Caller) -> None:
    """What is more than the quota allows."""
    path = f"/os-quota-sets/{c.project()}"
    one = volume(c)
    for body in (
        {"volumes": 1},
        {"volumes": -1, "gigabytes": 1},
        {"gigabytes": -1, "per_volume_gigabytes": 1},
        {"snapshots": 0},
    ):
        c.put(path, {"quota_set": body}, role="admin", about=str(body))
        c.post("/volumes", {"volume": {"size": 2}}, about=str(body)) if "snapshots" not in body else None
        c.act(
            f"/volumes/{one}", "os-extend", {"new_size": 2}, about=str(body)
        ) if "snapshots" not in body and "volumes" not in body else None
    c.post("/snapshots", {"snapshot": {"volume_id": one}})
    c.put(path, {"quota_set": {"snapshots": -1, "backups": 0}}, role="admin")
    c.post("/backups", {"backup": {"volume_id": one}})
    c.ask("DELETE", path, role="admin")
    c.purge(f"/volumes/{one}", "volume")


def services(c: Caller) -> None:
    """Services, hosts, clusters."""
    found = c.ask("GET", "/os-services?binary=cinder-volume", role="admin")
    host = c.hide(found.find("services.0.host"), "host")
    for version in ("3.0", "3.6", "3.7", "3.48", "3.49", LATEST):
        for query in ("?binary=cinder-volume", "?binary=cinder-scheduler", "?binary=cinder-backup"):
            c.get(f"/os-services{query}", role="admin", version=version)
    c.get("/os-services")
    c.get("/os-services", role="reader")
    c.get("/os-services?binary=no-such", role="admin")
    c.get(f"/os-services?host={host}", role="admin", keep=["services[].binary"])
    service = {"host": host, "binary": "cinder-volume"}
    body: Any
    for name, body in {
        "disable": service,
        "enable": service,
        "disable-log-reason": service | {"disabled_reason": "r"},
        "freeze": {"host": host},
        "thaw": {"host": host},
        "no-such": service,
    }.items():
        c.put(f"/os-services/{name}", body, role="admin")
        c.put(f"/os-services/{name}", body)
        c.get("/os-services?binary=cinder-volume", role="admin", about=f"after {name}", keep=["services[].frozen"])
    c.put("/os-services/enable", service, role="admin")
    for name in ("disable", "enable", "disable-log-reason", "freeze", "thaw", "failover_host", "failover"):
        for body in (
            {},
            {"host": "no-such", "binary": "cinder-volume"},
            {"host": "no-such"},
            {"host": ""},
            {"host": 1},
            [],
            {"host": "h" * 256},
            {"host": host, "binary": "no-such"},
            {"service": "cinder-volume"},
            {"host": host, "x": 1},
            {"host": "no-such", "backend_id": "x"},
            {"host": "no-such", "disabled_reason": "r", "binary": "cinder-volume"},
            {"host": host, "binary": "cinder-volume", "disabled_reason": ""},
            {"cluster": "x"},
        ):
            if host in str(body) and name in {"disable", "freeze", "failover_host", "failover"}:
                continue
            c.put(f"/os-services/{name}", body, role="admin", about=str(body).replace(host, "the host"))
    c.put("/os-services/enable", service, role="admin", about="at last")
    c.put("/os-services/thaw", {"host": host}, role="admin", about="at last")
    for path in (
        "/os-hosts",
        f"/os-hosts/{host}",
        "/os-hosts/no-such",
        "/os-hosts?zone=nova",
        "/os-hosts?service=cinder-volume",
    ):
        c.get(path)
        c.get(path, role="admin")
    for version in ("3.6", "3.7", LATEST):
        for path in ("/clusters", "/clusters/detail", "/clusters/no-such", "/clusters?no_such=1", "/clusters?is_up=x"):
            c.get(path, role="admin", version=version)
        c.put("/clusters/enable", {"name": "no-such", "binary": "cinder-volume"}, role="admin", version=version)
        c.put("/clusters/disable", {"name": "no-such", "disabled_reason": "r"}, role="admin", version=version)
    c.get("/clusters")
    for action in ("enable", "disable", "no-such"):
        odd_bodies(c, "PUT", f"/clusters/{action}", {"name": "no-such"}, [], role="admin")
    c.put("/clusters/enable", {}, role="admin")
    c.put("/clusters/enable", {"name": 1}, role="admin")


def logs(c: Caller) -> None:
    """Log levels, and what died."""
    body: Any
    for version in ("3.31", "3.32"):
        for role in ("admin", "member"):
            c.put("/os-services/get-log", {"binary": "cinder-api", "prefix": "no.such"}, role=role, version=version)
            c.put(
                "/os-services/set-log",
                {"binary": "cinder-api", "prefix": "no.such", "level": "INFO"},
                role=role,
                version=version,
            )
    for body in (
        {},
        {"binary": ""},
        {"binary": "*"},
        {"binary": "no-such"},
        {"server": "no-such"},
        {"prefix": 1},
        {"level": "INFO"},
        {"level": "nonsense", "prefix": "no.such"},
        {"level": "debug", "prefix": "no.such", "binary": "cinder-api"},
        {"x": 1},
    ):
        c.put("/os-services/get-log", body, role="admin", about=str(body))
        if body != {"level": "INFO"}:
            c.put("/os-services/set-log", body, role="admin", about=str(body))
    for version in ("3.23", "3.24"):
        for role in ("admin", "member"):
            c.post("/workers/cleanup", {"host": "no-such"}, role=role, version=version)
    for body in (
        {"binary": "x"},
        {"is_up": "x"},
        {"disabled": "x"},
        {"resource_id": "x"},
        {"resource_id": UNKNOWN},
        {"resource_type": "Volume"},
        {"resource_type": "x"},
        {"service_id": "x"},
        {"service_id": 10**6},
        {"x": 1},
        [],
        {"cluster_name": "no-such"},
        {"host": "h" * 256},
        {"host": 1},
        {"binary": "cinder-volume", "host": "no-such"},
        {"resource_type": "Volume", "resource_id": UNKNOWN},
    ):
        c.post("/workers/cleanup", body, role="admin", about=str(body)[:60])


def pools(c: Caller) -> None:
    """Pools and capabilities."""
    name = c.ask("GET", "/scheduler-stats/get_pools", role="admin").find("pools.0.name")
    host = str(name).partition("#")[0]
    c.hide(str(name).replace("#", "%23"), "pool")
    c.hide(host, "host")
    for version in ("3.0", "3.27", "3.28", LATEST):
        c.get("/scheduler-stats/get_pools", role="admin", version=version)
        c.get("/scheduler-stats/get_pools?detail=true", role="admin", version=version)
        for query in (
            "name=no-such",
            "no_such=1",
            "detail=x",
            "volume_type=no-such",
            f"name={str(name).replace('#', '%23')}",
        ):
            c.get(f"/scheduler-stats/get_pools?{query}", role="admin", version=version)
    c.get("/scheduler-stats/get_pools")
    c.get(f"/capabilities/{host}", role="admin")
    c.get(f"/capabilities/{host}")
    c.get("/capabilities/no-such", role="admin")
    c.get("/capabilities/no-such@backend", role="admin")


def messages(c: Caller) -> None:
    """Messages to users."""
    kind = c.post(
        "/types",
        {"volume_type": {"name": c.name("type"), "extra_specs": {"volume_backend_name": "no-such"}}},
        role="admin",
    )
    answer = c.post("/volumes", {"volume": {"size": 1, "volume_type": c.name("type")}})
    c.settle(f"/volumes/{answer.find('volume.id')}", "volume")
    found = c.ask("GET", "/messages")
    one = f"/messages/{found.find('messages.0.id')}"
    for version in ("3.2", "3.3", "3.4", "3.5", LATEST):
        c.get("/messages", version=version)
        c.get(one, version=version)
        for query in (
            "limit=1",
            "limit=x",
            "sort=id",
            "sort=x",
            "marker=x",
            f"marker={UNKNOWN}",
            "offset=1",
            "resource_type=VOLUME",
            "resource_type=x",
            "event_id=x",
            "no_such=1",
            "request_id=x",
            "message_level=ERROR",
        ):
            c.get(f"/messages?{query}", version=version)
    for role in ("reader", "other"):
        c.get("/messages", role=role)
        c.get(one, role=role)
        c.delete(one, role=role)
    c.delete(one)
    c.delete(one, about="gone already")
    c.get(f"/messages/{UNKNOWN}")
    c.purge(f"/volumes/{answer.find('volume.id')}", "volume")
    c.ask("DELETE", f"/types/{kind.find('volume_type.id')}", role="admin")
