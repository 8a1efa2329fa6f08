import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.studies import sinusoid
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import Comparison, Problem, scores
from manymodes.studies.frame.work import Work
from manymodes.studies.sinusoid import effects as sinusoid_effects
from manymodes.studies.sinusoid.rows import BISHOP, HARD, NOISY, Wave, answers, curve, exact_score, forward, inverse

WORK = Work("sinusoid", quick=True)


def compared(**records):
    return Comparison(Problem("p", lambda seed: None, {}), records)


def always(place, n):
    loc = torch.full((n, 1, 1), place, dtype=torch.float64)
    return Mixture(Categorical(logits=torch.zeros(n, 1, dtype=torch.float64)), DiagonalNormal(loc, 0.1 + 0 * loc))


# --- rows ---


def test_rows_are_the_same_in_both_directions():
    there, back = forward(WORK, BISHOP, 0), inverse(WORK, BISHOP, 0)
    np.testing.assert_array_equal(there.X[:, 0], back.y)
    np.testing.assert_array_equal(there.y, back.X[:, 0])


def test_forward_noise_stays_on_x():
    part = forward(WORK, BISHOP, 0)
    error = part.y - (part.X[:, 0] + 0.3 * np.sin(2 * np.pi * part.X[:, 0]))
    assert 0.09 < np.abs(error).max() <= 0.1


@pytest.mark.parametrize(("wave", "x", "count"), [(BISHOP, 0.5, 3), (BISHOP, 0.05, 1), (HARD, 0.5, 5), (NOISY, 0.5, 3)])
def test_every_stretch_of_the_curve_at_x_is_an_answer(wave, x, count):
    if wave is NOISY:  # so wide that the middle answer lies on the slope of its neighbours
        wave = wave._replace(noise=0.03)
    (found,) = answers(wave, np.array([[x]]))
    t = found[~np.isnan(found)]
    assert len(t) == count
    np.testing.assert_allclose(t + wave.amplitude * np.sin(2 * np.pi * wave.turns * t), x, atol=1e-6)


def test_beside_the_bend_its_tip_is_an_answer_though_the_curve_does_not_reach_x():
    across, up = curve(BISHOP)
    tip = across[up < 0.5].max()
    (found,) = answers(BISHOP, np.array([[tip + 0.02]]))
    assert np.nanmin(np.abs(found - 0.34)) < 0.02


def test_uniform_and_normal_noise_of_the_same_spread_have_the_same_answers():
    X = np.linspace(0.1, 0.9, 9)[:, None]
    same = Wave(noise=0.1 / math.sqrt(3), family="normal")
    np.testing.assert_array_equal(answers(BISHOP, X), answers(same, X))


def test_the_peers_rows_are_those_of_the_benchmark():
    part = sinusoid_effects._peers_rows(3)
    rng = np.random.default_rng(3)
    y = rng.random(500)
    np.testing.assert_array_equal(part.y, y)
    np.testing.assert_allclose(part.X[:, 0], y + 0.3 * np.sin(2 * np.pi * y) + rng.uniform(-0.05, 0.05, 500))


# --- the exact density, and what is impossible ---


def test_the_exact_density_loses_nothing():
    part = inverse(WORK, BISHOP, 0)
    model = sinusoid.Exact(part.density).fit(part.X, part.y)
    found = scores(Problem("p", None, {}, mode_rows=0), model.predict_distribution(part.X_test), part)
    assert found["regret"] == 0.0
    assert found["log_score"] == pytest.approx(1.2824, abs=0.15)  # 200 rows
    assert exact_score(compared(exact=[found]), "exact").mean == pytest.approx(found["log_score"])


def test_an_answer_is_impossible_where_the_exact_density_is_zero():
    part = inverse(WORK, BISHOP, 0)

    class Half:
        def predict_distribution(self, X):
            return always(0.5, len(X))

    found = sinusoid._look(WORK, Half(), always(0.5, 200), part)
    far = np.abs(part.X_test[:20, 0] - 0.5) > 0.1  # f(0.5) = 0.5
    assert found["impossible_mean"] == found["impossible_mode"] == pytest.approx(far.mean())


def test_the_exact_density_stands_aside_when_the_best_answers_are_marked():
    answers = {"impossible_mean": 0.0, "impossible_mode": 0.0, "recall": 1.0, "precision": 1.0}
    worse = {"impossible_mean": 0.3, "impossible_mode": 0.1, "recall": 0.9, "precision": 0.8}
    table = sinusoid._answers_table(compared(**{"some model": [worse], sinusoid.EXACT: [answers]}))
    assert table.marked() == [{1, 2, 3, 4}, set()]


# --- what to conclude ---


def test_what_is_known_of_the_usual_noise_is_not_measured_again(monkeypatch):
    usual, other = [{"regret": 0.17}], [{"regret": 0.05}]
    tried = []

    def measured(work, name, *settings):
        tried.append(name)
        return compared(**{models.MDN: other})

    monkeypatch.setattr(sinusoid_effects, "_measured", measured)
    found = sinusoid_effects._by_noise(Work("sinusoid"), usual)
    assert found.records[BISHOP.label] is usual
    assert tried == [label for label in found.records if label != BISHOP.label]
    assert len(tried) == 9


@pytest.mark.parametrize(("error", "words"), [(0.0034, "is all it takes"), (0.0050, "leaves something to be learned")])
def test_forward_a_plain_network_is_enough_only_where_it_is(error, words):
    found = compared(**{models.LEAST_SQUARES: [{"mse_mean": error}], sinusoid.EXACT: [{"mse_mean": 0.0033}]})
    assert words in sinusoid._forward_words(found)


@pytest.mark.parametrize(("precision", "told"), [(0.7, True), (0.9, False)])
def test_ripples_are_told_of_only_where_more_components_have_them(precision, told):
    rows = {
        sinusoid.DEFAULT: [{"recall": 0.9, "precision": precision}],
        sinusoid.THREE: [{"recall": 0.9, "precision": 0.95}],
    }
    assert ("ripple" in sinusoid._mode_words(compared(**rows))) == told


def test_enough_components_are_the_fewest_that_are_near_the_best():
    losses = {"1": 0.9, "3": 0.22, "5": 0.2, "10": 0.24}
    found = compared(**{count: [{"regret": loss}] for count, loss in losses.items()})
    assert sinusoid_effects._enough(found) == "3"


def test_the_noise_that_is_harder_is_told_by_its_losses():
    found = compared(
        **{"uniform ± 0.1 on x": [{"regret": 0.1}], "uniform ± 0.2 on x": [{"regret": 0.2}]},
        **{"normal of 0.1 on x": [{"regret": 0.04}]},
    )
    words = sinusoid_effects._noise_words(found)
    assert "loses 0.10 to 0.20 nats" in words
    assert words.endswith("under normal noise it loses 0.04.")


def test_of_the_peers_the_best_is_named():
    words = sinusoid_effects._peer_words(compared(**{models.MDN: [{"log_score": 1.6, "regret": 0.25}]}))
    assert "has a log-likelihood of 1.6; the best other package, cde, has 1.611, the exact density 1.85" in words
