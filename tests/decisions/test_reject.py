"""The reject option on rows whose noise differs, and its limits on rows held out."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.decisions import fit_rejector, reject
from manymodes.distributions import DiagonalNormal, Mixture, entropy


def heteroscedastic(n: int = 4000, seed: int = 0, d: int = 1) -> tuple[Mixture, Tensor]:
    """Return right predictions of noise whose size differs from row to row, and targets."""
    rng = np.random.default_rng(seed)
    scale = torch.tensor(np.exp(rng.normal(size=(n, 1, d))))
    density = Mixture(Categorical(torch.ones(n, 1).double()), DiagonalNormal(torch.zeros_like(scale), scale))
    return density, density.sample(generator=torch.Generator().manual_seed(seed))


def absolute_error(density: Mixture, y: Tensor) -> Tensor:
    return (y - density.mean).abs().squeeze(-1)


def test_rejecting_more_lowers_the_error_monotonically():
    density, y = heteroscedastic()
    error = absolute_error(density, y)
    left = [float(error[~reject(density, share)].mean()) for share in np.arange(0, 1.0, 0.1)]
    assert (np.diff(left) < 0).all()
    assert left[5] < 0.5 * left[0]


def test_as_many_rows_are_rejected_as_were_asked_for():
    density, _ = heteroscedastic(101)
    for share in (0.0, 0.25, 0.5, 1.0):
        assert int(reject(density, share).sum()) == round(share * 101)
    assert int(reject(torch.zeros(10), 0.3).sum()) == 3  # also where all are alike
    assert reject(torch.zeros(0), 0.5).shape == (0,)


def test_the_uncertainty_may_be_any_function_of_the_prediction():
    density, _ = heteroscedastic(50, d=2)
    by_entropy = reject(density, 0.3, by=lambda d: entropy(d).value)
    volume = density.stddev.prod(-1)
    assert volume[by_entropy].min() > volume[~by_entropy].max()


def test_a_wanted_coverage_is_held_on_new_rows():
    density, y = heteroscedastic()
    rejector = fit_rejector(density, absolute_error(density, y), coverage=0.7)
    assert rejector.coverage == pytest.approx(0.7)
    new, _ = heteroscedastic(seed=1)
    share = float((~rejector.rejects(new)).double().mean())
    assert abs(share - 0.7) < 4.5 * math.sqrt(2 * 0.21 / 4000)  # both samples are random
    assert fit_rejector(density, coverage=1.0).rejects(density).sum() == 0


def test_a_wanted_error_is_held_on_new_rows():
    held = 0
    for seed in range(40):
        density, y = heteroscedastic(500, seed)
        rejector = fit_rejector(density, absolute_error(density, y), max_error=0.5, confidence=0.9)
        new, y_new = heteroscedastic(20_000, 100 + seed)
        held += float(absolute_error(new, y_new)[~rejector.rejects(new)].mean()) <= 0.5
        assert 0.3 < rejector.coverage < 0.8
    assert held >= 30  # 36 are expected; so few happen once in 300, did the best coverage not favour itself


def test_no_more_rows_are_rejected_than_the_error_asks_for():
    uncertainty = torch.linspace(0, 1, 1001).double()
    rejector = fit_rejector(uncertainty, uncertainty, max_error=0.25, confidence=0.5)
    assert rejector.coverage == pytest.approx(0.5, abs=2e-3)  # the mean of what is below 0.5 is 0.25
    assert fit_rejector(uncertainty, uncertainty, max_error=10.0).coverage == 1.0


def test_rows_that_are_as_uncertain_are_answered_together():
    uncertainty = torch.tensor([0.0] * 50 + [1.0] * 50)
    error = torch.cat([torch.zeros(60), torch.ones(40)])
    rejector = fit_rejector(uncertainty, error, coverage=0.6)
    assert rejector.coverage == 1.0
    assert fit_rejector(uncertainty, error, max_error=0.2).coverage == 0.5


def test_the_mean_error_and_its_standard_error_are_those_of_the_rows_answered():
    density, y = heteroscedastic(300)
    error = absolute_error(density, y)
    rejector = fit_rejector(density, error, coverage=0.5)
    answered = error[~rejector.rejects(density)]
    assert rejector.error == pytest.approx(float(answered.mean()))
    assert rejector.standard_error == pytest.approx(float(answered.std() / math.sqrt(150)))
    assert repr(rejector).startswith("Rejector(threshold=")


def test_what_cannot_be_decided_is_refused():
    density, y = heteroscedastic(100)
    error = absolute_error(density, y)
    with pytest.raises(InputError, match=r"^fit_rejector needs one of coverage and max_error; got neither\.$"):
        fit_rejector(density, error)
    with pytest.raises(InputError, match=r"^fit_rejector needs one of coverage and max_error; got both\.$"):
        fit_rejector(density, error, coverage=0.5, max_error=1.0)
    with pytest.raises(InputError, match=r"^error must be given for max_error; got None\.$"):
        fit_rejector(density, max_error=1.0)
    with pytest.raises(InputError, match=r"^predictions must hold at least 20 rows to fit a rejector; got 19\.$"):
        fit_rejector(density[:19], error[:19], coverage=0.5)
    with pytest.raises(
        InputError,
        match=r"^max_error must be at least \d\.\d+, the least that these rows vouch for at this "
        r"confidence; got 0\.001\.$",
    ):
        fit_rejector(density, error, max_error=0.001)
    with pytest.raises(
        InputError, match=r"^predictions and error must have the same number of rows; got 100 and 99\.$"
    ):
        fit_rejector(density, error[:99], coverage=0.5)
    with pytest.raises(InputError, match=r"^error must hold finite numbers; got inf in row 3\.$"):
        fit_rejector(density, error.index_fill(0, torch.tensor([2]), math.inf), coverage=0.5)
    with pytest.raises(InputError, match=r"^predictions must not hold NaN; got one in row 2\.$"):
        reject(torch.tensor([1.0, math.nan]), 0.5)
    with pytest.raises(TypeError, match=r"^predictions must be a Prediction or a Tensor of uncertainties; got list\.$"):
        reject([1.0, 2.0], 0.5)
    with pytest.raises(
        InputError, match=r"^what by returns must have shape \(100,\) with one number for each row; got \(100, 1\)\.$"
    ):
        reject(density, 0.5, by=lambda d: d.stddev)
    with pytest.raises(
        InputError,
        match=r"^by must say what makes a row of 2 targets uncertain, say by=lambda d: "
        r"entropy\(d\)\.value; got None\.$",
    ):
        reject(heteroscedastic(5, d=2)[0], 0.5)
    with pytest.raises(InputError, match=r"^share must be a number >= 0 and <= 1; got 1\.5\.$"):
        reject(density, 1.5)
