import pytest
import torch

from manymodes._checks import InputError
from manymodes.distributions.constraints import Scaling
from manymodes.nn import Standardizer, TableScaling
from manymodes.nn.scaling import fences


def learned(values) -> tuple[Standardizer, torch.Tensor]:
    values = torch.tensor(values, dtype=torch.float64)
    scaling = Standardizer()
    scaling.learn(values)
    return scaling, scaling(values)


@pytest.mark.parametrize("unit", [1e-300, 1e-12, 1.0, 1e12, 1e300])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_columns_come_out_with_mean_zero_and_deviation_one_at_any_scale(unit, offset):
    values = (torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + offset) * unit
    _, scaled = learned(values.tolist())
    torch.testing.assert_close(scaled.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-8, rtol=0)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(2, dtype=torch.float64))


def test_a_constant_column_is_only_shifted():
    scaling, scaled = learned([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]])
    assert scaling.scale[0] == 1
    assert (scaled[:, 0] == 0).all()


def test_nothing_changes_before_it_has_learned():
    values = torch.randn(3, 2)
    torch.testing.assert_close(Standardizer()(values), values.double(), check_dtype=False)


def test_casting_the_network_costs_the_scaling_no_precision():
    scaling, _ = learned([[1e9 + 0.1], [1e9 + 0.2]])
    loc = scaling.loc.clone()
    for cast in (Standardizer.float, Standardizer.half, Standardizer.bfloat16):
        assert torch.equal(cast(scaling).loc, loc)
        assert scaling.loc.dtype == torch.float64


def test_only_tables_are_learned_from():
    with pytest.raises(InputError, match=r"^values must have shape \(N, F\)"):
        Standardizer().learn(torch.zeros(3))


@pytest.mark.parametrize("unit", [1e-300, 1e-12, 1.0, 1e12, 1e300])
def test_a_column_that_may_only_be_scaled_keeps_its_zero_and_one_that_may_not_keeps_its_values(unit):
    values = unit * torch.rand(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scaling = Standardizer()
    scaling.learn(values, [Scaling.SCALE, Scaling.NONE])
    assert (scaling.loc == 0).all()
    assert scaling.scale[1] == 1
    assert scaling(values)[:, 0].square().mean().item() == pytest.approx(1)


def test_a_column_of_zeros_that_may_only_be_scaled_is_left_as_it_is():
    scaling = Standardizer()
    scaling.learn(torch.zeros(4, 1), [Scaling.SCALE])
    assert scaling.scale.tolist() == [1]


@pytest.mark.parametrize("spike", [0.0, 1e6])
def test_an_outlier_beside_a_spike_does_not_squeeze_the_others(spike):
    others = torch.randn(39, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.cat([torch.full((60,), spike), others, torch.tensor([1e9])])[:, None].double()
    scaling = TableScaling()
    scaling.learn(values)
    if spike == 0:
        assert scaling(values)[60:99].std() > 0.5
    low, high = fences(values)
    assert low <= min(spike, others.min())
    assert max(spike, others.max()) <= high < 1e9


@pytest.mark.parametrize("column", [[0.0] * 90 + [1.0] * 10, [0.0] * 100, [0.0] * 99 + [5.0]])
def test_columns_of_one_or_two_values_are_not_fenced(column):
    low, high = fences(torch.tensor(column)[:, None])
    assert (low.item(), high.item()) == (min(column), max(column))
