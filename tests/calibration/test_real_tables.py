"""Recalibration and conformal sets on real tables that are bimodal: Old Faithful and a motorway lane."""

import math

import numpy as np
import pytest
import torch

import manymodes as mm
from manymodes import metrics
from manymodes.calibration import fit_conformal, fit_recalibration

N_SPLITS = 10


@pytest.fixture(scope="module", params=[("geyser", "duration_min"), ("speedflow-lane2", "speed_mph")])
def held_out(request, shared_table):
    """Return predictions and targets of rows that a model has not seen."""
    name, target = request.param
    table = shared_table(name)
    y = table.pop(target)
    X = np.column_stack(list(table.values()))
    order = np.random.default_rng(0).permutation(len(X))
    train, held = order[: len(X) // 2], order[len(X) // 2 :][:200]
    model = mm.MDNRegressor(preset="fast", random_state=0).fit(X[train], y[train])
    return model.predict_distribution(X[held]), torch.from_numpy(y[held])[:, None]


def halves(n):
    for seed in range(N_SPLITS):
        rows = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        yield rows[: n // 2], rows[n // 2 :]


def test_conformal_sets_hold_90_percent_over_random_splits_and_regions_are_shorter_than_intervals(held_out):
    density, y = held_out
    covered, lengths = {"region": [], "central": []}, {"region": [], "central": []}
    for corrects, judges in halves(len(y)):
        for kind in covered:
            sets = fit_conformal(density[corrects], y[corrects], 0.9, kind=kind)
            covered[kind].append(sets.contains(density[judges], y[judges]).double().mean())
            if len(lengths[kind]) < 3:
                region = sets.predict(density[judges])
                lengths[kind].append((region.high - region.low).nansum(-1).mean())
    error = math.sqrt(0.09 * 4 / len(y))  # of one split; the mean over splits of the same rows is nearer
    for shares in covered.values():
        assert torch.stack(shares).mean().item() == pytest.approx(0.9, abs=error)
    assert torch.stack(lengths["region"]).mean() < torch.stack(lengths["central"]).mean()


def test_a_narrowed_model_is_repaired(held_out):
    density, y = held_out
    narrow = density.tempered(1.0, spread=0.5)
    corrects, judges = next(halves(len(y)))
    correction = fit_recalibration(narrow[corrects], y[corrects])
    before, after = narrow[judges], correction(narrow[judges])
    gained = after.log_prob(y[judges]) - before.log_prob(y[judges])
    assert gained.mean() > 2 * gained.std() / len(judges) ** 0.5
    first, second = (metrics.calibration_error(p, y[judges]) for p in (before, after))
    assert second.error < max(first.error, 1.5 * second.noise_floor)


def test_an_honest_model_loses_nothing_that_counts(held_out):
    density, y = held_out
    lost = []
    for corrects, judges in list(halves(len(y)))[:10]:
        after = fit_recalibration(density[corrects], y[corrects])(density[judges])
        lost.append((density[judges].log_prob(y[judges]) - after.log_prob(y[judges])).mean())
    error = density.log_prob(y).std() / math.sqrt(len(y) / 2)
    assert torch.stack(lost).mean() < error
