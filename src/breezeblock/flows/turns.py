"""Whose copy comes next on a backend: a bound on copies at once, and turns that are fair between projects."""

import threading
from collections import deque


class CopyTurns:
    """At most `limit` copies at once. The next turn goes to the waiting project that had none for longest.

    So a project waits for no more turns than there are projects, however many copies another one has asked for. All of
    it is forgotten with the process: a flow that is taken up again asks again.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._copying: set[str] = set()
        self._waiting: dict[str, deque[str]] = {}
        self._projects: dict[str, str] = {}
        self._last_turn: dict[str, int] = {}
        self._turns = 0
        self._lock = threading.Lock()

    def take(self, project_id: str, flow_id: str) -> bool:
        """Whether it is this flow's turn; if not, it is in line now. Asking again changes nothing."""
        with self._lock:
            if flow_id not in self._copying and flow_id not in self._projects:
                self._projects[flow_id] = project_id
                self._waiting.setdefault(project_id, deque()).append(flow_id)
                self._grant()
            return flow_id in self._copying

    def is_waiting(self, flow_id: str) -> bool:
        """Whether a flow is in line and has no turn yet."""
        with self._lock:
            return flow_id in self._projects

    def are_wanted(self) -> bool:
        """Whether any flow copies, or is in line for it."""
        with self._lock:
            return bool(self._copying or self._waiting)

    def give_back(self, flow_id: str) -> bool:
        """End a flow's turn, or take it out of the line; whether another one has got a turn by that."""
        with self._lock:
            self._copying.discard(flow_id)
            project = self._projects.pop(flow_id, None)
            if project is not None:
                self._waiting[project].remove(flow_id)
                self._tidy(project)
            return self._grant()

    def _grant(self) -> bool:
        granted = False
        while self._waiting and len(self._copying) < self.limit:
            project = min(self._waiting, key=lambda one: self._last_turn.get(one, 0))
            flow_id = self._waiting[project].popleft()
            del self._projects[flow_id]
            self._copying.add(flow_id)
            self._turns += 1
            self._last_turn[project] = self._turns
            self._tidy(project)
            granted = True
        if not self._waiting and not self._copying:
            self._last_turn.clear()
        return granted

    def _tidy(self, project_id: str) -> None:
        if not self._waiting[project_id]:
            del self._waiting[project_id]
