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
    code = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    exec(compile(code, "README.md", "exec"), namespace)
    assert namespace["history"].n_epochs > 0
    assert (tmp_path / "model.mm").is_file()
