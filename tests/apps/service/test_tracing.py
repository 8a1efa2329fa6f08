"""Forward passes that are written out return what the network returns, bit for bit."""

import numpy as np
import pytest
import torch

import manymodes as mm
from manymodes._checks import InputError
from manymodes.apps.service import models as service_models
from manymodes.apps.service.models import find_models
from manymodes.apps.service.tracing import TracedDensity, traced
from manymodes.distributions.together import parameters
from manymodes.estimators.predictions import checked

from .conftest import TINY
from .rows import N, json_rows, python_rows

MODELS = ("prices", "two", "zeros", "counts", "angles", "gaps")
N_TRACED = 8


def numbers(mixture):
    return [mixture.logits, mixture.mixture_distribution.logits, *parameters(mixture)]


def assert_same(found, expected):
    for one, other in zip(numbers(found), numbers(expected), strict=True):
        assert torch.equal(one, other)
        assert one.stride() == other.stride()
    assert type(found.components) is type(expected.components)
    assert found._validate_args


def encoded(served):
    """All rows of a model as its network takes them, (N, E)."""
    names = [feature.name for feature in served.features]
    return served.regressor._open(python_rows(names, N), 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_density_that_is_written_out_is_the_network_s_own(models, name):
    served = models[name]
    density, rows = served.regressor._density, encoded(served)
    written_out = TracedDensity(density, rows[:N_TRACED])
    for first in range(0, N - N_TRACED + 1, N_TRACED):
        x = rows[first : first + N_TRACED]
        assert_same(written_out(x), checked(density(x)))


@pytest.mark.parametrize("n_rows", [1, 7, 16])
def test_other_numbers_of_rows_go_the_usual_way(models, n_rows):
    served = models["prices"]
    density, rows = served.regressor._density, encoded(served)
    assert_same(TracedDensity(density, rows[:N_TRACED])(rows[:n_rows]), checked(density(rows[:n_rows])))


@pytest.mark.parametrize("name", [*MODELS, "corrected"])
@pytest.mark.parametrize("n_rows", [1, 5, 8])
def test_a_few_rows_have_the_densities_of_python(models, name, n_rows):
    served = models[name]
    names = [feature.name for feature in served.features]
    values = [[feature.read(row[feature.name], 0) for row in json_rows(names, n_rows)] for feature in served.features]
    found, expected = (
        density.base if name == "corrected" else density
        for density in (served.density(values), served.model.predict_distribution(python_rows(names, N_TRACED)))
    )
    for one, other in zip(numbers(found), numbers(expected), strict=True):
        assert torch.equal(one[:n_rows], other[:n_rows])


def test_networks_that_remember_rows_can_be_written_out(tmp_path):
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=40), "b": rng.choice(["u", "v"], 40)}
    mm.MDNRegressor(**TINY, retrieval=True).fit(X, X["a"] ** 2).save(tmp_path / "near.mm")
    served = find_models(tmp_path)["near"]
    rows = served.regressor._open(X, 0).all()
    written_out = TracedDensity(served.regressor._density, rows[:N_TRACED])
    for first in range(0, 40, N_TRACED):
        x = rows[first : first + N_TRACED]
        assert_same(written_out(x), checked(served.regressor._density(x)))


def test_an_earlier_answer_stays_when_the_next_one_is_made(models):
    served = models["prices"]
    rows = encoded(served)
    written_out = TracedDensity(served.regressor._density, rows[:N_TRACED])
    first = written_out(rows[:N_TRACED])
    before = [value.clone() for value in numbers(first)]
    written_out(rows[N_TRACED : 2 * N_TRACED])
    assert all(torch.equal(*pair) for pair in zip(numbers(first), before, strict=True))


def test_a_row_that_is_too_extreme_is_named(models):
    served = models["two"]
    x = encoded(served)[:N_TRACED].clone()
    written_out = TracedDensity(served.regressor._density, x)
    x[3, 0] = torch.inf
    with pytest.raises(InputError) as error:
        written_out(x)
    assert str(error.value) == "X must stay near the training data; row 4 is too extreme for the network."


# --- functions in general ---


def test_what_does_not_depend_on_the_input_is_worked_out_once():
    calls = []

    def constant():
        calls.append(1)
        return torch.arange(3.0).exp()

    function = traced(lambda x: [x + constant(), constant()], torch.zeros(3))
    x = torch.tensor([1.0, 2.0, 3.0])
    for _ in range(2):
        found = function(x)
        assert torch.equal(found[0], x + torch.arange(3.0).exp())
        assert torch.equal(found[1], torch.arange(3.0).exp())
    assert len(calls) == 2


def test_what_is_written_in_place_is_written_each_time():
    def function(x):
        y = x * 2
        y[:, 1] = x[:, 0].clamp_min(0.0)
        first, second = y.unbind(-1)
        return [y, first + second, y[:, [1, 0]]]

    written_out = traced(function, torch.zeros(2, 2))
    for x in torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(0)):
        for one, other in zip(written_out(x), function(x), strict=True):
            assert torch.equal(one, other)


def constant_that_changes(x):
    constant = torch.zeros(3)
    first = x + constant
    constant.add_(1)
    return [first, x + constant]


def constant_whose_view_changes(x):
    constant = torch.zeros(3)
    first = x + constant
    constant[1:].fill_(1.0)
    return [first, x + constant]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: [x + 1 if x.sum() > 0 else x],
        lambda x: [x[x > 0]],
        lambda x: [x.nonzero()],
        lambda x: [x * x.max().item()],
        lambda x: [torch.rand_like(x)],
        lambda x: [x + torch.rand(3)],
        lambda x: [torch.linalg.inv(torch.diag(x + 1))],
        lambda x: [torch.zeros(3).copy_(x)],
        lambda x: [torch.add(x, 1, out=torch.zeros(3))],
        constant_that_changes,
        constant_whose_view_changes,
    ],
    ids=["branch", "mask", "places", "number", "random", "noise", "inverse", "write", "out", "constant", "view"],
)
def test_what_depends_on_values_cannot_be_written_out(function):
    with pytest.raises(RuntimeError, match="cannot be written out: "):
        traced(function, torch.arange(3.0))


def test_a_density_that_python_reads_values_for_is_refused(models):
    served = models["two"]

    def density(x):
        return served.regressor._density(x + torch.tensor(x.tolist()))

    with pytest.raises(RuntimeError, match="cannot be written out: other rows have other numbers then"):
        TracedDensity(density, encoded(served)[:N_TRACED])


def test_a_network_that_cannot_be_written_out_is_served_all_the_same(folder, monkeypatch):
    def refuse(*_):
        raise RuntimeError

    monkeypatch.setattr(service_models, "TracedDensity", refuse)
    served = find_models(folder / "two.mm")["two"]
    names = [feature.name for feature in served.features]
    values = [[row[name] for row in json_rows(names, N_TRACED)] for name in names]
    assert_same(served.density(values), served.model.predict_distribution(python_rows(names, N_TRACED)))
