"""Keys in Barbican, reached by castellan: they belong to the service's project, and a volume's user may read its key.

Castellan reads its own sections of the configuration: `[key_manager]` with the credentials of the service, and
`[barbican]`. It stores, gets and deletes; it cannot look for a name or let another user read, which the client that it
stands on can.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from barbicanclient.client import Client
from barbicanclient.exceptions import BarbicanException, HTTPError
from castellan import key_manager, options
from castellan.common import utils
from castellan.common.exception import CastellanException, ManagedObjectNotFoundError
from castellan.common.objects.symmetric_key import SymmetricKey
from keystoneauth1.exceptions import ClientException
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from oslo_config import cfg

from breezeblock.errors import KeyManagerError

_LOGIN = (
    "auth_url username user_id password user_domain_id user_domain_name "
    "project_id project_name project_domain_id project_domain_name"
).split()


class BarbicanKeys:
    """A `KeyStore`. Barbican chooses the ids; a key that was made before a crash is found by its name."""

    def __init__(self, config_files: Sequence[Path]) -> None:
        conf = cfg.ConfigOpts()
        options.set_defaults(conf, backend="barbican")
        conf([], project="castellan", default_config_files=[str(file) for file in config_files], default_config_dirs=[])
        self._conf = conf
        self._service = utils.credential_factory(conf)
        self._manager = key_manager.API(conf)

    def make(self, name: str, length: int, reader: str) -> str:
        """As `KeyStore.make`."""
        return self._keep(name, reader, lambda: secrets.token_bytes(length))

    def copy(self, name: str, key_id: str, reader: str) -> str:
        """As `KeyStore.copy`."""
        return self._keep(name, reader, lambda: self.get(key_id))

    def give(self, key_id: str, reader: str) -> None:
        """As `KeyStore.give`: one call, which puts this list of readers in the place of the old one."""
        with _errors("let another user read the key"):
            self._let_read(self._client(), key_id, reader)

    def get(self, key_id: str) -> bytes:
        """As `KeyStore.get`."""
        with _errors("tell the key"):
            key = self._manager.get(self._service, key_id).get_encoded()
        if not key:
            raise KeyManagerError(f"Barbican has no content of the key {key_id}.")
        return bytes(key)

    def certificate(self, certificate_id: str) -> bytes:
        """As `KeyStore.certificate`; the service has to be allowed to read it."""
        with _errors("tell the certificate"):
            encoded = self._manager.get(self._service, certificate_id).get_encoded()
        if not encoded:
            raise KeyManagerError(f"Barbican has no content of the certificate {certificate_id}.")
        return bytes(encoded)

    def delete(self, key_id: str) -> None:
        """As `KeyStore.delete`."""
        with _errors("delete the key"):
            for one in {key_id, *self._named(key_id)}:
                try:
                    self._manager.delete(self._service, one)
                except ManagedObjectNotFoundError:
                    continue

    def _keep(self, name: str, reader: str, content: Callable[[], bytes]) -> str:
        with _errors("keep a key"):
            found = self._named(name)
            if found:
                key_id = found[0]
            else:
                key = content()
                key_id = str(self._manager.store(self._service, SymmetricKey("AES", len(key) * 8, key, name=name)))
            self._let_read(self._client(), key_id, reader)
        return key_id

    def _let_read(self, client: Any, key_id: str, reader: str) -> None:
        client.acls.create(entity_ref=key_id, ref_type="secret", users=[reader]).submit()

    def _named(self, name: str) -> list[str]:
        return sorted(secret.secret_ref.rpartition("/")[2] for secret in self._client().secrets.list(name=name))

    def _client(self) -> Any:
        login = {name: getattr(self._service, name) for name in _LOGIN}
        barbican = self._conf.barbican
        verify = (barbican.verify_ssl_path or True) if barbican.verify_ssl else False
        session = Session(auth=v3.Password(**login), verify=verify)
        return Client(
            session=session,
            endpoint=barbican.barbican_endpoint,
            region_name=barbican.barbican_region_name,
            interface=barbican.barbican_endpoint_type,
        )


@contextmanager
def _errors(doing: str) -> Iterator[None]:
    try:
        yield
    except (CastellanException, BarbicanException, HTTPError, ClientException) as error:
        raise KeyManagerError(f"Barbican could not {doing}: {error}") from error
