"""Every page of the site: its code runs, its commands parse, and Sphinx builds it without a warning or a request."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import manymodes
from manymodes.apps.cli import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(file for file in DOCS.rglob("*.md") if file.parent.name not in ("gallery", "reference"))
FLOORS = sorted(file.stem for file in (DOCS / "reference").glob("*.md") if file.stem != "index")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LONG = ("serve", "explore", "study")  # commands that run on, or for long


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, text, and the line where the text begins."""

    language: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    found = FENCE.finditer(text)
    return [Block(match[1], match[2], text.count("\n", 0, match.start(2))) for match in found]


def commands_of(block: Block) -> list[list[str]]:
    """Return the words of each line ``$ manymodes ...``, without comments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [shlex.split(line[2:], comments=True)[1:] for line in lines if line.startswith("$ manymodes ")]


def run_python(block: Block, page: Path, namespace: dict) -> None:
    code = "\n" * block.line + block.text  # errors then name the line of the page
    exec(compile(code, str(page), "exec"), namespace)


def run_session(block: Block, page: Path, namespace: dict) -> None:
    test = doctest.DocTestParser().get_doctest(block.text, namespace, page.stem, str(page), block.line)
    report: list[str] = []
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed = doctest.DocTestRunner(optionflags=options).run(test, out=report.append, clear_globs=False).failed
    namespace.update(test.globs)
    assert not failed, "".join(report)


def run_commands(block: Block, page: Path, namespace: dict) -> None:
    for words in commands_of(block):
        if words[0] in LONG and "--help" not in words:
            words = [*words, "--show-config"]  # reads the options, and runs nothing
        if not words[0].startswith("--"):
            assert main(words) == 0, words


RUNNERS = {"python": run_python, "pycon": run_session, "console": run_commands}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks_of(page)], ids=lambda page: str(page.relative_to(DOCS).with_suffix(""))
)
def test_what_a_page_shows_runs_from_top_to_bottom(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "page"}
    for block in blocks_of(page):
        RUNNERS.get(block.language, lambda *_: None)(block, page, namespace)


def build(source: Path, output: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    """Run Sphinx in a process of its own: it changes what docutils knows for good."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", *settings, str(source), str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_site_builds_without_a_warning_and_has_all_it_should(tmp_path):  # one test, since one build is enough
    shutil.copytree(DOCS, tmp_path / "docs")  # the gallery writes pages beside the others
    settings = ["-D", "gallery_run=0", "-D", f"gallery_examples={ROOT / 'examples'}"]  # test_examples runs them
    done = build(tmp_path / "docs", tmp_path / "html", *settings)
    assert done.returncode == 0, done.stderr
    assert_nothing_is_loaded_from_elsewhere(tmp_path / "html")
    assert_formulas_are_mathml((tmp_path / "html" / "explanation" / "mixture-networks.html").read_text())
    assert_docstrings_are_read_as_meant(tmp_path / "html" / "reference")
    for floor in FLOORS:
        assert_every_public_name_is_told(floor, (tmp_path / "html" / "reference" / f"{floor}.html").read_text())


def assert_nothing_is_loaded_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    loads = re.compile(r"<(?:script|img|iframe|link|source)\b[^>]*?(?:src|href)=\"(?:https?:)?//[^\"]*\"")
    for page in pages:
        assert not loads.findall(page.read_text()), page
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text()), style


def assert_formulas_are_mathml(text):
    formulas = re.findall(r"<math.*?</math>", text, re.DOTALL)
    assert len(formulas) > 20
    assert not [formula for formula in formulas if "\\" in formula]


def assert_docstrings_are_read_as_meant(reference):
    assert "<strong>history_</strong>" in (reference / "estimators.html").read_text()
    assert "Scores, (N,). Not averaged: the caller decides." in (reference / "metrics.html").read_text()


def assert_every_public_name_is_told(floor, text):
    module = importlib.import_module(f"manymodes.{floor}")
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    names = getattr(module, "__all__", None) or [name for name in own if not name.startswith("_")]
    assert names
    assert [name for name in names if f'id="manymodes.{floor}.{name}"' not in text] == []


def test_every_floor_has_a_page_of_the_reference():
    assert set(manymodes._MODULES) <= set(FLOORS)


@pytest.fixture
def small_gallery(tmp_path):
    """A site of one example, which draws a line and prints a word."""
    (tmp_path / "examples").mkdir()
    script = '"""A line. Nothing else."""\n\nfrom matplotlib import pyplot as plt\n\nplt.plot([0, 1])\nprint("drawn")\n'
    (tmp_path / "examples" / "line.py").write_text(script)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(DOCS / '_extensions')!r})\n"
        "extensions = ['myst_parser', 'gallery', 'mathml']\nhtml_math_renderer = 'mathml'\n"
        "myst_enable_extensions = ['colon_fence', 'dollarmath']\n"
        f"gallery_examples = {str(tmp_path / 'examples')!r}\n"
    )
    (tmp_path / "docs" / "index.md").write_text("# Site\n\n```{toctree}\ngallery/index\n```\n")
    return tmp_path


def test_a_page_of_the_gallery_has_the_picture_the_code_and_what_it_prints(small_gallery):
    (small_gallery / "docs" / "gallery").mkdir()
    (small_gallery / "docs" / "gallery" / "gone.md").write_text("# Of a script that is gone")  # which nothing leads to
    done = build(small_gallery / "docs", small_gallery / "html")
    assert done.returncode == 0, done.stderr
    page = (small_gallery / "html" / "gallery" / "line.html").read_text()
    assert "<h1>A line. Nothing else" in page
    assert "drawn" in page
    assert "_images/line-0.png" in page
    assert (small_gallery / "html" / "_images" / "line-0.png").stat().st_size > 1000


def test_a_script_that_fails_is_an_error_of_the_build(small_gallery):
    (small_gallery / "examples" / "line.py").write_text('"""A line."""\n\n1 / 0\n')
    done = build(small_gallery / "docs", small_gallery / "html")
    assert done.returncode != 0
    assert "line.py must run to its end; got ZeroDivisionError: division by zero" in done.stderr


def test_a_formula_that_cannot_be_translated_is_a_warning(small_gallery):
    index = small_gallery / "docs" / "index.md"
    index.write_text(index.read_text() + "\n$\\nosuchcommand x$\n")
    done = build(small_gallery / "docs", small_gallery / "html", "-D", "gallery_run=0")
    assert done.returncode != 0
    assert r"MathML knows no \nosuchcommand" in done.stderr
