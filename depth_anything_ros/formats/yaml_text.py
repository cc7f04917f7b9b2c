"""YAML that somebody else wrote: values only, of limited depth and size."""

from __future__ import annotations

from typing import Any

import yaml

MOST_DEEP = 50
"""Lists and mappings inside each other."""

MOST_REPEATED = 100_000
"""Values that aliases repeat; ten levels of ten aliases would make 10^10 of a few lines."""


def load_yaml(text: str) -> Any:
    """Parse YAML that is not trusted.

    Args:
        text: One document.

    Returns:
        Its value: mappings, lists, texts, numbers, dates.

    Raises:
        ValueError: It is no YAML, asks for objects, or goes beyond the limits; the text is one
            line.
    """
    try:
        return _BoundedLoader(text).get_single_data()
    except (
        Exception
    ) as error:  # its constructors raise KeyError, AttributeError, ... besides its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(reason) from error


class _BoundedLoader(yaml.SafeLoader):
    """Refuses nodes that lie too deep or repeat too much."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0  # repeated ones included
        self._repeated = 0
        self._sizes: dict[str, int] = {}  # nodes below an anchor

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """See yaml.composer.Composer."""
        event = self.peek_event()
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            size = self._sizes.get(anchor or "", 1)
            self._nodes += size
            self._repeated += size
            if self._repeated > MOST_REPEATED:
                raise ValueError(f"its aliases repeat more than {MOST_REPEATED} values")
            return super().compose_node(parent, index)
        if self._depth == MOST_DEEP:
            raise ValueError(f"it is nested more than {MOST_DEEP} deep")
        self._depth += 1
        before = self._nodes
        self._nodes += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if anchor is not None:
            self._sizes[anchor] = self._nodes - before
        return node
