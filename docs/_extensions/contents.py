"""Every module of the reference tells its public names in a table, with links, below its own docstring."""

import importlib

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.ext.autosummary import Autosummary


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive that makes the table, and add it to the docstrings of modules."""
    app.setup_extension("sphinx.ext.autosummary")
    app.add_directive("contents-of", ContentsOf)
    app.connect("autodoc-process-docstring", add_contents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add_contents(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Add the table of a module's names to its docstring."""
    if what == "module":
        lines += ["", f".. contents-of:: {name}", ""]


class ContentsOf(Autosummary):
    """Sphinx's table of names, filled from ``__all__``, or from what a module defines where it has none."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        self.options["nosignatures"] = None
        self.content = StringList(public_names(self.arguments[0]), self.get_source_info()[0])
        return super().run()


def public_names(home: str) -> list[str]:
    """Return the public names of a module that have docstrings of their own."""
    module = importlib.import_module(home)
    found = getattr(module, "__all__", None)
    if found is None:
        found = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == home]
    return [name for name in found if not name.startswith("_") and callable(getattr(module, name))]
