"""Published experiments, one module each: run them, look at their pages, compare with what was published.

Every study has one function, ``study(work) -> Result``, in a module of its name; ``run`` runs it into a folder. All
stand on ``frame``: they compare the same models by the same scores and report in one format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from manymodes.studies.catalogue import STUDIES, Entry

if TYPE_CHECKING:
    from manymodes.studies.execute import run
    from manymodes.studies.frame.result import Figure, Measured, Result, Section, Table
    from manymodes.studies.frame.work import Work

__all__ = ["STUDIES", "Entry", "Figure", "Measured", "Result", "Section", "Table", "Work", "run"]

_HOMES = {"run": "execute", "Work": "frame.work"}


def __getattr__(name: str) -> object:  # torch is not needed to know which studies there are
    import importlib

    if name in __all__:
        return getattr(importlib.import_module(f"manymodes.studies.{_HOMES.get(name, 'frame.result')}"), name)
    raise AttributeError(f"module 'manymodes.studies' has no attribute {name!r}")
