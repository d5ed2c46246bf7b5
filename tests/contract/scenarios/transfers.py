"""Transfers of volumes."""

from tests.contract.caller import LATEST, UNKNOWN, Caller
from tests.contract.making import odd_bodies, snapshot, volume


def life(c: Caller) -> None:
    """Offered, looked at, accepted or taken back."""
    source = volume(c)
    for path, versions in (
        ("/os-volume-transfer", ("3.0", LATEST)),
        ("/volume-transfers", ("3.54", "3.55", "3.57", LATEST)),
    ):
        for version in versions:
            body = {"transfer": {"volume_id": source, "name": c.name("offer")}}
            c.post(path, body, role="reader", version=version)
            c.post(path, body, role="other", version=version)
            made = c.post(path, body, version=version)
            one = f"{path}/{made.find('transfer.id')}"
            c.post(path, body, version=version, about="offered already")
            c.get(f"/volumes/{source}", keep=["volume.status"])
            for role in ("member", "reader", "other", "admin"):
                c.get(one, version=version, role=role)
            c.get(path, version=version)
            c.get(f"{path}/detail", version=version)
            for query in (
                "limit=1",
                "limit=x",
                "sort=name",
                "sort=x",
                "marker=x",
                "name=x",
                "no_such=1",
                "all_tenants=1",
                "offset=1",
            ):
                c.get(f"{path}?{query}", version=version)
                c.get(f"{path}/detail?{query}", version=version)
            c.post(f"{one}/accept", {"accept": {"auth_key": "wrong"}}, role="other", version=version)
            c.post(f"{one}/accept", {"accept": {"auth_key": "wrong"}}, role="reader", version=version)
            c.delete(f"/volumes/{source}", about="offered")
            c.delete(one, role="reader", version=version)
            c.delete(one, role="other", version=version)
            c.delete(one, version=version)
            c.get(one, version=version)
            c.get(f"/volumes/{source}", keep=["volume.status"])
    taken = snapshot(c, source)
    made = c.post("/volume-transfers", {"transfer": {"volume_id": source}}, version="3.54", about="with a snapshot")
    c.ask("DELETE", f"/volume-transfers/{made.find('transfer.id')}")
    made = c.post(
        "/volume-transfers", {"transfer": {"volume_id": source, "no_snapshots": True}}, about="without its snapshot"
    )
    c.ask("DELETE", f"/volume-transfers/{made.find('transfer.id')}")
    made = c.post("/volume-transfers", {"transfer": {"volume_id": source, "name": None}}, about="with its snapshot")
    accept = {"accept": {"auth_key": made.find("transfer.auth_key")}}
    c.post(f"/volume-transfers/{made.find('transfer.id')}/accept", accept, role="other")
    c.get(f"/volumes/{source}")
    c.get(f"/volumes/{source}", role="other", keep=["volume.status"])
    c.get(f"/volume-transfers/{made.find('transfer.id')}", role="admin")
    c.purge(f"/snapshots/{taken}", "snapshot")
    c.act(f"/volumes/{source}", "os-reset_status", {"status": "error"}, role="admin")
    c.post("/volume-transfers", {"transfer": {"volume_id": source}}, role="other", about="in error")
    c.purge(f"/volumes/{source}", "volume")


def bodies(c: Caller) -> None:
    """Bodies that are not as they should be."""
    good = {"transfer": {"volume_id": UNKNOWN, "name": "x"}}
    odd_bodies(c, "POST", "/os-volume-transfer", good, ["volume_id", "name"])
    odd_bodies(c, "POST", "/volume-transfers", good, ["no_snapshots"], version="3.54")
    odd_bodies(c, "POST", "/volume-transfers", good, ["volume_id", "name", "no_snapshots"])
    for path in ("/os-volume-transfer", "/volume-transfers"):
        odd_bodies(c, "POST", f"{path}/{UNKNOWN}/accept", {"accept": {"auth_key": "x"}}, ["auth_key"])
        c.get(f"{path}/{UNKNOWN}")
        c.delete(f"{path}/{UNKNOWN}")
