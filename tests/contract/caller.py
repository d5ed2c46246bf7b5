"""What scenarios call a service of the Block Storage API through; it notes each answer, reduced."""

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from tests.contract.shape import cleaner, shape_of

LATEST = "3.71"
UNKNOWN = "00000000-0000-4000-8000-00000000dead"
"""An id that nothing has."""

MOST_ABOUT = 80
"""Letters of what a step is about."""

MOST_MESSAGE = 200

PASSING = frozenset(
    "creating downloading deleting extending attaching detaching uploading retyping backing-up restoring "
    "restoring-backup reverting managing unmanaging updating error_managing_deleting maintenance".split()
)
"""Statuses that something else comes after."""


class Service(Protocol):
    """A server of the API, and the people who call it."""

    projects: Mapping[str, str]
    """The project's id of each role: admin, member and reader are of the same one, other of another."""
    pause: float
    """Seconds between two looks at what is being done."""
    patience: float
    """Seconds until what is being done has to be finished."""
    image_path: str
    """What stands before the paths of the image API."""

    def send(
        self, role: str, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the answer; the headers' names in lower case."""


class Answer:
    """One answer."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        try:
            self.body: Any = json.loads(content) if content else None
        except ValueError:
            self.body = None

    def find(self, path: str, default: Any = UNKNOWN) -> Any:
        """A value of the body by its path, `volume.id`; `default` where it is not."""
        value = self.body
        for key in path.split("."):
            try:
                value = value[int(key) if isinstance(value, list) else key]
            except (KeyError, IndexError, TypeError, ValueError):
                return default
        return value


class Caller:
    """One run of a scenario. `steps` is what was noted, one record for each call."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.steps: list[dict[str, Any]] = []
        self._suffix = f"-{secrets.token_hex(4)}"
        self._hidden = {self._suffix: ""}
        self._clean = cleaner(lambda: self._hidden)

    def name(self, word: str) -> str:
        """A name that nothing else has, now or in another run."""
        return f"{word}{self._suffix}"

    def hide(self, text: str, stands: str) -> str:
        """Have a name of this server's (a host's, say) noted as `<stands>`."""
        if text and text != UNKNOWN:
            self._hidden[text] = f"<{stands}>"
        return text

    def project(self, role: str = "member") -> str:
        """The id of the project of a role."""
        return self.service.projects[role]

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str = "member",
        version: str | None = LATEST,
        headers: dict[str, str] | None = None,
        whole: bool = False,
    ) -> Answer:
        """Call without a note. `whole` says that the path is not below /v3/{project}; bytes are sent as they are."""
        sent = {"OpenStack-API-Version": f"volume {version}"} if version else {}
        if body is not None:
            sent["Content-Type"] = "application/json"
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        full = path if whole else f"/v3/{self.project(role)}{path}"
        return Answer(*self.service.send(role, method, full, sent | (headers or {}), content))

    def call(
        self, method: str, path: str, body: Any = None, *, about: str = "", keep: Iterable[str] = (), **more: Any
    ) -> Answer:
        """Call, and note the answer whole. Of the values in its body those are noted whose paths `keep` names."""
        answer = self.ask(method, path, body, **more)
        step = self._step(method, path, about, more) | self._told(answer, more)
        if "fault" not in step and answer.body is not None:
            step["body"] = shape_of(answer.body)
        values = {name: self._value(answer, name) for name in keep}
        self.steps.append(step | ({"values": values} if values else {}))
        return answer

    def probe(self, method: str, path: str, about: str, bodies: Mapping[str, Any], **more: Any) -> list[Answer]:
        """Call with each of these bodies, by what is odd about it; note in one step how each call ends."""
        answers = {label: self.ask(method, path, body, **more) for label, body in bodies.items()}
        ends = {
            label: f"{answer.status} {self._told(answer, more).get('fault', '')}".strip()
            for label, answer in answers.items()
        }
        self.steps.append(self._step(method, path, about, more) | {"ends": ends})
        return list(answers.values())

    def note(self, about: str, value: Any) -> None:
        """Note something that the scenario worked out of answers."""
        self.steps.append({"step": about, "values": {"": self._clean(json.dumps(value))}})

    def get(self, path: str, **more: Any) -> Answer:
        """GET, noted."""
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any, **more: Any) -> Answer:
        """POST, noted."""
        return self.call("POST", path, body, **more)

    def put(self, path: str, body: Any, **more: Any) -> Answer:
        """PUT, noted."""
        return self.call("PUT", path, body, **more)

    def delete(self, path: str, **more: Any) -> Answer:
        """DELETE, noted."""
        return self.call("DELETE", path, **more)

    def act(self, path: str, action: str, value: Any = None, **more: Any) -> Answer:
        """POST an action, noted."""
        return self.call("POST", f"{path}/action", {action: value}, about=f"{action} {more.pop('about', '')}", **more)

    def settle(self, path: str, key: str, role: str = "admin", quiet: bool = False) -> str:
        """Wait until something is no longer being worked at; note, and answer, its status, or that it is gone."""
        deadline = time.monotonic() + self.service.patience
        status = "never settled"
        while time.monotonic() < deadline:
            answer = self.ask("GET", path, role=role)
            if answer.status == 404:
                status = "gone"
                break
            current = str(answer.find(f"{key}.status"))
            if current not in PASSING:
                status = current
                break
            time.sleep(self.service.pause)
        if not quiet:
            self.note(f"settled {self._clean(path)}", status)
        return status

    def purge(self, path: str, key: str) -> None:
        """Delete what a scenario made, without a note, and wait until it is gone."""
        if UNKNOWN in path:
            return
        with_snapshots = "?cascade=true" if key == "volume" else ""
        self.ask("DELETE", path + with_snapshots, role="admin")
        if self.settle(path, key, quiet=True) not in {"gone", UNKNOWN}:
            self.ask("POST", f"{path}/action", {"os-reset_status": {"status": "error"}}, role="admin")
            self.ask("DELETE", path + with_snapshots, role="admin")
            self.settle(path, key, quiet=True)

    def _step(self, method: str, path: str, about: str, more: dict[str, Any]) -> dict[str, Any]:
        version, role = more.get("version", LATEST), more.get("role", "member")
        said = [method, self._clean(path)]
        said += [f"@{version}"] if version != LATEST else []
        said += [f"as {role}"] if role != "member" else []
        about = self._clean(about.strip())[:MOST_ABOUT]
        said += [f"({about})"] if about else []
        return {"step": " ".join(said)}

    def _told(self, answer: Answer, more: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = {"status": answer.status}
        headers = _odd_headers(answer, more)
        if headers:
            told["headers"] = headers
        body = answer.body
        if answer.status >= 400 and isinstance(body, dict) and len(body) == 1:
            ((key, fault),) = body.items()
            if isinstance(fault, dict) and "message" in fault:
                told["fault"] = key
                told["message"] = self._clean(str(fault["message"]))[:MOST_MESSAGE]
                more_keys = sorted(fault.keys() - {"code", "message"})
                if more_keys:
                    told["keys"] = more_keys
        return told

    def _value(self, answer: Answer, name: str) -> Any:
        """The values at a path; of lists (`volumes[].name`) that of each element."""
        whole, _, rest = name.partition("[].")
        found = answer.find(whole, None)
        if rest and isinstance(found, list):
            found = [Answer(200, {}, json.dumps(one).encode()).find(rest, None) for one in found]
        return json.loads(self._clean(json.dumps(found)))


def _odd_headers(answer: Answer, more: dict[str, Any]) -> dict[str, str | None]:
    """The headers that matter, but for those that almost every answer has: JSON, of the version that was asked for."""
    version = more.get("version", LATEST)
    usual = {
        "content-type": "application/json" if answer.content else None,
        "openstack-api-version": f"volume {version}" if version else None,
        "vary": "OpenStack-API-Version" if version else None,
        "location": None,
        "etag": None,
        "retry-after": None,
    }
    found = {name: answer.headers.get(name) for name in usual}
    if found["content-type"]:
        found["content-type"] = found["content-type"].partition(";")[0]
    if not answer.content:
        found["content-type"] = None
    for name in ("location", "etag"):
        if found[name]:
            found[name] = str(shape_of(found[name]))
    return {name: value for name, value in found.items() if value != usual[name]}
