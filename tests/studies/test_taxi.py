import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import Comparison, Problem
from manymodes.studies.taxi import DIAGONAL, ROUND, correlations, means_alone
from manymodes.studies.taxi.maps import AIRPORT, KM_A_DEGREE, PLACES, heaviest, in_km, to_km


def great_circle(first, second, radius=6371.0):
    (lon_1, lat_1), (lon_2, lat_2) = np.radians(first), np.radians(second)
    across = math.sin((lat_2 - lat_1) / 2) ** 2
    across += math.cos(lat_1) * math.cos(lat_2) * math.sin((lon_2 - lon_1) / 2) ** 2
    return 2 * radius * math.asin(across**0.5)


def compared(**log_scores):
    names = {"full": models.MDN, "diagonal": DIAGONAL, "gaussian": models.GAUSSIAN, "round": ROUND}
    records = {names[key]: [{"log_score": value, "rms": 4.0 - value / 10}] for key, value in log_scores.items()}
    return Comparison(Problem("p", lambda seed: None, {}), records)


def test_distances_on_the_flat_map_are_those_of_the_globe():
    ends = [place[1:3] for place in PLACES]
    for first in ends:
        for second in ends:
            flat = np.linalg.norm(to_km(first) - to_km(second))
            assert flat == pytest.approx(great_circle(first, second), rel=0.005)


def test_densities_move_to_kilometres_with_their_jacobian():
    loc = torch.tensor([[[-73.9, 40.7], [-74.0, 40.8]]]).double()
    prediction = Mixture(Categorical(torch.ones(1, 2).double()), DiagonalNormal(loc, 0 * loc + 0.02))
    y = torch.tensor([[-73.95, 40.75]]).double()
    on_map = in_km(prediction).log_prob(torch.from_numpy(to_km(y)))
    torch.testing.assert_close(on_map, prediction.log_prob(y) - math.log(math.prod(KM_A_DEGREE)))


def test_correlations_are_explained_only_where_they_help():
    assert "aslant" in correlations(compared(full=5.2, diagonal=5.1, gaussian=4.4, round=4.3))
    assert "aslant" not in correlations(compared(full=5.0, diagonal=5.1, gaussian=4.4, round=4.3))


def test_means_are_told_from_the_nearest_to_the_farthest():
    told = means_alone(compared(full=5.0, diagonal=4.0, gaussian=3.0, round=2.0))
    assert f"miss by 3.50 km ({models.MDN}) to 3.80 km ({ROUND})" in told
    assert "up to 3.00 nats apart" in told


def test_modes_that_hold_too_little_are_not_counted_on_the_map():
    modes = np.full((len(PLACES), 3, 3), np.nan)
    modes[AIRPORT, :, 2] = [0.7, 0.26, 0.04]
    found = Comparison(Problem("p", lambda seed: None, {}), {models.MDN: [{"modes": modes}]})
    assert heaviest(found, models.MDN) == (2, 0.7)
    modes[AIRPORT, :, 2] = 0.01
    assert heaviest(found, models.MDN) == (0, 0.0)
