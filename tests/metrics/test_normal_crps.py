import pytest
import torch
from torch.distributions import Categorical

from manymodes import metrics
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.metrics import normal_crps

from .test_scores import make


def arguments(n, k, seed=0, dtype=torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits, loc, width, y = (torch.randn(size, generator=generator, dtype=dtype) for size in ((k, n),) * 3 + ((n,),))
    return [torch.softmax(logits, 0), 3 * loc, width.exp(), 3 * y]


def pair_by_pair(weights, loc, scale, y) -> torch.Tensor:
    """The textbook formula (Grimit et al. 2006, eq. 5), with autograd's own gradients."""
    unit = torch.distributions.Normal(0.0, 1.0)

    def distance(offset, spread):
        z = offset / spread
        return 2 * spread * unit.log_prob(z).exp() + offset * (2 * unit.cdf(z) - 1)

    pairs = distance(loc[:, None] - loc, (scale[:, None].square() + scale.square()).sqrt())
    return (weights * distance(y - loc, scale)).sum(0) - 0.5 * (weights[:, None] * weights * pairs).sum((0, 1))


@pytest.mark.parametrize(("n", "k"), [(7, 1), (5, 2), (50, 80), (1, 300)])
def test_chunks_of_rows_give_the_score_and_gradient_of_all_pairs_at_once(n, k):
    # 50 rows of 80 components are 158,000 pairs, in chunks of 10 rows; one row of 300 components exceeds a chunk.
    values = [value.requires_grad_() for value in arguments(n, k)]
    score, expected = normal_crps.normal_crps(*values), pair_by_pair(*values)
    torch.testing.assert_close(score, expected, rtol=1e-10, atol=1e-12)
    slope = torch.linspace(0.5, 2.0, n, dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((slope * value).sum(), values) for value in (score, expected))
    # Along the sum of the weights, which is always 1, the two formulas differ by a constant.
    centred = [(gradient[0] - (values[0] * gradient[0]).sum(0), *gradient[1:]) for gradient in (ours, theirs)]
    for our, their in zip(*centred, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-9, atol=1e-11)


def test_a_pooled_ensemble_scores_alike_in_one_batch_and_row_by_row():
    mixture, y = make(n=30, k=80, d=2)
    logits, loc, scale = (mixture.logits, mixture.components.loc, mixture.components.scale)
    values = [value.clone().requires_grad_() for value in (logits, loc, scale)]

    def score(rows):
        weights = Categorical(logits=values[0][rows])
        return metrics.crps(Mixture(weights, DiagonalNormal(values[1][rows], values[2][rows])), y[rows])

    together = score(slice(None))
    one_by_one = torch.cat([score(slice(row, row + 1)) for row in range(30)])
    torch.testing.assert_close(together, one_by_one, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(value.sum(), values) for value in (together, one_by_one)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(together.detach(), metrics.crps(mixture, y), rtol=1e-12, atol=0)  # without a gradient


def test_a_gradient_keeps_nothing_of_the_size_of_all_pairs():
    values = [value.requires_grad_() for value in arguments(20, 80)]
    kept: list[int] = []

    def note(value):
        kept.append(value.numel())
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        normal_crps.normal_crps(*values).sum()
    assert kept
    assert max(kept) <= 20 * 80


@pytest.mark.parametrize("member_shape", [(3, 4), (2, 3, 2)])
def test_any_batch_shape_scores_as_its_rows_do(member_shape):
    mixture, y = make(n=12, d=2)
    parts = mixture.components
    weights = Categorical(logits=mixture.logits.unflatten(0, member_shape))
    components = DiagonalNormal(parts.loc.unflatten(0, member_shape), parts.scale.unflatten(0, member_shape))
    got = metrics.crps(Mixture(weights, components), y.unflatten(0, member_shape))
    torch.testing.assert_close(got, metrics.crps(mixture, y).unflatten(0, member_shape))


def test_no_rows_have_no_scores():
    mixture, y = make(n=3)
    assert metrics.crps(mixture[:0], y[:0]).shape == (0,)


def test_second_derivatives_are_right():
    weights, loc, scale, y = arguments(2, 3)
    values = [value.requires_grad_() for value in (weights.log(), loc, scale, y)]

    def score(logits, loc, scale, y):
        return normal_crps.normal_crps(torch.softmax(logits, 0), loc, scale, y)

    assert torch.autograd.gradgradcheck(score, values)
