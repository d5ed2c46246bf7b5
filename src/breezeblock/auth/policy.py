"""Who may do what: Cinder's rules as oslo.policy understands them, and what `policy.yaml` changes of them.

Resources are looked up within the caller's project unless an administrator calls, so that another project's id is not
found before any rule is asked; the target of a check is therefore the project alone.
"""

import difflib
import functools
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
from oslo_config import cfg
from oslo_policy import policy

from breezeblock.auth.rules import RENAMED, RULES
from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.errors import ConfigError, Forbidden

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How long a changed policy file may go unnoticed."""

MOST_ANSWERS = 10_000
"""Answers that are remembered at most; then all are forgotten."""

_TARGET = {"project_id": ""}


class Loaded(msgspec.Struct, frozen=True):
    """The rules as they were read, and the answers they gave. `texts` are the check strings in force."""

    enforcer: policy.Enforcer
    texts: dict[str, str]
    stamp: tuple[Any, ...]
    answers: dict[tuple[Any, ...], bool] | None
    """None where a rule asks something outside this process, whose answer may be another one the next time."""


class Policy:
    """Rules and the files that change them; safe to ask from many threads."""

    def __init__(self, conf: Any, data_dir: Path) -> None:
        """Raises `ConfigError` where a policy file cannot be read or its rules cannot be understood."""
        self._conf = conf
        policy.Enforcer(conf, use_conf=False)  # registers [oslo_policy]
        self._file = data_dir / conf.oslo_policy.policy_file
        self._directories = [data_dir / name for name in conf.oslo_policy.policy_dirs]
        self._must_exist = conf.oslo_policy.policy_file != "policy.yaml"
        self._lock = Lock()
        self._loaded = self._load(self._stamp())
        self._looked_at = time.monotonic()

    def allowed(self, context: RequestContext, rule: str, project: str) -> bool:
        """Whether the caller may do this to what the project owns."""
        loaded = self._current()
        if loaded.answers is None:
            return _ask(loaded.enforcer, context, rule, project)
        key = (
            rule,
            project,
            context.project_id,
            context.user_id,
            context.roles,
            context.service_roles,
            context.is_admin,
            context.is_admin_project,
        )
        answer = loaded.answers.get(key)
        if answer is None:
            if len(loaded.answers) >= MOST_ANSWERS:
                loaded.answers.clear()
            answer = loaded.answers[key] = _ask(loaded.enforcer, context, rule, project)
        return answer

    @property
    def checks(self) -> Mapping[str, str]:
        """The check strings in force, by rule: the defaults, and what policy files write."""
        return self._current().texts

    def _current(self) -> Loaded:
        """The rules as the files have them now; those before where the new ones are wrong."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return self._loaded
        with self._lock:
            self._looked_at = time.monotonic()
            stamp = self._stamp()
            if stamp != self._loaded.stamp:
                try:
                    self._loaded = self._load(stamp)
                except ConfigError as error:
                    log.error("The policy stays as it was: %s", error.message)
                    self._loaded = msgspec.structs.replace(self._loaded, stamp=stamp)
                else:
                    log.info(
                        "The policy was read anew: %d rules are not the default",
                        sum(1 for name, text in self._loaded.texts.items() if text != RULES.get(name)),
                    )
        return self._loaded

    def _paths(self) -> Iterator[Path]:
        if self._must_exist or self._file.exists():
            yield self._file
        for directory in self._directories:
            if directory.is_dir():
                yield from sorted(path for path in directory.iterdir() if not path.name.startswith("."))

    def _stamp(self) -> tuple[Any, ...]:
        """What differs as soon as a file of the policy has changed."""
        found = [(path, path.stat()) for path in self._paths() if path.exists()]
        return tuple((path, about.st_mtime_ns, about.st_size, about.st_ino) for path, about in found)

    def _load(self, stamp: tuple[Any, ...]) -> Loaded:
        written: dict[str, str] = {}
        for path in self._paths():
            written |= _read(path)
        rules = RULES | written
        for name, before in RENAMED.items():
            if before in written and name not in written:
                rules[name] = written[before]
        enforcer = policy.Enforcer(self._conf, use_conf=False)
        enforcer.set_rules(policy.Rules.from_dict(rules, enforcer.default_rule))
        _check(enforcer, rules, written)
        kinds = {type(check).__module__ for name in rules for check in _parts(enforcer.rules[name])}
        return Loaded(enforcer, rules, stamp, {} if kinds == {policy.RuleCheck.__module__} else None)


@functools.cache
def _defaults() -> Policy:
    """The rules without any file, for a process that has no API."""
    conf = cfg.ConfigOpts()
    conf(args=[], default_config_files=[], default_config_dirs=[])
    return Policy(conf, Path("/nonexistent"))


_loaded: Policy | None = None


def load(settings: Settings) -> Policy:
    """Make the configuration's policy the one that this process asks from now on.

    Raises:
        ConfigError: a policy file cannot be read, or its rules cannot be understood.
    """
    global _loaded
    _loaded = Policy(settings.conf, settings.data_dir)
    return _loaded


def allowed(context: RequestContext, rule: str, project: str | None = None) -> bool:
    """Whether the caller may; `project` owns what it is done to (None: the caller's own, or nobody)."""
    in_force = _loaded or _defaults()
    return in_force.allowed(context, rule, context.project_id if project is None else project)


def authorize(context: RequestContext, rule: str, project: str | None = None) -> None:
    """Raises `Forbidden` when the caller may not."""
    if not allowed(context, rule, project):
        raise Forbidden(f"Policy doesn't allow {rule} to be performed.")


def with_rights(context: RequestContext) -> RequestContext:
    """The context of a caller of whom the roles are known: an administrator by the rule `context_is_admin`, or not."""
    return msgspec.structs.replace(context, is_admin=allowed(context, "context_is_admin"))


def _ask(enforcer: policy.Enforcer, context: RequestContext, rule: str, project: str) -> bool:
    if rule not in enforcer.rules:
        raise LookupError(f"there is no rule {rule}")
    credentials = {
        "user_id": context.user_id,
        "project_id": context.project_id,
        "roles": list(context.roles),
        "service_roles": list(context.service_roles),
        "is_admin": context.is_admin,
        "is_admin_project": context.is_admin_project,
    }
    return bool(enforcer.enforce(rule, {"project_id": project}, credentials))


def _read(path: Path) -> dict[str, str]:
    """The rules that a policy file writes."""
    try:
        rules = policy.parse_file_contents(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"The policy file {path} cannot be read: {error}") from error
    if not isinstance(rules, dict) or not all(isinstance(part, str) for pair in rules.items() for part in pair):
        raise ConfigError(f"The policy file {path} has to hold names of rules, each with a check string.")
    return rules


def _check(enforcer: policy.Enforcer, rules: Mapping[str, str], written: Mapping[str, str]) -> None:
    """Refuse rules that oslo.policy would take as "nobody"; tell of those that mean nothing or can never be true."""
    for name, text in written.items():
        if str(enforcer.rules[name]) == "!" != text:
            raise ConfigError(f"The policy's rule {name} is not a check string: {text}")
    try:
        enforcer.check_rules(raise_on_violation=True)
    except policy.InvalidDefinitionError as error:
        raise ConfigError(f"The policy's rules name rules that are not there, or each other: {error}") from error
    named = {
        check.match for name in rules for check in _parts(enforcer.rules[name]) if isinstance(check, policy.RuleCheck)
    }
    for name in sorted(written.keys() - RULES.keys() - set(RENAMED.values()) - named):
        near = difflib.get_close_matches(name, RULES, n=1)
        log.warning("The policy's rule %s means nothing here%s", name, f"; did you mean {near[0]}?" if near else "")
    for name in written:
        for check in _parts(enforcer.rules[name]):
            if isinstance(check, policy.Check) and _unknown_target(check.match):
                log.warning("The policy's rule %s asks %s of its target, which has a project_id only", name, check)


def _unknown_target(match: str) -> bool:
    try:
        match % _TARGET
    except (KeyError, ValueError, TypeError):
        return True
    return False


def _parts(check: Any) -> Iterator[Any]:
    """A check and all that it is made of."""
    yield check
    for part in getattr(check, "rules", None) or ([check.rule] if isinstance(check, policy.NotCheck) else []):
        yield from _parts(part)
