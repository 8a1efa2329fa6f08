import runpy
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def gallery():
    """The extension of the documentation that runs examples and keeps their pictures."""
    return runpy.run_path(str(EXAMPLES[0].parents[1] / "docs" / "_extensions" / "gallery.py"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_runs_says_something_and_draws_a_picture(file, gallery, tmp_path):
    said = gallery["Example"].read(file).run(tmp_path)
    assert said.strip()
    pixels = plt.imread(tmp_path / f"{file.stem}-0.png")[..., :3]
    assert (pixels < 0.9).any(-1).mean() > 0.01  # more than an empty frame


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    text = (EXAMPLES[0].parents[1] / "README.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    assert len(blocks) == 8
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    for code in blocks:  # each goes on where the one before ended
        exec(compile(code, "README.md", "exec"), namespace)
    assert namespace["history"].n_epochs > 0
    assert (tmp_path / "model.mm").is_file()
    assert (namespace["found"].error[:, 0] < 1e-6).all()
    assert namespace["paths"].shape == (200, 24, 1)
    assert namespace["planner"].model is namespace["dynamics"]
