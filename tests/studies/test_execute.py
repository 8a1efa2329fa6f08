import json
import sys
import types

import numpy as np
import pytest

from manymodes import _checks, studies
from manymodes.studies import catalogue
from manymodes.studies.catalogue import Entry
from manymodes.studies.execute import is_finished
from manymodes.studies.frame.result import Figure, Result, Section


@pytest.fixture
def tiny(monkeypatch):
    """Add a study without models; return the list of its computed steps."""
    computed, broken = [], []

    def study(work):
        for key in ("first", "second"):

            def compute(key=key):
                if key in broken:
                    raise KeyboardInterrupt
                computed.append(key)
                return {"value": float(len(key)), "array": np.ones(3)}

            work.step(key, compute)
        figure = Figure("dots", "Look <here>.", '<svg xmlns="http://www.w3.org/2000/svg"/>')
        return Result("Tiny & small", ["A problem."], ["So it is."], [Section("Seen", ["Words.", figure])])

    module = types.ModuleType("manymodes.studies.tiny")
    module.study = study
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(catalogue, "STUDIES", {"tiny": Entry("tiny", "Is it small?")})
    return computed, broken


def test_a_study_writes_results_a_page_and_figures(tiny, tmp_path):
    studies.run("tiny", output=tmp_path, random_state=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures", "report.html", "results.json"]
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["settings"] == {"quick": False, "random_state": 4}
    assert record["measured"] == {"first": {"value": 5.0}, "second": {"value": 6.0}}
    page = (tmp_path / "report.html").read_text()
    assert "Tiny &amp; small" in page
    assert "Look &lt;here&gt;." in page
    assert "manymodes study tiny --random-state 4" in page
    assert (tmp_path / "figures" / "dots.svg").read_text().startswith("<svg")


def test_without_a_folder_nothing_is_written(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert studies.run("tiny").title == "Tiny & small"
    assert not list(tmp_path.iterdir())


def test_an_interrupted_study_goes_on_where_it_was(tiny, tmp_path):
    computed, broken = tiny
    broken.append("second")
    with pytest.raises(KeyboardInterrupt):
        studies.run("tiny", output=tmp_path)
    assert not (tmp_path / "results.json").exists()
    broken.clear()
    studies.run("tiny", output=tmp_path)
    assert computed == ["first", "second"]
    assert not (tmp_path / "steps").exists()


def test_a_quick_look_takes_no_steps_of_the_full_study(tiny, tmp_path):
    computed, broken = tiny
    broken.append("second")
    with pytest.raises(KeyboardInterrupt):
        studies.run("tiny", output=tmp_path)
    broken.clear()
    studies.run("tiny", output=tmp_path, quick=True)
    assert computed == ["first", "first", "second"]


def test_a_finished_study_is_not_replaced_unasked(tiny, tmp_path):
    studies.run("tiny", output=tmp_path)
    with pytest.raises(_checks.InputError) as refusal:
        studies.run("tiny", output=tmp_path)
    assert str(refusal.value) == (
        f"{str(tmp_path)!r} holds a finished study; name another folder, or ask to overwrite it."
    )
    studies.run("tiny", output=tmp_path, overwrite=True)


def test_steps_are_kept_on_request(tiny, tmp_path):
    studies.run("tiny", output=tmp_path, keep_steps=True)
    studies.run("tiny", output=tmp_path, overwrite=True)
    assert tiny[0] == ["first", "second"]


def test_a_finished_study_is_known_by_its_settings(tiny, tmp_path):
    studies.run("tiny", output=tmp_path, quick=True)
    assert is_finished(tmp_path, quick=True, random_state=0)
    assert not is_finished(tmp_path, quick=False, random_state=0)
    (tmp_path / "results.json").write_text("{")
    assert not is_finished(tmp_path, quick=True, random_state=0)
