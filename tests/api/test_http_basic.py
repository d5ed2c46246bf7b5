"""HTTP basic authentication: who the users of a htpasswd file are, and who is turned away."""

import base64
import logging

import bcrypt
import pytest

from breezeblock import config
from breezeblock.auth.authentication import open_authentication
from breezeblock.auth.http_basic import HttpBasicAuthentication
from breezeblock.config import DEFAULT_PROJECT
from breezeblock.errors import ConfigError, InvalidInput, Unauthorized
from tests.api.conftest import SIMULATED, Api

HASHES = {name: bcrypt.hashpw(f"{name}'s".encode(), bcrypt.gensalt(4)).decode() for name in ("ops", "jo", "bo")}
CONF = """[DEFAULT]
auth_strategy = http_basic
http_basic_auth_user_projects = jo:shop,bo:shop
http_basic_auth_user_roles = jo:member, bo:reader
"""


def basic(user, password=None):
    pair = f"{user}:{password if password is not None else user + chr(39) + 's'}".encode()
    return "Basic " + base64.b64encode(pair).decode()


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "htpasswd"
    path.write_text("# users\n\n" + "".join(f"{name}:{crypted}\n" for name, crypted in HASHES.items()))
    return path


@pytest.fixture
def way(tmp_path, users):
    (tmp_path / "breezeblock.conf").write_text(CONF)
    return open_authentication(config.load(tmp_path))


def who(way, header, project=None):
    return way.identify({"Authorization": header}.get, project, "req-1")


@pytest.mark.parametrize(
    ("user", "in_path", "project", "roles", "is_admin"),
    [
        ("ops", None, DEFAULT_PROJECT, ("admin", "manager", "member", "reader"), True),
        ("ops", "shop", "shop", ("admin", "manager", "member", "reader"), True),
        ("jo", None, "shop", ("member", "reader"), False),
        ("jo", "shop", "shop", ("member", "reader"), False),
        ("bo", None, "shop", ("reader",), False),
    ],
)
def test_users_have_projects_and_roles(way, user, in_path, project, roles, is_admin):
    assert isinstance(way, HttpBasicAuthentication)
    for _ in range(2):  # the second time it is remembered
        context = who(way, basic(user), in_path)
        assert (context.user_id, context.project_id, context.roles) == (user, project, roles)
        assert (context.is_admin, context.is_service, context.request_id) == (is_admin, False, "req-1")


def test_only_an_administrator_chooses_the_project(way):
    with pytest.raises(InvalidInput, match="Malformed request url"):
        who(way, basic("jo"), "other")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Bearer abc",
        "Basic ???",
        "Basic " + base64.b64encode(b"jo").decode(),
        "Basic " + base64.b64encode(b"\xff:x").decode(),
        basic("", "x"),
        basic("jo", ""),
        basic("jo", "bo's"),
        basic("jo", "jo's\0"),
        basic("jo", "jo's" + "x" * 100),
        basic("stranger"),
        basic("# users", ""),
    ],
)
def test_who_is_turned_away(way, header):
    who(way, basic("jo"))
    with pytest.raises(Unauthorized):
        who(way, header)


def test_what_bcrypt_does_not_look_at_opens_nothing(way, users):
    long = "p" * 72
    users.write_text(f"jo:{bcrypt.hashpw(long.encode(), bcrypt.gensalt(4)).decode()}\n")
    assert who(way, basic("jo", long)).user_id == "jo"
    with pytest.raises(Unauthorized):
        who(way, basic("jo", long + "q"))


def test_a_right_password_is_worked_out_once_and_a_wrong_one_each_time(way, users, monkeypatch):
    checked = []
    check = bcrypt.checkpw
    monkeypatch.setattr(bcrypt, "checkpw", lambda *pair: checked.append(pair) or check(*pair))
    for _ in range(5):
        assert who(way, basic("jo")).user_id == "jo"
    assert len(checked) == 1
    for user in ("jo", "stranger"):  # a user who is not there costs the same
        with pytest.raises(Unauthorized):
            who(way, basic(user, "guess"))
    assert len(checked) == 3
    assert "jo's" not in repr(vars(way))
    users.write_text(f"jo:{HASHES['bo']}\n")
    with pytest.raises(Unauthorized):
        who(way, basic("jo"))
    assert who(way, basic("jo", "bo's")).user_id == "jo"
    with pytest.raises(Unauthorized):
        who(way, basic("bo"))


def test_a_file_that_became_wrong_changes_nothing(way, users, caplog):
    users.write_text("jo:plain\n")
    with caplog.at_level(logging.ERROR):
        assert who(way, basic("jo")).user_id == "jo"
        assert who(way, basic("bo")).user_id == "bo"
    assert [record.message for record in caplog.records] == [
        f"The users stay as they were: The user file {users} has a password of jo that is not bcrypt's; "
        "write it by htpasswd -B."
    ]
    assert "plain" not in caplog.text
    users.unlink()
    assert who(way, basic("jo")).user_id == "jo"


@pytest.mark.parametrize(
    ("text", "conf", "message"),
    [
        (None, "", r"The user file .*htpasswd \(http_basic_auth_user_file\) cannot be read"),
        ("jo:$apr1$x$y\n", "", "has a password of jo that is not bcrypt's"),
        ("jo:$2b$04$short\n", "", "has a password of jo that is not bcrypt's"),
        ("", "http_basic_auth_user_roles = jo:king\n", "jo cannot be king"),
    ],
)
def test_what_is_wrong_at_the_start(tmp_path, text, conf, message):
    if text is not None:
        (tmp_path / "htpasswd").write_text(text)
    (tmp_path / "breezeblock.conf").write_text("[DEFAULT]\nauth_strategy = http_basic\n" + conf)
    with pytest.raises(ConfigError, match=message):
        open_authentication(config.load(tmp_path))


def test_over_the_wire(cloud, users):
    """The whole application; `users` lies in the cloud's data directory."""
    (cloud.settings.data_dir / "breezeblock.conf").write_text(CONF + SIMULATED.removeprefix("[DEFAULT]\n"))
    cloud.settings = config.load(cloud.settings.data_dir)
    api = Api(cloud)
    refused = api.get("/v3/volumes")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'Basic realm="Breezeblock", charset="UTF-8"'
    assert refused.json["unauthorized"]["code"] == 401
    assert api.get("/v3").status_code == 200
    headers = {"Authorization": basic("bo")}
    assert api.get("/v3/volumes", headers=headers).status_code == 200
    assert api.get("/v3/shop/volumes", headers=headers).json == {"volumes": []}
    assert api.get("/v3/other/volumes", headers=headers).status_code == 400
    assert api.post("/v3/volumes", {"volume": {"size": 1}}, headers=headers).status_code == 403
    made = api.post("/v3/other/volumes", {"volume": {"size": 1}}, headers={"Authorization": basic("ops")})
    assert made.status_code == 202
    with cloud.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT project_id, user_id FROM volumes").all()
    assert [tuple(row) for row in rows] == [("other", "ops")]
