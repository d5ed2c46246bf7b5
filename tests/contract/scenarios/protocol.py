"""Versions, paths and errors that belong to no resource."""

from tests.contract.caller import UNKNOWN, Caller


def versions(c: Caller) -> None:
    """Documents of versions."""
    for path in ("/", "/v3", "/v3/"):
        c.call("GET", path, version=None, whole=True)
    for version in (None, "3.0", "3.71"):
        c.get("/limits", version=version)


def microversions(c: Caller) -> None:
    """What the header may say."""
    for text in (
        "volume 3.71",
        "volume 3.72",
        "volume 2.0",
        "volume 4.0",
        "volume 3.-1",
        "volume 3.x",
        "volume",
        "volume latest",
        "volume 3",
        "volume 3.071",
        "compute 2.1",
        "compute 2.1, volume 3.5",
        "nonsense",
        "",
    ):
        c.get("/volumes", version=None, headers={"OpenStack-API-Version": text}, about=text)


def paths(c: Caller) -> None:
    """Paths with and without the project."""
    project = c.project()
    for path in ("/v3/volumes", f"/v3/{project}/volumes", f"/v3/{c.project('other')}/volumes"):
        for version in ("3.0", "3.66", "3.67", "3.71"):
            c.call("GET", path, whole=True, version=version, about=path.replace(project, "own"))
    c.get("/volumes/", about="slash at the end")
    c.get(f"/volumes/{UNKNOWN}")
    c.get("/volumes/not-an-id")
    c.delete("/volumes/not-an-id")


def media(c: Caller) -> None:
    """Kinds of bodies."""
    body = b'{"volume": {"size": 1, "volume_type": "no-such-type"}}'
    for kind in ("application/json", "application/json; charset=utf-8", "application/xml", "text/plain", ""):
        c.call("POST", "/volumes", body, headers={"Content-Type": kind}, about=kind or "none")
    c.call("POST", f"/volumes/{UNKNOWN}/action", b"{}", about="no action")
    c.call("POST", f"/volumes/{UNKNOWN}/action", b'{"os-no-such": {}}', about="unknown action")
    c.call(
        "POST", f"/volumes/{UNKNOWN}/action", b'{"os-extend": {"new_size": 1}, "os-reserve": {}}', about="two actions"
    )
    c.call("POST", f"/volumes/{UNKNOWN}/action", b"[]", about="a list")


def extensions(c: Caller) -> None:
    """Extensions, limits, zones, filters."""
    c.get("/extensions", version="3.0")
    c.get("/extensions/os-hosts")
    c.get("/extensions/no-such")
    c.get("/os-availability-zone", keep=["availabilityZoneInfo[].zoneState.available"])
    c.get("/os-availability-zone", role="reader")
    c.get("/os-availability-zone/detail")
    for version in ("3.32", "3.33", "3.71"):
        c.get("/resource_filters", version=version, keep=["resource_filters[].resource"])
    c.get("/resource_filters?resource=volume")
    c.get("/resource_filters?resource=no_such")


def limits(c: Caller) -> None:
    """Limits of a project."""
    for version in ("3.0", "3.38", "3.39"):
        c.get("/limits", version=version)
        c.get(f"/limits?project_id={c.project('other')}", version=version, role="admin")
    c.get(f"/limits?tenant_id={c.project('other')}", role="admin")
    c.get(f"/limits?project_id={c.project('other')}", about="of another project, as a member")
    c.get("/limits", role="reader")
