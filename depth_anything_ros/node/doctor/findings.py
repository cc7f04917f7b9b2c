"""Findings about a running system."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    """How bad a finding is."""

    PROBLEM = "problem"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        level: Whether something cannot come, or comes worse than it could.
        sentence: What is wrong, with names and numbers.
        remedy: What to do.
    """

    level: Level
    sentence: str
    remedy: str


def problem(sentence: str, remedy: str) -> Finding:
    """A finding that keeps depth from coming."""
    return Finding(Level.PROBLEM, sentence, remedy)


def warning(sentence: str, remedy: str) -> Finding:
    """A finding that makes depth late, slow or worse."""
    return Finding(Level.WARNING, sentence, remedy)
