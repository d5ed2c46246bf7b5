"""Scheduler hints: what a user wishes of the place of a volume, with Cinder's names.

In Cinder each hint has a filter that an administrator has to switch on; here they always count.
"""

import operator
from collections.abc import Callable
from typing import Any

import msgspec

from breezeblock.errors import InvalidInput
from breezeblock.model.pool import Pool


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """Hints settled: volumes and servers are replaced by where they are. All are kept with the create's flow."""

    same: frozenset[str] | None = None
    """Backends (`host@backend`) of the volumes of `same_host`; empty where none of them is anywhere."""
    different: frozenset[str] = frozenset()
    """Backends of the volumes of `different_host`."""
    near: frozenset[str] | None = None
    """Hosts that the server of `local_to_instance` has volumes attached on."""
    query: str | None = None
    """The JSON of `query`, such as `[">=", "$free_capacity_gb", 10]`."""

    def why_not(self, pool: Pool) -> str | None:
        """Why a pool is not what is wished for, or None. Raises `InvalidInput` for a query that cannot be understood."""
        if self.same is not None and pool.backend not in self.same:
            return f"same_host asks for {' or '.join(sorted(self.same)) or 'a place that is not known'}"
        if pool.backend in self.different:
            return "different_host asks for another backend"
        if self.near is not None and pool.backend.partition("@")[0] not in self.near:
            return f"local_to_instance asks for {' or '.join(sorted(self.near)) or 'a server that is not known here'}"
        if self.query is not None and not _holds(parsed(self.query), _state(pool)):
            return f"the query {self.query} does not hold"
        return None


def parsed(query: str) -> Any:
    """The query's JSON. Raises `InvalidInput`."""
    try:
        return msgspec.json.decode(query)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidInput(f"Invalid input received: the scheduler hint query is not JSON: {query}") from None


def _state(pool: Pool) -> dict[str, Any]:
    """The variables of a query, as Cinder calls them."""
    host, _, name = pool.name.partition("#")
    return pool.capabilities | {
        "host": host,
        "pool_name": name,
        "total_capacity_gb": pool.total_capacity_gb,
        "free_capacity_gb": pool.free_capacity_gb,
        "reserved_percentage": pool.reserved_percentage,
        "max_over_subscription_ratio": pool.max_over_subscription_ratio,
    }


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[list[Any]], bool]:
    def each(values: list[Any]) -> bool:
        try:
            return len(values) > 1 and all(compare(values[0], other) for other in values[1:])
        except TypeError:
            return False

    return each


_OPERATORS: dict[str, Callable[[list[Any]], bool]] = {
    "=": _ordered(operator.eq),
    "<": _ordered(operator.lt),
    ">": _ordered(operator.gt),
    "<=": _ordered(operator.le),
    ">=": _ordered(operator.ge),
    "in": lambda values: len(values) > 1 and values[0] in values[1:],
    "not": lambda values: bool(values) and not all(values),
    "and": all,
    "or": any,
}
"""As of Cinder's JsonFilter."""


def _holds(query: Any, state: dict[str, Any]) -> bool:
    """Whether a query is true of a pool; an empty one is."""
    return bool(_value(query, state)) if query else True


def _value(query: Any, state: dict[str, Any]) -> Any:
    if isinstance(query, list):
        if not query:
            return False
        if not isinstance(query[0], str) or query[0] not in _OPERATORS:
            raise InvalidInput(f"Invalid input received: the scheduler hint query knows no operator {query[0]}.")
        return _OPERATORS[query[0]]([_value(part, state) for part in query[1:]])
    if isinstance(query, str) and query.startswith("$"):
        found: Any = state
        for key in query[1:].split("."):
            found = found.get(key) if isinstance(found, dict) else None
        return found
    return query
