import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_runs(file, capsys):
    runpy.run_path(str(file))
    assert capsys.readouterr().out


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
