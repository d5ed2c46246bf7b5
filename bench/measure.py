"""Measure one server: `python -m bench.measure --endpoint http://127.0.0.1:8776/v3 --json figures.json`.

With Keystone: `--auth-url URL --user demo --project demo`, the password in OS_PASSWORD. `--pids` names the server's
processes, as ids or files that hold them; their children are counted in.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import report
from bench.client import Client, Endpoint, log_in
from bench.processes import ServerProcesses, root_pids
from bench.rounds import measure
from bench.scenarios import NAMES, Sample, Target


class Remote(msgspec.Struct, kw_only=True):
    """A server that somebody else runs, given by an endpoint and a token or by a login. A subject of the rounds."""

    name: str
    endpoint: str | None = None
    token: str | None = None
    images_endpoint: str | None = None
    auth_url: str | None = None
    user: str | None = None
    password: str | None = None
    project: str | None = None
    list_user: str | None = None
    list_project: str | None = None
    pids: Sequence[str] = ()
    image: str | None = None
    image_file: Path | None = None
    repeat: int = 10

    def begin_round(self) -> tuple[Target, dict[str, Sample]]:
        """Log in anew, since a token may not outlive many rounds. Raises `ApiError`."""
        endpoint = self.log_in(self.user, self.project) if self.auth_url else self._given()
        listing = self.log_in(self.list_user, self.list_project or self.list_user) if self.list_user else endpoint
        target = Target(
            name=self.name,
            client=Client(endpoint),
            listing=Client(listing),
            processes=ServerProcesses(root_pids(self.pids)),
            image_file=self.image_file,
            image_id=self.image,
            repeat=self.repeat,
        )
        return target, {}

    def _given(self) -> Endpoint:
        if not self.endpoint:
            raise SystemExit("Say which server: --endpoint URL, or --auth-url URL with --user and --project.")
        return Endpoint(volumes=self.endpoint.rstrip("/"), token=self.token, images=self.images_endpoint)

    def log_in(self, user: str | None, project: str | None) -> Endpoint:
        """The endpoints for a user of the Keystone at `auth_url`. Raises `ApiError`."""
        if not (self.auth_url and user and self.password and project):
            raise SystemExit("A login needs an auth URL, a user, a project, and the password.")
        return log_in(self.auth_url, user, self.password, project)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a scenario failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.measure", description=__doc__)
    parser.add_argument("--endpoint", help="URL of the API, up to /v3 or /v3/PROJECT")
    parser.add_argument("--token", help="its X-Auth-Token, if it wants one")
    parser.add_argument("--images-endpoint", help="URL of its image service, up to /v2; default: from the catalog")
    parser.add_argument("--auth-url", help="Keystone's URL, up to /v3")
    parser.add_argument("--user")
    parser.add_argument("--password", default=os.environ.get("OS_PASSWORD"), help="default: OS_PASSWORD")
    parser.add_argument("--project")
    parser.add_argument("--list-user", help="user whose project has the 1000 volumes to list; default: made first")
    parser.add_argument("--list-project", help="default: named like that user")
    parser.add_argument("--pids", nargs="*", default=[], help="process ids of the server, or files that hold them")
    parser.add_argument("--image", help="id of an image, where none can be uploaded")
    parser.add_argument("--image-file", type=Path, help="qcow2 file to upload as a new image each round")
    parser.add_argument("--repeat", type=int, default=10, help="operations of a kind in one round")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tests", default=",".join(NAMES), help="some of %(default)s")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--name", default="server", help="what to call it in the table")
    options = vars(parser.parse_args(arguments))
    rounds, tests, out = options.pop("rounds"), options.pop("tests").split(","), options.pop("json")
    results = measure([Remote(**options)], tests, rounds)
    print(report.table(results, options["name"], None))
    if out:
        results.save(out)
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
