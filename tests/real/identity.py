"""What the tests' Keystone knows: projects, users, their roles, and a catalog with image and block storage."""

from typing import Any

from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from tests.real.peers import PASSWORD

REGION = "RegionOne"
PROJECTS = ("service", "demo", "other", "cinder-internal")
GRANTS = (  # user, project, role
    ("admin", "demo", "admin"),
    ("demo", "demo", "member"),
    ("demo-reader", "demo", "reader"),
    ("other", "other", "member"),
    ("glance", "service", "service"),
    ("glance", "service", "admin"),
    ("breezeblock", "service", "service"),
    ("breezeblock", "service", "admin"),
    ("cinder-internal", "cinder-internal", "member"),
)
CLOUDS = {"demo": "demo", "demo-reader": "demo", "other": "other", "admin": "admin", "breezeblock": "service"}
"""Names of clouds in clouds.yaml, each for the user of that name, and their projects."""


class Identity:
    """A Keystone being filled by its first user. `project_ids` and `user_ids` are by name."""

    def __init__(self, auth_url: str) -> None:
        self._auth_url = auth_url
        login = v3.Password(
            auth_url=auth_url,
            username="admin",
            password=PASSWORD,
            project_name="admin",
            user_domain_id="default",
            project_domain_id="default",
        )
        self._session = Session(auth=login)
        self.project_ids = self._names("project")
        self.user_ids = self._names("user")

    def fill(self, image_url: str, volume_url: str, barbican_url: str) -> None:
        """Make everything named above; `volume_url` is where the API is served, without `/v3`."""
        roles = self._names("role")
        if "service" not in roles:  # Keystone 30's bootstrap makes it, others did not
            roles["service"] = self._make("role", name="service")
        for name in PROJECTS:
            self.project_ids[name] = self._make("project", name=name, domain_id="default")
        for user, project, role in GRANTS:
            if user not in self.user_ids:
                self.user_ids[user] = self._make("user", name=user, password=PASSWORD, domain_id="default")
            grant = f"/projects/{self.project_ids[project]}/users/{self.user_ids[user]}/roles/{roles[role]}"
            self._session.put(self._auth_url + grant)
        self._make("region", id=REGION)
        self._publish(self._make("service", name="keystone", type="identity"), self._auth_url)
        self._publish(self._make("service", name="glance", type="image"), image_url)
        self._publish(self._make("service", name="barbican", type="key-manager"), barbican_url)
        self._publish(self._make("service", name="cinder", type="block-storage"), f"{volume_url}/v3")
        self._publish(self._make("service", name="cinderv3", type="volumev3"), f"{volume_url}/v3/%(project_id)s")

    def _publish(self, service_id: str, url: str) -> None:
        for interface in ("public", "internal", "admin"):
            self._make("endpoint", service_id=service_id, interface=interface, url=url, region_id=REGION)

    def _make(self, kind: str, **fields: Any) -> str:
        answer = self._session.post(f"{self._auth_url}/{kind}s", json={kind: fields}).json()
        made: str = answer[kind]["id"]
        return made

    def _names(self, kind: str) -> dict[str, str]:
        answer = self._session.get(f"{self._auth_url}/{kind}s").json()
        return {found["name"]: found["id"] for found in answer[f"{kind}s"]}


def clouds_yaml(auth_url: str) -> str:
    """A clouds.yaml with a cloud for every user of `CLOUDS`."""
    clouds = "".join(
        f"""
  {user}:
    auth:
      auth_url: {auth_url}
      username: {user}
      password: {PASSWORD}
      project_name: {project}
      user_domain_name: Default
      project_domain_name: Default
    region_name: {REGION}
    identity_api_version: 3"""
        for user, project in CLOUDS.items()
    )
    return f"clouds:{clouds}\n"
