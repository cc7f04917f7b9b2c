"""Registries of records by name: backends, network families, scale sources, outputs, subcommands.

Each is a small frozen record, registered beside its implementation. A registry imports the modules
of its folder when it is first used, so those modules must be cheap: what is heavy is imported by
the functions of the record, when they are called. Every list of names (choices, docs, benchmarks,
`doctor`, the orders of `auto`) enumerates a registry.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from depth_anything_ros.errors import SettingError


class Record(Protocol):
    """What every record has.

    Attributes:
        name: The word that selects it.
        rank: Its place in lists and in the order of `auto`; lower comes first.
    """

    @property
    def name(self) -> str:
        """The word that selects it."""
        ...

    @property
    def rank(self) -> int:
        """Its place in lists."""
        ...


RecordT = TypeVar("RecordT", bound=Record)


class Registry(Generic[RecordT]):
    """Records of one kind, in the order of their ranks."""

    def __init__(self, kind: str, package: str) -> None:
        """Prepare an empty registry.

        Args:
            kind: What the records are, for error messages ("backend").
            package: Dotted name of the package whose modules register them when imported.
        """
        self._kind = kind
        self._package = package
        self._records: dict[str, RecordT] = {}
        self._complete = False

    def register(self, record: RecordT) -> RecordT:
        """Add a record.

        Args:
            record: The record.

        Returns:
            The same record.

        Raises:
            ValueError: Another record has its name.
        """
        if self._records.get(record.name, record) != record:
            raise ValueError(f"there are two {self._kind}s named '{record.name}'")
        self._records[record.name] = record
        return record

    def remove(self, name: str) -> None:
        """Take a record out again (tests and plug-ins).

        Args:
            name: Its name.
        """
        self._records.pop(name, None)

    def __iter__(self) -> Iterator[RecordT]:
        """Every record, lowest rank first."""
        if not self._complete:
            self._complete = True
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__, f"{self._package}."):
                importlib.import_module(module.name)
        return iter(sorted(self._records.values(), key=lambda record: (record.rank, record.name)))

    def names(self) -> tuple[str, ...]:
        """Every name, lowest rank first."""
        return tuple(record.name for record in self)

    def get(self, name: str) -> RecordT:
        """The record of a name.

        Args:
            name: The word that selects it.

        Returns:
            The record.

        Raises:
            SettingError: No record has this name.
        """
        for record in self:
            if record.name == name:
                return record
        raise SettingError(f"{self._kind} is '{name}'; use one of {', '.join(self.names())}")
