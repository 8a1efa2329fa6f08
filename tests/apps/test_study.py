import json

import pytest

from manymodes.apps.cli import main
from manymodes.studies import STUDIES, catalogue
from manymodes.studies.catalogue import Entry


@pytest.fixture
def only_geyser(monkeypatch):
    """Leave the one study without data files, and one whose data are nowhere."""
    few = {"geyser": STUDIES["geyser"], "rain": Entry("rain", "Will it rain?", ("rain-innsbruck",))}
    monkeypatch.setattr(catalogue, "STUDIES", few)
    monkeypatch.setattr("manymodes.apps.study.STUDIES", few)


def refused(capsys, *tokens) -> str:
    capsys.readouterr()
    assert main(["study", *map(str, tokens)]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_all_studies_are_listed_with_what_they_ask(capsys):
    assert main(["study", "--list"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(name in shown for name in STUDIES)
    assert "Will the next eruption" in shown


def test_all_studies_are_listed_for_machines(capsys):
    assert main(["study", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == list(STUDIES)
    assert all(entry["question"] and entry["minutes"] > 0 for entry in listed)


def test_an_unknown_study_is_refused_with_the_nearest_name(capsys, tmp_path):
    sentence = refused(capsys, "geysir", "--output", tmp_path)
    assert sentence == "manymodes: there is no study 'geysir'; the nearest is 'geyser'."
    assert not list(tmp_path.iterdir())


def test_a_study_whose_data_are_not_there_says_how_to_get_them(capsys, tmp_path):
    sentence = refused(capsys, "rain", "--data", tmp_path, "--output", tmp_path / "out")
    assert "rain-innsbruck.npz" in sentence
    assert "sha256" in sentence
    assert not (tmp_path / "out").exists()


def test_of_all_studies_those_without_data_are_left_out_and_finished_ones_are_kept(only_geyser, capsys, tmp_path):
    asked = ("all", "--quick", "--data", tmp_path / "none", "--output", tmp_path)
    assert refused(capsys, *asked) == "manymodes: 1 study could not be run ('rain'), see above."
    record = (tmp_path / "geyser" / "results.json").read_text()
    assert json.loads(record)["study"] == "geyser"
    assert 'href="geyser/report.html"' in (tmp_path / "index.html").read_text()
    assert main(["study", *map(str, asked)]) == 2
    shown = capsys.readouterr()
    assert f"geyser: finished before, in {tmp_path / 'geyser'}" in shown.err.replace("\n", "")
    assert (tmp_path / "geyser" / "results.json").read_text() == record


def test_what_studies_found_is_told_as_json(only_geyser, capsys, tmp_path):
    asked = ["study", "geyser", "--quick", "--output", str(tmp_path), "--json", "--quiet"]
    assert main(asked) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == json.loads((tmp_path / "geyser" / "results.json").read_text())
    assert shown.err == ""
    assert main(["study", "all", *asked[2:], "--data", str(tmp_path / "none")]) == 2  # rain has no data
    assert [found["study"] for found in json.loads(capsys.readouterr().out)] == ["geyser"]


def test_an_interruption_says_that_the_same_command_goes_on(only_geyser, capsys, tmp_path, monkeypatch):
    def interrupted(*rest):
        raise KeyboardInterrupt

    monkeypatch.setattr("manymodes.studies.frame.comparison._judged", interrupted)
    assert main(["study", "geyser", "--quick", "--output", str(tmp_path)]) == 130
    assert capsys.readouterr().err == (
        f"manymodes: interrupted; what was measured so far is kept in {tmp_path / 'geyser'}, and the same command goes "
        "on from there.\n"
    )
