"""Words to the user that are said once, or not more often than is useful."""

from __future__ import annotations

import time
from typing import Protocol

_REPEAT_AFTER = 10.0
_RECENT = 5.0


class _Logger(Protocol):
    def warning(self, message: str) -> bool: ...

    def error(self, message: str) -> bool: ...


class ThrottledLog:
    """Remembers what was said, by its text; a different text is always said at once."""

    def __init__(self, logger: _Logger, prefix: str = "") -> None:
        self._logger = logger
        self._prefix = prefix
        self._said: dict[str, float] = {}
        self._newest: tuple[str, float] | None = None

    @property
    def recent(self) -> str | None:
        """The last thing there was to say, if that was within five seconds."""
        newest = self._newest
        if newest is None or time.monotonic() - newest[1] > _RECENT:
            return None
        return newest[0]

    def warn_once(self, text: str) -> None:
        """Warn, once in the life of the node."""
        if self._due(text, float("inf")):
            self._logger.warning(self._prefix + text)

    def warn(self, text: str) -> None:
        """Warn, at most every ten seconds."""
        if self._due(text, _REPEAT_AFTER):
            self._logger.warning(self._prefix + text)

    def error(self, text: str) -> None:
        """Say an error, at most every ten seconds."""
        if self._due(text, _REPEAT_AFTER):
            self._logger.error(self._prefix + text)

    def _due(self, text: str, period: float) -> bool:
        now = time.monotonic()
        self._newest = (text, now)
        said = self._said.get(text)
        if said is not None and now - said < period:
            return False
        self._said[text] = now
        return True
