"""A model that its report has no room for is rounded beforehand, so that both are the same, unless that changes it."""

import copy

import numpy as np
import pytest
import torch

import manymodes as mm
from manymodes.apps import page_precision
from manymodes.apps.cli import main
from manymodes.apps.page_precision import round_as_pages_do
from manymodes.pages.living.weights import page_network

N = 60


def table():
    rng = np.random.default_rng(0)
    return {"a": rng.normal(size=N), "b": rng.normal(size=N)}


@pytest.fixture(scope="module")
def fitted():
    X = table()
    return mm.MDNRegressor(10, max_epochs=1, frequency=0.3, random_state=0).fit(X, X["a"] + X["b"] ** 2)


@pytest.fixture
def model(fitted):
    """A default model that a test may change."""
    return copy.copy(fitted)


def test_a_default_model_is_rounded_until_its_page_holds_it(model):
    exact, X = model.predict_distribution(table()), table()
    told = round_as_pages_do(model, X)
    network = page_network(model.network_)
    assert network.is_exact
    assert f"are rounded to {network.bits} bits, for which a report has room" in told
    y = exact.sample(generator=torch.Generator().manual_seed(1))
    change = (model.predict_distribution(X).log_prob(y) - exact.log_prob(y)).abs().mean()
    assert 0 < change <= page_precision.MOST_CHANGE


def test_a_model_that_is_rounded_already_stays_as_it_is(model):
    round_as_pages_do(model, table())
    before = model.predict_distribution(table())
    round_as_pages_do(model, table())
    assert torch.equal(model.predict_distribution(table()).logits, before.logits)


def test_a_model_whose_densities_would_change_stays_as_it_is(model, monkeypatch):
    monkeypatch.setattr(page_precision, "MOST_CHANGE", 0.0)
    network = model.network_
    assert round_as_pages_do(model, table()) is None
    assert model.network_ is network
    assert not page_network(network).is_exact


def test_a_small_model_stays_as_it_is():
    X = table()
    model = mm.MDNRegressor(2, preset="fast", max_epochs=1, random_state=0).fit(X, X["a"])
    network = model.network_
    assert round_as_pages_do(model, X) is None
    assert model.network_ is network


@pytest.mark.parametrize("exact", [False, True])
def test_fit_writes_a_model_that_its_report_holds(tmp_path, capsys, exact):
    X = table()
    lines = ["a,b,y", *(f"{a},{b},{a + b * b}" for a, b in zip(*X.values(), strict=True))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    options = ["--target", "y", "--output", str(tmp_path / "m"), "--max-epochs", "1", "--n-components", "10"]
    assert main(["fit", str(tmp_path / "t.csv"), *options, *(["--exact-weights"] if exact else [])]) == 0
    told, report = capsys.readouterr().out, (tmp_path / "m" / "report.html").read_text()
    assert ("rounded to" in " ".join(told.split())) is not exact
    assert ("holds the numbers of the network as they are in the model file" in report) is not exact
    assert ("To fit into the page, the numbers" in report) is exact
    assert page_network(mm.load(tmp_path / "m").network_).is_exact is not exact


def test_changes_that_are_no_numbers_leave_the_model_as_it_is(model, monkeypatch):
    network = model.network_
    broken = copy.deepcopy(network)
    with torch.no_grad():
        broken.head.linear.weight.fill_(0.0)
        broken.head.linear.bias.fill_(-1e300)
    monkeypatch.setattr(page_precision, "rounded_network", lambda *_: broken)
    assert round_as_pages_do(model, table()) is None
    assert model.network_ is network
