"""Who calls: without authentication, and by what keystonemiddleware says of a token."""

import pytest
from falcon import testing

from breezeblock import config
from breezeblock.api.app import make_app
from breezeblock.auth import policy
from breezeblock.auth.authentication import open_authentication
from breezeblock.auth.none import DEFAULT_USER, NoAuthentication
from breezeblock.config import DEFAULT_PROJECT
from breezeblock.context import RequestContext
from breezeblock.errors import Forbidden, InvalidInput, Unauthorized

pytestmark = pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")  # webob, on Python 3.11


def settings(tmp_path, text=""):
    (tmp_path / "breezeblock.conf").write_text(text)
    return config.load(tmp_path)


@pytest.mark.parametrize(
    ("token", "in_path", "user", "project"),
    [
        (None, None, DEFAULT_USER, DEFAULT_PROJECT),
        ("notused", None, DEFAULT_USER, DEFAULT_PROJECT),
        ("jo:shop", None, "jo", "shop"),
        ("jo:shop", "other", "jo", "other"),
        (None, "shop", DEFAULT_USER, "shop"),
        (":", None, DEFAULT_USER, DEFAULT_PROJECT),
    ],
)
def test_nobody_is_asked(tmp_path, token, in_path, user, project):
    way = open_authentication(settings(tmp_path))
    assert isinstance(way, NoAuthentication)
    context = way.identify({"X-Auth-Token": token}.get, in_path, "req-1")
    assert (context.user_id, context.project_id, context.is_admin) == (user, project, True)
    assert context.request_id == "req-1"


CONFIRMED = {
    "X-Identity-Status": "Confirmed",
    "X-User-Id": "jo",
    "X-Project-Id": "shop",
    "X-Roles": "member,Reader",
}


@pytest.fixture
def keystone(tmp_path):
    way = open_authentication(settings(tmp_path, "[DEFAULT]\nauth_strategy = keystone\n"))
    assert type(way).__name__ == "KeystoneAuthentication"
    return way


def test_a_confirmed_token(keystone):
    context = keystone.identify(CONFIRMED.get, None, "req-1")
    assert context == RequestContext(user_id="jo", project_id="shop", roles=("member", "reader"), request_id="req-1")
    assert keystone.identify((CONFIRMED | {"X-Roles": "admin,member"}).get, "shop", "r").is_admin
    with pytest.raises(InvalidInput):
        keystone.identify(CONFIRMED.get, "other", "r")


@pytest.mark.parametrize(
    "change", [{"X-Identity-Status": "Invalid"}, {"X-Project-Id": None}, {"X-Identity-Status": None}]
)
def test_tokens_that_say_nothing(keystone, change):
    with pytest.raises(Unauthorized):
        keystone.identify((CONFIRMED | change).get, None, "r")


def test_a_service_beside_the_user(keystone):
    service = {"X-Service-Identity-Status": "Confirmed", "X-Service-Roles": "Service,x"}
    context = keystone.identify((CONFIRMED | service).get, None, "r")
    assert (context.is_service, context.service_roles) == (True, ("service", "x"))
    assert "service" not in context.roles
    service["X-Service-Identity-Status"] = "Invalid"
    context = keystone.identify((CONFIRMED | service).get, None, "r")
    assert (context.is_service, context.service_roles) == (False, ())
    assert keystone.identify((CONFIRMED | {"X-Roles": "service"}).get, None, "r").is_service


def test_rules_and_projects():
    def who(*roles):
        return RequestContext(user_id="u", project_id="p", roles=roles, is_admin="admin" in roles)

    assert policy.allowed(who("member"), "volume:create")
    assert not policy.allowed(who("member"), "volume:get")
    assert policy.allowed(who("reader"), "volume:get", "p")
    assert not policy.allowed(who("reader"), "volume:get", "other")
    assert policy.allowed(who("admin"), "volume:get", "other")
    assert not policy.allowed(who("reader"), "volume:create")
    with pytest.raises(Forbidden, match=r"Policy doesn't allow volume:force_delete to be performed."):
        policy.authorize(who("member"), "volume:force_delete")


def test_without_a_token_there_is_a_401_and_the_version_documents(cloud):
    """The whole chain with the real middleware; no Keystone is needed to see that there is no token."""
    conf = settings(cloud.settings.data_dir, KEYSTONE)
    app = make_app(conf, cloud.database, cloud.images)

    def call(environ, start_response):  # Falcon's client looks at a function's arguments, which the middleware hides
        seen.append(environ)
        return app(environ, start_response)

    seen = []
    client = testing.TestClient(call)
    answer = client.simulate_get("/v3/volumes", headers={"X-Project-Id": "forged", "X-Identity-Status": "Confirmed"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Keystone uri="http://127.0.0.1:9/identity"'
    assert answer.json["unauthorized"]["code"] == 401
    assert client.simulate_get("/v3").status_code == 200
    assert client.simulate_get("/").status_code == 300
    (cache,) = {environ["breezeblock.token_cache"] for environ in seen}
    cache.set("tokens/digest", b"{}", time=300)
    assert cache.get("tokens/digest") == b"{}"


KEYSTONE = """
[DEFAULT]
auth_strategy = keystone
enabled_backends = one
[one]
volume_driver = simulated
[keystone_authtoken]
www_authenticate_uri = http://127.0.0.1:9/identity
auth_url = http://127.0.0.1:9/identity
auth_type = password
username = cinder
password = secret
project_name = service
user_domain_name = Default
project_domain_name = Default
"""
