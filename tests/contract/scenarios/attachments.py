"""Attachments."""

from tests.contract.caller import LATEST, UNKNOWN, Caller
from tests.contract.making import odd_action, odd_bodies, volume
from tests.contract.scenarios.volume_actions import CONNECTOR

SERVER = "0f0f0f0f-0000-4000-8000-000000000002"


def life(c: Caller) -> None:
    """Reserved, connected, complete, gone."""
    source = volume(c)
    body = {"attachment": {"volume_uuid": source}}
    for role in ("reader", "other"):
        c.post("/attachments", body, role=role)
    c.post("/attachments", body, version="3.26")
    made = c.post("/attachments", body, version="3.27", keep=["attachment.status"])
    one = f"/attachments/{made.find('attachment.id')}"
    c.post("/attachments", body, about="again", keep=["attachment.status"])
    for version in ("3.27", "3.44", "3.54", LATEST):
        c.get(one, version=version, keep=["attachment.status"])
        c.get("/attachments", version=version)
        c.get("/attachments/detail", version=version)
    c.get(one, role="other")
    c.get(one, role="admin")
    for query in (
        f"volume_id={source}",
        f"volume_id={UNKNOWN}",
        "status=reserved",
        "status=x",
        f"instance_id={SERVER}",
        "no_such=1",
        "limit=1",
        "limit=x",
        "marker=x",
        "sort=id",
        "sort=x",
        "all_tenants=1",
        "attach_status=reserved",
    ):
        c.get(f"/attachments?{query}", keep=["attachments[].status"])
        c.get(f"/attachments?{query}", version="3.31", keep=["attachments[].status"])
    c.act(one, "os-complete", about="without a connector")
    c.put(one, {"attachment": {"connector": CONNECTOR}}, role="reader")
    c.put(one, {"attachment": {"connector": CONNECTOR}}, role="other")
    c.put(one, {"attachment": {"connector": {}}}, about="an empty connector")
    c.put(one, {"attachment": {"connector": CONNECTOR}}, keep=["attachment.status"])
    c.get(f"/volumes/{source}", keep=["volume.status"])
    c.act(one, "os-complete", version="3.43")
    c.act(one, "os-complete", role="reader")
    c.act(one, "os-complete", role="other")
    c.act(one, "os-complete")
    c.get(one, keep=["attachment.status"])
    c.get(f"/volumes/{source}", keep=["volume.status"])
    c.get(f"/volumes/{source}", role="admin")
    c.delete(f"/volumes/{source}", about="attached")
    c.act(f"/volumes/{source}", "os-reserve", about="attached")
    c.delete(one, role="reader")
    c.delete(one, role="other")
    c.delete(one, about="attached, to no server")
    for left in c.ask("GET", f"/attachments?volume_id={source}", role="admin").find("attachments", []):
        c.ask("DELETE", f"/attachments/{left['id']}", role="admin")
    c.get(one)
    c.delete(one)
    c.settle(f"/volumes/{source}", "volume")
    again = c.post(
        "/attachments",
        {"attachment": {"volume_uuid": source, "connector": CONNECTOR, "mode": "ro"}},
        version="3.54",
        keep=["attachment.status", "attachment.attach_mode"],
        about="with a connector",
    )
    other = c.post(
        "/attachments", {"attachment": {"volume_uuid": source, "instance_uuid": UNKNOWN}}, about="a second one"
    )
    c.get(f"/attachments/{again.find('attachment.id')}", keep=["attachment.attach_mode"])
    for left in (again, other):
        c.ask("DELETE", f"/attachments/{left.find('attachment.id')}", role="admin")
    c.settle(f"/volumes/{source}", "volume")
    of_server = {"attachment": {"volume_uuid": source, "instance_uuid": SERVER}}
    made = c.post("/attachments", of_server, about="of a server")
    c.get(f"/attachments/{made.find('attachment.id')}", keep=["attachment.instance"])
    c.post("/attachments", of_server, about="of the same server again", keep=["attachment.status"])
    for left in c.ask("GET", f"/attachments?volume_id={source}", role="admin").find("attachments", []):
        c.ask("DELETE", f"/attachments/{left['id']}", role="admin")
    c.act(f"/volumes/{source}", "os-reset_status", {"status": "error", "attach_status": "detached"}, role="admin")
    c.post("/attachments", body, about="of a volume in error")
    c.purge(f"/volumes/{source}", "volume")


def bodies(c: Caller) -> None:
    """Bodies that are not as they should be."""
    good = {"attachment": {"volume_uuid": UNKNOWN, "instance_uuid": SERVER}}
    fields = ["volume_uuid", "instance_uuid", "connector", "mode"]
    for version in ("3.27", "3.53", "3.54", LATEST):
        odd_bodies(c, "POST", "/attachments", good, fields, version=version)
    odd_bodies(c, "PUT", f"/attachments/{UNKNOWN}", {"attachment": {"connector": CONNECTOR}}, ["connector"])
    odd_action(c, "attachments", "os-complete", None, role="member")
    c.get(f"/attachments/{UNKNOWN}")
    c.get("/attachments/x")
    c.delete(f"/attachments/{UNKNOWN}")
