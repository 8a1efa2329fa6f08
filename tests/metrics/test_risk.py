"""The risk-coverage curve."""

import numpy as np
import pytest
import torch

from manymodes._checks import InputError
from manymodes.decisions import reject
from manymodes.metrics.risk import risk_coverage


def test_the_risk_is_the_mean_error_of_the_most_certain_rows():
    generator = np.random.default_rng(0)
    error, uncertainty = generator.random(50), generator.random(50)
    curve = risk_coverage(error, uncertainty)
    order = np.argsort(uncertainty)
    for k in (1, 7, 50):
        assert curve.coverage[k - 1] == pytest.approx(k / 50)
        assert curve.risk[k - 1] == pytest.approx(error[order[:k]].mean())
        assert curve.oracle[k - 1] == pytest.approx(np.sort(error)[:k].mean())
    assert curve.area == pytest.approx(curve.risk.mean().item())
    assert curve.random_area == pytest.approx(error.mean())
    assert curve.at(0.14) == pytest.approx(curve.risk[6].item())
    assert curve.at(1.0) == pytest.approx(error.mean())
    assert curve.at(1e-9) == pytest.approx(curve.risk[0].item())


def test_the_best_order_gains_everything_and_no_other_does():
    error = torch.rand(200, generator=torch.Generator().manual_seed(1))
    best = risk_coverage(error, error)
    assert torch.equal(best.risk, best.oracle)
    assert best.gain == pytest.approx(1.0)
    assert risk_coverage(error, -error).gain < 0
    assert (best.oracle.diff() >= -1e-12).all()


def test_a_random_order_gains_nothing_on_average():
    # 300 orders: the mean gain is within 4 of its standard errors.
    generator = np.random.default_rng(2)
    error = generator.random(100)
    gains = np.array([risk_coverage(error, generator.random(100)).gain for _ in range(300)])
    assert abs(gains.mean()) < 4 * gains.std() / 300**0.5


def test_rows_that_are_equally_uncertain_count_as_their_mean_whatever_their_order():
    error = np.array([1.0, 5.0, 3.0, 9.0])
    curve = risk_coverage(error, [0.0, 1.0, 1.0, 2.0])
    assert curve.risk.tolist() == pytest.approx([1.0, 2.5, 3.0, 4.5])
    alike = risk_coverage(error, np.zeros(4))
    assert alike.risk.tolist() == pytest.approx([4.5] * 4)
    assert alike.gain == 0.0


def test_equal_errors_leave_nothing_to_gain():
    assert np.isnan(risk_coverage([2.0, 2.0], [0.1, 0.2]).gain)
    assert risk_coverage([3.0], [0.5]).area == 3.0


def test_a_million_rows_take_less_than_a_few_seconds_and_columns_are_rows():
    error = torch.rand(1_000_000, 1)
    assert len(risk_coverage(error, error.squeeze(-1)).risk) == 1_000_000


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"^error and uncertainty must have the same number of rows; got 2 and 3\.$"):
        risk_coverage([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(InputError, match=r"^error must have at least 1 row; got none\.$"):
        risk_coverage([], [])
    with pytest.raises(InputError, match=r"^uncertainty must hold finite numbers; got nan in row 2\.$"):
        risk_coverage([1.0, 2.0], [1.0, float("nan")])
    with pytest.raises(
        InputError, match=r"^error must have shape \(N,\) with one number for each row; got \(2, 2\)\.$"
    ):
        risk_coverage([[1.0, 2.0]] * 2, [1.0, 2.0])
    with pytest.raises(InputError, match=r"^coverage must be a number > 0 and <= 1; got 0\.0\.$"):
        risk_coverage([1.0], [1.0]).at(0.0)


def test_the_rows_answered_are_those_that_are_not_left_to_a_person():
    generator = torch.Generator().manual_seed(5)
    for n_rows in (7, 10, 33):
        uncertainty, error = torch.rand(2, n_rows, generator=generator, dtype=torch.float64)
        curve = risk_coverage(error, uncertainty)
        for share in (0.05, 0.1, 0.25, 0.5):
            answered = ~reject(uncertainty, share)
            assert curve.at(1 - share) == pytest.approx(error[answered].mean().item())


def test_a_curve_is_a_table():
    frame = risk_coverage([1.0, 2.0, 4.0], [0.1, 0.3, 0.2]).to_frame()
    assert list(frame.columns) == ["coverage", "risk", "oracle"]
    assert frame["risk"].tolist() == pytest.approx([1.0, 2.5, 7 / 3])
