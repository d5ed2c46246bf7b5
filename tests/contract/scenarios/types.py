"""Volume types, their specs, access, encryption; qos specs; defaults of projects."""

from typing import Any

from tests.contract.caller import LATEST, UNKNOWN, Answer, Caller
from tests.contract.making import odd_action, odd_bodies, volume


def _made(c: Caller, word: str = "type", **fields: object) -> str:
    answer = c.post("/types", {"volume_type": {"name": c.name(word)} | fields}, role="admin")
    return f"/types/{answer.find('volume_type.id')}"


def life(c: Caller) -> None:
    """A type."""
    one = _made(c, description="d", extra_specs={"volume_backend_name": "x", "k": "v"})
    for version in ("3.0", LATEST):
        for role in ("admin", "member", "reader"):
            c.get(one, role=role, version=version)
            c.get("/types", role=role, version=version)
    c.get("/types/default")
    c.get("/types/no-such")
    c.get(f"/types/{UNKNOWN}")
    for method in ("post", "put"):
        getattr(c, method)(one if method == "put" else "/types", {"volume_type": {"name": c.name("x")}})
    c.post("/types", {"volume_type": {"name": c.name("type")}}, role="admin", about="the name again")
    for body in (
        {"name": c.name("renamed")},
        {"description": "e"},
        {"is_public": False},
        {"is_public": True},
        {},
        {"name": ""},
        {"description": None},
        {"name": c.name("renamed"), "description": "f"},
    ):
        c.put(one, {"volume_type": body}, role="admin", about=str(sorted(body)))
    used = volume(c, volume_type=c.name("renamed"))
    c.get(f"/volumes/{used}")
    c.delete(one, role="admin", about="a volume has it")
    c.purge(f"/volumes/{used}", "volume")
    c.delete(one)
    c.delete(one, role="admin")
    c.delete(one, role="admin", about="gone already")
    c.put(one, {"volume_type": {"name": "x"}}, role="admin", about="gone")


def lists(c: Caller) -> None:
    """Filters and pages of types."""
    names = [c.name(word) for word in ("a", "b")]
    made = [_made(c, word, extra_specs={"k": word}) for word in ("a", "b")]
    private = _made(c, "private", **{"os-volume-type-access:is_public": False})
    for query in (
        "is_public=true",
        "is_public=false",
        "is_public=none",
        "is_public=None",
        "is_public=x",
        f"sort=name:asc&marker={made[0][7:]}",
        "limit=1&sort=name:asc",
        "limit=x",
        "sort=no_such",
        "offset=x",
        f"name={names[0]}",
        "extra_specs={'k': 'a'}",
        "extra_specs={'k': 'nobody'}",
        "extra_specs=x",
        "no_such=1",
        f"name~={names[0]}",
        "with_count=true",
    ):
        for version in ("3.0", "3.51", "3.52", LATEST):
            for role in ("admin", "member"):
                c.get(f"/types?{query}", role=role, version=version)
    c.get(private)
    c.get(private, role="admin")
    for one in [*made, private]:
        c.ask("DELETE", one, role="admin")


def bodies(c: Caller) -> None:
    """Bodies that are not as they should be."""

    def undo(answer: Answer) -> None:
        c.ask("DELETE", f"/types/{answer.find('volume_type.id')}", role="admin")

    good = {"volume_type": {"name": c.name("odd")}}
    value: Any
    for field in ("name", "description", "extra_specs", "os-volume-type-access:is_public", "is_public"):
        for value in (
            None,
            "",
            "  ",
            "x" * 255,
            "x" * 256,
            "a\nb",
            True,
            "yes",
            0,
            1.5,
            [],
            {},
            {"a": "b"},
            {"a": 1},
            {"a": None},
            {"": "b"},
            {"a/b c": "d"},
            {"k" * 256: "v"},
            {"k": "v" * 256},
        ):
            body = {"volume_type": good["volume_type"] | {field: value}}
            (answer,) = c.probe("POST", "/types", f"{field} {str(value)[:20]}", {"so": body}, role="admin")
            if answer.status < 300:
                undo(answer)
    one = _made(c)
    odd_bodies(c, "PUT", one, {"volume_type": {"description": "n"}}, ["name", "description", "is_public"], role="admin")
    odd_bodies(c, "POST", f"{one}/extra_specs", {"extra_specs": {"k": "v"}}, ["k"], role="admin")
    odd_bodies(c, "PUT", f"{one}/extra_specs/k", {"k": "v"}, [], role="admin")
    c.ask("DELETE", one, role="admin")


def extra_specs(c: Caller) -> None:
    """Specs of a type."""
    one = f"{_made(c)}/extra_specs"
    for role in ("admin", "member", "reader"):
        c.get(one, role=role)
        c.post(one, {"extra_specs": {"k": "v", "RESKEY:availability_zones": "nova"}}, role=role)
        c.get(one, role=role, about="some")
        c.get(f"{one}/k", role=role)
        c.get(f"{one}/RESKEY:availability_zones", role=role)
        c.get(f"{one}/no-such", role=role)
        c.put(f"{one}/k", {"k": "w"}, role=role)
        c.delete(f"{one}/no-such", role=role)
    for about, body in {
        "another": {"x": "y"},
        "two": {"k": "a", "b": "c"},
        "number": {"k": 1},
        "null": {"k": None},
    }.items():
        c.put(f"{one}/k", body, role="admin", about=about)
    for body in ({"multiattach": "<is> True"}, {"a:b": "c"}, {"a b": "c"}, {"a/b": "c"}, {"": "x"}, {"k" * 256: "v"}):
        c.post(one, {"extra_specs": body}, role="admin", about=str(body)[:30])
    c.delete(f"{one}/k", role="member")
    c.delete(f"{one}/k", role="admin")
    c.get(f"/types/{UNKNOWN}/extra_specs", role="admin")
    c.post(f"/types/{UNKNOWN}/extra_specs", {"extra_specs": {"k": "v"}}, role="admin")
    c.ask("DELETE", one.removesuffix("/extra_specs"), role="admin")


def access(c: Caller) -> None:
    """Who may use a private type."""
    public = _made(c)
    one = _made(c, "private", **{"os-volume-type-access:is_public": False})
    project = {"project": c.project()}
    c.get(f"{public}/os-volume-type-access", role="admin")
    c.act(public, "addProjectAccess", project, role="admin", about="public")
    for role in ("member", "admin"):
        c.get(f"{one}/os-volume-type-access", role=role)
        c.act(one, "addProjectAccess", project, role=role)
        c.act(one, "addProjectAccess", project, role=role, about="again")
        c.get(f"{one}/os-volume-type-access", role=role, about="then")
        c.get(one)
        c.act(one, "removeProjectAccess", project, role=role)
        c.act(one, "removeProjectAccess", project, role=role, about="again")
    for kind in (UNKNOWN, "x"):
        c.get(f"/types/{kind}/os-volume-type-access", role="admin")
    odd_action(c, "types", "addProjectAccess", {"project": "x"}, ["project"])
    odd_action(c, "types", "removeProjectAccess", {"project": "x"}, ["project"])
    for kind in (public, one):
        c.ask("DELETE", kind, role="admin")


def encryption(c: Caller) -> None:
    """How a type encrypts."""
    one = f"{_made(c)}/encryption"
    good = {"provider": "luks", "control_location": "front-end", "cipher": "aes-xts-plain64", "key_size": 256}
    for role in ("member", "reader"):
        c.get(one, role=role)
        c.post(one, {"encryption": good}, role=role)
    c.get(one, role="admin", about="none")
    c.get(f"{one}/cipher", role="admin", about="none")
    odd_bodies(c, "POST", f"/types/{UNKNOWN}/encryption", {"encryption": good}, good, role="admin")
    made = c.post(one, {"encryption": good}, role="admin")
    c.post(one, {"encryption": good}, role="admin", about="again")
    c.get(one, role="admin")
    for key in ("cipher", "key_size", "provider", "control_location", "no-such"):
        c.get(f"{one}/{key}", role="admin")
    path = f"{one}/{made.find('encryption.encryption_id')}"
    c.put(path, {"encryption": {"key_size": 512}}, role="admin")
    c.put(path, {"encryption": {"cipher": None}}, role="admin")
    c.put(path, {"encryption": {"key_size": 512}})
    c.put(f"{one}/{UNKNOWN}", {"encryption": {"key_size": 256}}, role="admin", about="another id")
    odd_bodies(c, "PUT", path, {"encryption": {"key_size": 256}}, good, role="admin")
    c.delete(path)
    c.delete(f"{one}/{UNKNOWN}", role="admin", about="another id")
    c.delete(path, role="admin")
    c.delete(path, role="admin", about="gone already")
    c.ask("DELETE", one.removesuffix("/encryption"), role="admin")


def qos(c: Caller) -> None:
    """Qos specs and what they are associated with."""
    kind = _made(c)
    made = c.post("/qos-specs", {"qos_specs": {"name": c.name("qos"), "consumer": "front-end", "k": "v"}}, role="admin")
    one = f"/qos-specs/{made.find('qos_specs.id')}"
    c.post("/qos-specs", {"qos_specs": {"name": c.name("qos")}}, role="admin", about="the name again")
    for role in ("admin", "member", "reader"):
        c.get(one, role=role)
        c.get("/qos-specs", role=role)
    for query in ("limit=1", "limit=x", "sort=name", "sort=no_such", "marker=x"):
        c.get(f"/qos-specs?{query}", role="admin")
    c.put(one, {"qos_specs": {"k": "w", "consumer": "both"}}, role="admin")
    c.put(one, {"qos_specs": {"k": "w"}})
    c.put(one, {"qos_specs": {"consumer": "nonsense"}}, role="admin")
    c.put(f"{one}/delete_keys", {"keys": ["k"]}, role="admin")
    c.put(f"{one}/delete_keys", {"keys": ["k"]}, role="admin", about="gone already")
    c.put(f"{one}/delete_keys", {"keys": ["k"]})
    odd_bodies(c, "PUT", f"/qos-specs/{UNKNOWN}/delete_keys", {"keys": ["k"]}, [], role="admin")
    for role in ("member", "admin"):
        c.get(f"{one}/associate?vol_type_id={kind[7:]}", role=role)
        c.get(f"{one}/associations", role=role)
        c.get(kind, role=role)
    c.get(f"{one}/associate?vol_type_id={UNKNOWN}", role="admin")
    c.get(f"{one}/associate", role="admin", about="no type")
    c.get(f"/qos-specs/{UNKNOWN}/associate?vol_type_id={kind[7:]}", role="admin")
    c.delete(one, role="admin", about="associated")
    for role in ("member", "admin"):
        c.get(f"{one}/disassociate?vol_type_id={kind[7:]}", role=role)
        c.get(f"{one}/disassociate_all", role=role)
        c.get(f"{one}/associations", role=role, about="none")
    c.get(f"{one}/disassociate", role="admin", about="no type")
    c.delete(one)
    c.delete(f"{one}?force=true", role="admin")
    c.delete(one, role="admin", about="gone already")
    for action in ("", "/associations", "/disassociate_all"):
        c.get(f"/qos-specs/{UNKNOWN}{action}", role="admin")
    c.put(f"/qos-specs/{UNKNOWN}", {"qos_specs": {"k": "v"}}, role="admin")

    def undo(answer: Answer) -> None:
        c.ask("DELETE", f"/qos-specs/{answer.find('qos_specs.id')}", role="admin")

    value: Any
    for field in ("name", "consumer", "k"):
        for value in (None, "", " ", "both", "x" * 256, 1, True, [], {}, "back-end"):
            body = {"qos_specs": {"name": c.name("odd"), "consumer": "back-end"} | {field: value}}
            (answer,) = c.probe("POST", "/qos-specs", f"{field} {str(value)[:20]}", {"so": body}, role="admin")
            if answer.status < 300:
                undo(answer)
    c.ask("DELETE", kind, role="admin")


def defaults(c: Caller) -> None:
    """The default type of a project."""
    kind = _made(c)
    path = f"/default-types/{c.project()}"
    body = {"default_type": {"volume_type": c.name("type")}}
    for version in ("3.61", "3.62", LATEST):
        for role in ("member", "admin"):
            c.get("/default-types", role=role, version=version)
            c.get(path, role=role, version=version)
            c.put(path, body, role=role, version=version)
            c.get(path, role=role, version=version, about="set")
            c.get("/default-types", role=role, version=version, about="set")
            if role == "admin":
                c.delete(kind, role="admin", about="a default")
            c.delete(path, role=role, version=version)
    c.put(path, {"default_type": {"volume_type": "no-such"}}, role="admin")
    c.put(path, {"default_type": {"volume_type": kind[7:]}}, role="admin", about="by id")
    c.get("/types/default")
    c.get("/types/default", role="admin")
    c.delete(path, role="admin")
    odd_bodies(c, "PUT", path, {"default_type": {"volume_type": "no-such"}}, ["volume_type"], role="admin")
    c.delete(path, role="admin", about="gone already")
    c.ask("DELETE", kind, role="admin")
