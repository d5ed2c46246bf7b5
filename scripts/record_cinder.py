"""Records what a Cinder answers, for tests/contract: `python -m scripts.record_cinder --os-cloud NAME`.

Needs the credentials of an administrator (a cloud of clouds.yaml), and makes a project of its own with users for the
run; what a scenario makes it also deletes. Administrators' scenarios change types, quotas and services for a moment, so
the Cinder should be one that nobody else uses. It needs an image service, and cinder-backup for the scenarios of backups.
"""

import itertools
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
import openstack

from tests.contract import recorded, scenarios
from tests.contract.caller import Caller

GRANTS = {"admin": "admin", "member": "member", "reader": "reader", "other": "member"}


class Cinder:
    """A `caller.Service` that Keystone knows."""

    pause = 0.3
    patience = 300.0

    def __init__(self, sessions: Mapping[str, Any], projects: Mapping[str, str], endpoint: str | None) -> None:
        self._sessions = sessions
        self.projects = projects
        cinder = endpoint or str(sessions["member"].get_endpoint(service_type="block-storage"))
        self._root = cinder.rstrip("/").partition("/v3")[0]
        self.image_path = str(sessions["member"].get_endpoint(service_type="image")).rstrip("/").removesuffix("/v2")

    def send(
        self, role: str, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """See `caller.Service`."""
        url = path if path.startswith("http") else self._root + path
        more = {"data": body} if body is not None else {}
        answer = self._sessions[role].request(
            url, method, headers=headers, raise_exc=False, redirect=False, connect_retries=2, **more
        )
        return answer.status_code, {key.lower(): value for key, value in answer.headers.items()}, answer.content


@contextmanager
def people(cloud: str, endpoint: str | None) -> Iterator[Cinder]:
    """Two fresh projects with their users; removed afterwards."""
    admin = openstack.connect(cloud=cloud)
    identity: Any = admin.identity
    suffix = secrets.token_hex(4)
    own, other = (identity.create_project(name=f"contract-{word}-{suffix}", domain_id="default") for word in "ab")
    users, sessions, projects = [], {}, {}
    try:
        for role, granted in GRANTS.items():
            project, password = other if role == "other" else own, secrets.token_urlsafe()
            user = identity.create_user(name=f"contract-{role}-{suffix}", password=password, domain_id="default")
            users.append(user)
            identity.assign_project_role_to_user(project, user, identity.find_role(granted, ignore_missing=False))
            sessions[role] = admin.connect_as(
                username=user.name, password=password, project_id=project.id, user_domain_id="default"
            ).session
            projects[role] = project.id
        yield Cinder(sessions, projects, endpoint)
    finally:
        for user in users:
            identity.delete_user(user)
        for project in (own, other):
            identity.delete_project(project)


def sweep(caller: Caller) -> None:
    """Delete what a scenario has left in its projects, so that the next one finds them empty."""
    for role, kind in itertools.product(("member", "other"), ("backups", "volumes")):
        for one in caller.ask("GET", f"/{kind}", role=role).find(kind, []):
            caller.ask("POST", f"/{kind}/{one['id']}/action", {"os-reset_status": {"status": "error"}}, role="admin")
            caller.purge(f"/{kind}/{one['id']}", kind.removesuffix("s"))


@click.command()
@click.option("--os-cloud", "cloud", required=True, help="An administrator's cloud in clouds.yaml.")
@click.option("--endpoint", help="Of the Cinder, instead of the catalog's.")
@click.argument("names", nargs=-1)
def main(cloud: str, endpoint: str | None, names: tuple[str, ...]) -> None:
    """Run the scenarios of these NAMES, or all, and write tests/contract/recorded anew."""
    with people(cloud, endpoint) as cinder:
        for name, scenario in scenarios.chosen(names).items():
            caller = Caller(cinder)
            scenario(caller)
            recorded.write(name, caller.steps)
            sweep(caller)
            click.echo(f"{name}: {len(caller.steps)} steps")


if __name__ == "__main__":
    main()
