"""The real Keystone and Glance: installed from PyPI by pinned hashes, started on free ports for one test run.

What takes long is done once and kept in a cache outside the tree, under a name that changes with the pins: the virtual
environment, and beside it a state directory with migrated databases and keys that every run starts from a copy of.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from breezeblock.drivers.rbd import binding
from tests.ceph import Ceph
from tests.processes import Server

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "peers.txt"
PASSWORD = "peers"
"""Of every user of the throwaway Keystone, which listens on loopback only."""

KEYSTONE_CONF = """
[database]
connection = sqlite:///{state}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {state}/fernet-keys
[fernet_receipts]
key_repository = {state}/fernet-keys
[credential]
key_repository = {state}/credential-keys
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.memory
"""
"""Passwords of throwaway users need no costly hash; one process serves, so that what it keeps in memory is true."""

GLANCE_CONF = """
[DEFAULT]
enabled_backends = files:file
node_staging_uri = file://{state}/glance/staging
[database]
connection = sqlite:///{state}/glance.db
[glance_store]
default_backend = files
[files]
filesystem_store_datadir = {state}/glance/images
[os_glance_staging_store]
filesystem_store_datadir = {state}/glance/staging
[os_glance_tasks_store]
filesystem_store_datadir = {state}/glance/tasks
[paste_deploy]
flavor = keystone
config_file = {venv}/etc/glance/glance-api-paste.ini
[oslo_concurrency]
lock_path = {state}/glance
[keystone_authtoken]
www_authenticate_uri = {auth_url}
auth_url = {auth_url}
auth_type = password
username = glance
password = {password}
project_name = service
user_domain_name = Default
project_domain_name = Default
service_token_roles = service
service_token_roles_required = true
"""

BARBICAN_CONF = """
[DEFAULT]
host_href = {url}
[database]
connection = sqlite:///{state}/barbican.db
[keystone_authtoken]
www_authenticate_uri = {auth_url}
auth_url = {auth_url}
auth_type = password
username = breezeblock
password = {password}
project_name = service
user_domain_name = Default
project_domain_name = Default
[secretstore]
enabled_secretstore_plugins = store_crypto
[crypto]
enabled_crypto_plugins = simple_crypto
[simple_crypto_plugin]
kek = dGhpcnR5X3R3b19ieXRlX2tleWJsYWhibGFoYmxhaGg=
[oslo_policy]
enforce_scope = false
enforce_new_defaults = false
"""

BARBICAN_APPLICATION = """
from paste import deploy

application = deploy.loadapp("config:{venv}/etc/barbican/barbican-api-paste.ini")
"""

GUNICORN_CONF = """
wsgi_app = "{application}"
bind = "127.0.0.1:{port}"
worker_class = "gthread"
threads = 1
control_socket_disable = True
"""
"""One request at a time: Keystone and Glance read before they write in one transaction, and of two such at once on SQLite
one is answered by 500, "database is locked"."""


class Peers:
    """An installed set of peers and the state directory of one run."""

    def __init__(self, venv: Path, state: Path) -> None:
        self._venv = venv
        self._state = state

    def start_keystone(self, port: int) -> Server:
        """Start Keystone on a loopback port; the API is under /v3, the first user is admin in project admin."""
        conf = self._configure("keystone.conf", KEYSTONE_CONF)
        env = {"OS_KEYSTONE_CONFIG_FILES": str(conf)}
        server = self._serve("keystone.wsgi.api:application", port, env)
        server.wait_for(f"http://127.0.0.1:{port}/v3")
        return server

    def start_glance(self, port: int, auth_url: str) -> Server:
        """Start Glance on a loopback port; `auth_url` is the Keystone that knows its user `glance`."""
        conf = self._configure("glance-api.conf", GLANCE_CONF, auth_url=auth_url)
        server = self._serve("glance.wsgi.api:application", port, {"OS_GLANCE_CONFIG_DIR": str(conf.parent)})
        server.wait_for(f"http://127.0.0.1:{port}/versions")
        return server

    def start_glance_on_ceph(self, port: int, auth_url: str, ceph: Ceph) -> Server:
        """Start a second Glance beside the first, with the same images, that keeps new ones in the pool `images`."""
        home = self._state / "glance_on_ceph"
        (home / "modules").mkdir(parents=True)
        for name in ("rados", "rbd"):
            # these two of Debian's modules, and no others
            (home / "modules" / Path(binding.find(name)).name).symlink_to(binding.find(name))
        conf = GLANCE_CONF.replace("files:file", "files:file, ceph:rbd").replace(
            "default_backend = files", "default_backend = ceph"
        )
        conf = conf.replace("[DEFAULT]", "[DEFAULT]\nshow_image_direct_url = true\nshow_multiple_locations = true")
        conf += f"[ceph]\nrbd_store_pool = images\nrbd_store_user = glance\nrbd_store_ceph_conf = {ceph.conf}\n"
        self._configure("glance_on_ceph/glance-api.conf", conf, auth_url=auth_url)
        env = {"OS_GLANCE_CONFIG_DIR": str(home), "PYTHONPATH": str(home / "modules")}
        server = self._serve("glance.wsgi.api:application", port, env, home=home)
        server.wait_for(f"http://127.0.0.1:{port}/versions")
        return server

    def start_barbican(self, port: int, auth_url: str) -> Server:
        """Start Barbican on a loopback port, with a fresh database; it reads its configuration in its home alone."""
        home, url = self._state / "barbican_application", f"http://127.0.0.1:{port}"
        (home / ".barbican").mkdir(parents=True)
        told = {"state": self._state, "url": url, "auth_url": auth_url, "password": PASSWORD}
        (home / ".barbican" / "barbican.conf").write_text(BARBICAN_CONF.format(**told))
        (home / "barbican_application.py").write_text(BARBICAN_APPLICATION.format(venv=self._venv))
        env = {"HOME": str(home)}
        self._run("barbican-manage", "db", "upgrade", env=env)
        server = self._serve("barbican_application:application", port, env)
        server.wait_for(url)
        return server

    def migrate(self) -> None:
        """Make the databases, the keys and Keystone's first user in an empty state directory."""
        keystone = self._configure("keystone.conf", KEYSTONE_CONF)
        glance = self._configure("glance-api.conf", GLANCE_CONF, auth_url="")
        user, group = str(os.geteuid()), str(os.getegid())
        owner = [f"--keystone-user={user}", f"--keystone-group={group}"]
        for keys in ("fernet-keys", "credential-keys"):
            (self._state / keys).mkdir(mode=0o700)
        self._run("keystone-manage", "--config-file", keystone, "db_sync")
        self._run("keystone-manage", "--config-file", keystone, "fernet_setup", *owner)
        self._run("keystone-manage", "--config-file", keystone, "credential_setup", *owner)
        self._run("keystone-manage", "--config-file", keystone, "bootstrap", f"--bootstrap-password={PASSWORD}")
        self._run("glance-manage", "--config-file", glance, "db_sync")

    def _configure(self, name: str, template: str, auth_url: str = "") -> Path:
        path = self._state / name
        path.write_text(template.format(state=self._state, venv=self._venv, password=PASSWORD, auth_url=auth_url))
        return path

    def _serve(self, application: str, port: int, env: Mapping[str, str], home: Path | None = None) -> Server:
        """Under gunicorn, told by a file: both services read the command line as their own."""
        home = home or self._state / application.partition(".")[0].partition(":")[0]
        home.mkdir(exist_ok=True)
        (home / "gunicorn.conf.py").write_text(GUNICORN_CONF.format(application=application, port=port))
        return Server([self._venv / "bin" / "gunicorn"], self._state / f"{home.name}.log", env=env, cwd=home)

    def _run(self, program: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> None:
        done = subprocess.run(
            [self._venv / "bin" / program, *arguments],
            cwd=self._state,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} {' '.join(map(str, arguments))} failed:\n{done.stderr[-4000:]}")


def install(state: Path) -> Peers:
    """The peers of the pins, installed if need be, with a fresh copy of their first state in `state` (made)."""
    venv = install_packages(REQUIREMENTS)
    first_state = venv.with_name(f"state-{_fingerprint()}")
    with _locked(venv.with_name("state.lock")):
        if not first_state.exists():
            making = venv.with_name("state.new")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(mode=0o700)
            Peers(venv, making).migrate()
            making.rename(first_state)
    shutil.copytree(first_state, state)
    return Peers(venv, state)


def install_packages(requirements: Path) -> Path:
    """A virtual environment with pinned packages, made if need be, in the cache under a name that changes with the pins."""
    made_from = requirements.read_bytes() + sys.version.encode()
    home = _cache() / f"{requirements.stem}-{hashlib.sha256(made_from).hexdigest()[:16]}"
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / "lock"):
        if not (home / "complete").exists():
            _install_packages(home / "venv", requirements)
            (home / "complete").touch()
    return home / "venv"


def _install_packages(venv: Path, requirements: Path) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if uv is None:
        raise RuntimeError("uv is not installed; run make setup")
    python = venv / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, venv], check=True)
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python, "--compile-bytecode"]
    subprocess.run([*install, "--require-hashes", "-r", requirements], check=True)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "breezeblock" / "peers"


def _fingerprint() -> str:
    """Changes with what the first state is made by."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
