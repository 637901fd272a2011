"""What a task may take, and how it ended: all that those who hand out tasks know of carrying them out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .task_store import TaskRecord


@dataclass(frozen=True)
class ResourceGrant:
    """What one task may take of the machine that carries it out.

    Attributes:
        threads: that compute.
        loaders: decoding processes; a number that suits the cores for None.
        memory: GiB that probing a layer may take; half of what is free for None.
        precision: of forward passes, where the study leaves it open.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    threads: int = 1
    loaders: int | None = None
    memory: float | None = None
    precision: str = "auto"
    device: str = "auto"


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes:
        task: its id.
        task_record: what it left; None if it failed.
        error: in one line, fit for a user.
        trace: where in the code, for whoever mends it.
        node: the machine.
        seconds: that it took.
    """

    task: str
    task_record: TaskRecord | None
    error: str = ""
    trace: str = ""
    node: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Outcome":
        """The inverse of ``to_json``."""
        left = value["task_record"]
        task_record = (
            TaskRecord(**{**left, "cells": tuple(left["cells"]), "entries": tuple(left["entries"])}) if left else None
        )
        return cls(**{**value, "task_record": task_record})
