"""The gallery: every script of a folder is run, and becomes a page with its words, its code, what it says and draws.

A script opens with a docstring whose first line is the title of its page. It draws with matplotlib and leaves its
figures open; it prints what it found. A script that fails is an error of the build.
"""

import ast
import contextlib
import io
import runpy
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the settings, and write the pages before Sphinx looks for pages."""
    app.add_config_value("gallery_examples", None, "env")
    app.add_config_value("gallery_run", True, "env", types=[bool, str])
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


@dataclass(frozen=True)
class Example:
    """A script, taken apart.

    Attributes:
        file: The script.
        title: First line of its docstring.
        text: The rest of the docstring.
        code: What follows the docstring.
    """

    file: Path
    title: str
    text: str
    code: str

    @classmethod
    def read(cls, file: Path) -> "Example":
        """Return the script's parts.

        Raises:
            ExtensionError: A script without a docstring.
        """
        source = file.read_text()
        tree = ast.parse(source)
        words = ast.get_docstring(tree)
        if words is None:
            raise ExtensionError(f"{file.name} must open with a docstring; got none.")
        title, _, text = words.partition("\n")
        code = "\n".join(source.splitlines()[tree.body[0].end_lineno :])
        return cls(file, title.rstrip("."), text.strip(), code.strip("\n"))

    @property
    def name(self) -> str:
        """A short name: the file's, in words."""
        return self.file.stem.replace("_", " ").capitalize()

    def card(self, folder: Path | None) -> str:
        """Return the example's title, which leads to its page, with its first picture where there is one."""
        first = f"{self.file.stem}-0.png"
        shown = folder is not None and (folder / first).is_file()
        picture = f"[![{self.name}]({first})]({self.file.stem}.md)\n\n" if shown else ""
        return f"::::{{container}} card\n{picture}[{self.title}]({self.file.stem}.md)\n::::"

    def run(self, folder: Path) -> str:
        """Run the script, write its figures as ``<name>-0.png`` and so on, and return what it printed."""
        mpl.use("Agg")
        from matplotlib import pyplot as plt

        said = io.StringIO()
        with mpl.rc_context({"figure.dpi": 110, "figure.constrained_layout.use": True}):
            try:
                with contextlib.redirect_stdout(said):
                    runpy.run_path(str(self.file))
                for place, number in enumerate(plt.get_fignums()):
                    plt.figure(number).savefig(folder / f"{self.file.stem}-{place}.png")
            finally:
                plt.close("all")
        return said.getvalue()

    def page(self, said: str | None, pictures: list[str]) -> str:
        """Return the page in MyST's Markdown."""
        shown = [f"![Picture made by the script: {self.title}]({name})" for name in pictures]
        parts = [f"# {self.title}", self.text, *shown, f"```python\n{self.code}\n```"]
        if said is not None:
            parts += ["It prints:", f"```text\n{said.rstrip()}\n```"]
        return "\n\n".join([*parts, f"The script is `examples/{self.file.name}`."]) + "\n"


def write_pages(app: Sphinx) -> None:
    """Run all examples, unless ``gallery_run`` is off, and write a page for each and one that leads to them."""
    folder = Path(app.srcdir) / "gallery"
    folder.mkdir(exist_ok=True)
    runs = str(app.config.gallery_run) not in ("0", "False")
    examples = [Example.read(file) for file in sorted(Path(app.config.gallery_examples).glob("*.py"))]
    _forget({example.file.stem for example in examples} | {"index"}, folder)
    for example in examples:
        said = _run(example, folder) if runs else None
        pictures = sorted(file.name for file in folder.glob(f"{example.file.stem}-*.png")) if runs else []
        _write(folder / f"{example.file.stem}.md", example.page(said, pictures))
    _write(folder / "index.md", _index(examples, folder if runs else None))


def _forget(stems: set[str], folder: Path) -> None:
    """Remove the pages of scripts that are gone, which nothing would lead to."""
    for page in folder.glob("*.md"):
        if page.stem not in stems:
            page.unlink()


def _run(example: Example, folder: Path) -> str:
    try:
        return example.run(folder)
    except Exception as error:
        raise ExtensionError(f"{example.file.name} must run to its end; got {type(error).__name__}: {error}") from error


def _index(examples: list[Example], folder: Path | None) -> str:
    """Return the page that leads to all others: a card for each, and their short names in the menu."""
    names = "\n".join(f"{example.name} <{example.file.stem}>" for example in examples)
    cards = "\n".join(example.card(folder) for example in examples)
    return (
        "# Gallery\n\nShort scripts from the folder `examples/`, with what they draw and print. "
        f"Each runs in seconds on one core.\n\n:::::{{container}} gallery\n{cards}\n:::::\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n:hidden:\n\n{names}\n```\n"
    )


def _write(file: Path, text: str) -> None:
    """Write a page only if it changed, so that Sphinx need not read it again."""
    if not file.is_file() or file.read_text() != text:
        file.write_text(text)
