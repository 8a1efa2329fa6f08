import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import manymodes as mm
from manymodes._checks import InputError
from manymodes.distributions import (
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Incomplete,
    Log,
    LowRankNormal,
    PointMass,
    Product,
    SphericalNormal,
    StudentT,
    Transformed,
    VonMises,
    given,
)
from manymodes.nn import MLP, AutoregressiveHead, MixtureDensityNetwork, MixtureHead
from manymodes.training import History
from manymodes.training.findings import Findings, examine
from manymodes.training.rows.data import Rows, Split

N = 300
FOUND = Findings(
    n_components=5,
    dead_components=0.0,
    duplicate_components=0.0,
    min_scale=1e-3,
    floor_share=0.0,
    floor_rows=(),
    train_score=0.5,
    validation_score=0.75,
)


# --- looking at a network ---


class Nothing(nn.Module):
    """A backbone whose features are ones: the bias of the head is the prediction."""

    def __init__(self, n_members: int | None) -> None:
        super().__init__()
        self.shape = (1,) if n_members is None else (n_members, 1)

    def forward(self, x):
        return torch.ones(*x.shape[:-1], 1)


def constant(weights, loc, scale, n_members=None, min_scale=1e-3) -> MixtureDensityNetwork:
    """Return a network that predicts the same mixture of normals whatever its input."""
    head = MixtureHead(1, target_dim=1, n_components=len(loc), n_members=n_members, min_scale=min_scale)
    excess = torch.tensor(scale) - min_scale
    bias = torch.cat([torch.tensor(weights).log(), torch.tensor(loc), excess.expm1().log().clamp_min(-30)])
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(bias)
    return MixtureDensityNetwork(Nothing(n_members), head).eval()


def parts(y, n_members=None) -> Split:
    """Return rows whose first 270 train and whose others are held out; members count them from the end."""
    rows = Rows(torch.zeros(len(y), 1), y, None)
    index = torch.arange(len(y))
    if n_members is not None:
        index = torch.stack([index] + [index.flip(0)] * (n_members - 1))
    return Split(rows, index[..., :270], rows, index[..., 270:])


def targets(*centres, scale=0.2) -> torch.Tensor:
    noise = torch.randn(N, generator=torch.Generator().manual_seed(0))
    return (torch.tensor(centres).repeat(N)[:N] + scale * noise).unsqueeze(-1)


@pytest.mark.parametrize("n_members", [None, 3])
def test_a_sound_mixture_gives_no_cause_for_worry(n_members):
    network = constant([0.5, 0.5], [-1.0, 1.0], [0.2, 0.2], n_members)
    found = examine(network, parts(targets(-1.0, 1.0), n_members))
    assert found.n_components == 2
    assert found.dead_components == found.duplicate_components == found.floor_share == 0
    assert found.floor_rows == ()
    entropy = math.log(2) + math.log(0.2) + 0.5 * math.log(2 * math.pi * math.e)
    assert found.train_score == pytest.approx(entropy, abs=0.15)


@pytest.mark.parametrize("n_members", [None, 3])
def test_a_component_that_nobody_uses_is_dead(n_members):
    weights, loc, scale = [0.5, 0.4999, 1e-4, 1e-6], [-1.0, 1.0, 9.0, 0.0], [0.2, 0.2, 0.2, 5.0]
    found = examine(constant(weights, loc, scale, n_members), parts(targets(-1.0, 1.0), n_members))
    assert found.dead_components == 2


def test_a_small_component_that_explains_rare_targets_is_alive():
    network = constant([0.9995, 5e-4], [0.0, 9.0], [0.3, 0.3])
    y = targets(0.0)
    y[7] = 9.0
    assert examine(network, parts(y)).dead_components == 0


@pytest.mark.parametrize("n_members", [None, 3])
def test_components_that_coincide_are_duplicates(n_members):
    weights, loc, scale = [0.3, 0.2, 0.4, 0.1], [-1.0, 1.0, 1.005, 0.0], [0.2, 0.2, 0.201, 0.9]
    found = examine(constant(weights, loc, scale, n_members), parts(targets(-1.0, 1.0), n_members))
    assert found.duplicate_components == 1
    apart = constant(weights, [-1.0, 1.0, 1.1, 0.0], scale, n_members)
    assert examine(apart, parts(targets(-1.0, 1.0), n_members)).duplicate_components == 0


def test_dead_components_are_not_counted_as_duplicates_as_well():
    network = constant([0.9998, 1e-4, 1e-4], [0.0, 9.0, 9.0], [0.3, 0.3, 0.3])
    found = examine(network, parts(targets(0.0)))
    assert (found.dead_components, found.duplicate_components) == (2, 0)


@pytest.mark.parametrize("n_members", [None, 3])
def test_rows_whose_component_is_at_the_floor_are_named(n_members):
    network = constant([0.5, 0.5], [0.25, 0.0], [1e-3, 0.5], n_members)
    y = targets(-0.5, scale=0.1)
    y[[31, 37, 40]] = 0.25  # every member trains on those
    found = examine(network, parts(y, n_members))
    assert found.floor_rows == (31, 37, 40)
    assert found.floor_share == pytest.approx(3 / 270)


def test_the_rows_that_most_members_find_at_the_floor_are_named_by_their_place_in_the_data():
    network = constant([0.5, 0.5], [0.25, 0.0], [1e-3, 0.5], n_members=3)
    y = targets(-0.5, scale=0.1)
    y[[150, 299]] = 0.25  # the first member does not train on row 299
    assert examine(network, parts(y, 3)).floor_rows == (150, 299)


@pytest.mark.parametrize("n_members", [None, 3])
def test_each_target_of_an_autoregressive_density_has_a_mixture_of_its_own(n_members):
    head = AutoregressiveHead(1, target_dim=2, n_components=2, n_members=n_members, min_scale=[1e-3, 0.1])
    # Logits, locations, and scales above their floors.
    raw = torch.tensor([[0.0, 0, -1, 1, 0.2, 0.2], [0, -20, 0.5, 9, 1e-5, 0.2]])
    raw[:, 4:] = raw[:, 4:].expm1().log()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
        head.linear.bias[..., -12:] = raw.flatten()
    network = MixtureDensityNetwork(Nothing(n_members), head).eval()
    y = torch.cat([targets(-1.0, 1.0), torch.full((N, 1), 0.5)], -1)
    found = examine(network, parts(y, n_members))
    assert found.n_components == 2
    assert found.dead_components == 0.5  # one of the second target
    assert found.duplicate_components == 0
    assert found.floor_share == 1.0  # the second target's scale is at its floor in every row
    assert found.train_score is not None


def test_of_many_rows_some_are_looked_at():
    seen = []

    class Watched(Nothing):
        def forward(self, x):
            seen.append(x.shape[-2])
            return super().forward(x)

    network = constant([0.5, 0.5], [-1.0, 1.0], [0.2, 0.2])
    network.backbone = Watched(None)
    rows = Rows(torch.zeros(50_001, 1), torch.zeros(50_001, 1), None)
    index = torch.arange(50_001)
    examine(network, Split(rows, index[:-10], rows, index[-10:]))
    assert 1000 < seen[0] <= 2000
    assert seen[1] == 10


@pytest.mark.parametrize(
    ("family", "k", "d"),
    [
        (DiagonalNormal, 3, 2),
        (SphericalNormal, 3, 2),
        (FullNormal, 3, 2),
        (LowRankNormal, 3, 2),
        (StudentT, 3, 2),
        (VonMises, 3, 2),
        (Gamma, 3, 2),
        (Product.of(DiagonalNormal, VonMises), 3, 2),
        (Concatenation.of((DiagonalNormal, 2), (StudentT, 1)), 3, 2),
        (Concatenation.of((given(PointMass, value=0.0), 1), (Transformed.of(DiagonalNormal, Log()), 2)), 3, 1),
    ],
    ids=lambda value: str(getattr(value, "__name__", type(value).__name__)),
)
@pytest.mark.parametrize("n_members", [None, 2])
def test_every_family_is_examined_and_its_floor_seen(family, k, d, n_members):
    head = MixtureHead(1, target_dim=d, n_components=k, family=family, n_members=n_members, min_scale=0.05)
    network = MixtureDensityNetwork(Nothing(n_members), head).eval()
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.fill_(-12.0)  # softplus of that is nothing
    y = torch.rand(N, d, generator=torch.Generator().manual_seed(0)) + 0.1
    found = examine(network, parts(y, n_members))
    assert found.floor_share == 1
    with torch.no_grad():
        head.linear.bias.fill_(0.5)
    found = examine(network, parts(y, n_members))
    assert found.floor_share == 0
    assert 0 <= found.dead_components + found.duplicate_components <= k


def test_targets_that_are_not_fully_known_are_examined():
    y = targets(-1.0, 1.0)
    y[::7] = math.nan
    found = examine(constant([0.5, 0.5], [-1.0, 1.0], [0.2, 0.2]), parts(Incomplete.missing(y)))
    assert found.duplicate_components == 0
    assert math.isfinite(found.train_score)


def test_a_score_that_is_not_finite_is_none():
    head = MixtureHead(1, target_dim=1, n_components=1, family=PointMass)
    found = examine(MixtureDensityNetwork(Nothing(None), head).eval(), parts(targets(0.0)))
    assert found.train_score is None


def test_findings_are_the_same_after_a_real_fit_through_json():
    X, y = mm.datasets.make_inverse_sinusoid(100, random_state=0)
    x, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)[:, None]
    head = MixtureHead(8, target_dim=1, n_components=2, n_members=2)
    network = MixtureDensityNetwork(MLP(1, (8,), n_members=2), head)
    history = mm.fit(network, (x, y), max_epochs=5, random_state=0, progress=False)
    index = torch.arange(100).expand(2, -1)
    rows = Rows(x, y, None).scaled(network)
    history.findings = examine(network, Split(rows, index[:, :90], rows, index[:, 90:]))
    assert History.from_dict(json.loads(json.dumps(history.to_dict()))) == history
    assert history.diagnosis().startswith("The fit ran all 5 epochs")


def test_findings_of_another_kind_are_refused():
    with pytest.raises(InputError, match="findings have no 'mood'"):
        Findings.from_dict(FOUND.to_dict() | {"mood": "good"})


# --- words ---


def falling(n, start=1.5, end=0.4, length=0.12, noise=0.004) -> list[float]:
    """Return a loss that falls and settles within the first epochs."""
    wiggle = torch.randn(n, generator=torch.Generator().manual_seed(n)).tolist()
    return [end + (start - end) * math.exp(-i / (length * n)) + noise * w for i, w in enumerate(wiggle)]


def settled(n=100, **changes) -> History:
    record = History(
        train_loss=falling(n, end=0.3),
        validation_loss=falling(n),
        best_epochs=[n - 7],
        best_losses=[0.39],
        max_epochs=n,
        n_train=900,
        n_validation=100,
        seconds=12.34,
    )
    return replace(record, **changes)


def lines(history: History) -> list[str]:
    return history.diagnosis().split("\n")


def test_a_fit_that_settled_is_said_to_have_converged():
    assert lines(settled()) == [
        "The fit ran all 100 epochs in 12.3 s; it kept the weights of epoch 94.",
        "The validation loss had settled by the end: for a schedule of this length, the fit converged.",
    ]


def test_a_history_without_epochs_says_so():
    assert History().diagnosis() == "No epoch has run yet."


@pytest.mark.parametrize("n", [1, 2, 3])
def test_after_very_few_epochs_nothing_is_said_of_the_curve(n):
    assert lines(settled(n, best_epochs=[0])) == [
        f"The fit ran all {n} epoch{'s' if n > 1 else ''} in 12.3 s; it kept the weights of epoch 1."
    ]


def test_a_fit_that_patience_ended_says_how_long_it_waited():
    first = lines(settled(60, max_epochs=400, best_epochs=[49], ended_by="patience"))[0]
    assert first == (
        "The fit stopped after 60 of 400 planned epochs, in 12.3 s, for nothing had improved over 10 epochs "
        "(patience); it kept the weights of epoch 50."
    )


def test_a_fit_that_ran_out_of_time_says_so_and_asks_for_more_where_it_still_improved():
    history = settled(60, validation_loss=falling(60, length=0.5), max_epochs=400, best_epochs=[59])
    told = lines(replace(history, ended_by="time_limit"))
    assert told[0] == (
        "The fit stopped after 60 of 400 planned epochs, in 12.3 s, since its time was up (time_limit); it kept the "
        "weights of epoch 60."
    )
    assert "still falling" in told[1]
    assert "more time, or a higher lr, may help." in told[1]


def test_a_record_that_does_not_say_what_ended_the_fit_is_told_without():
    first = lines(settled(60, max_epochs=400))[0]
    assert first == "The fit stopped after 60 of 400 planned epochs, in 12.3 s; it kept the weights of epoch 54."


def test_the_epochs_of_several_members_are_told_as_a_range():
    history = settled(best_epochs=[93, 55, 80], best_losses=[0.4, 0.41, 0.39])
    assert lines(history)[0].endswith("its 3 members kept the weights of epochs 56 to 94.")
    same = replace(history, best_epochs=[4, 4, 4])
    assert lines(same)[0].endswith("its 3 members kept the weights of epoch 5.")


@pytest.mark.parametrize("n", [8, 40, 300])
def test_a_loss_that_still_falls_asks_for_more_epochs(n):
    history = settled(n, validation_loss=falling(n, length=0.6), best_epochs=[n - 1])
    assert lines(history)[1].startswith("The validation loss was still falling, by 0.")
    assert lines(history)[1].endswith("more epochs, or a higher lr, may help.")


@pytest.mark.parametrize("n", [20, 100, 400])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
def test_over_fitting_is_told_from_its_first_epoch(n, noise):
    wiggle = torch.randn(n, generator=torch.Generator().manual_seed(n)).tolist()
    turn = n // 4
    shape = [1.0 - i / turn if i < turn else 0.6 * (i - turn) / (n - turn) for i in range(n)]
    validation = [value + noise * w for value, w in zip(shape, wiggle, strict=True)]
    history = settled(n, train_loss=falling(n, end=-1.0, length=0.5), validation_loss=validation, best_epochs=[turn])
    told = lines(history)[1]
    assert told.startswith("It over-fitted from epoch ")
    epoch = int(told.split("epoch ")[1].split()[0])
    assert abs(epoch - turn - 1) <= max(2, n // 12)
    rise = float(told.split("rose by ")[1].split()[0])
    assert rise == pytest.approx(0.6, abs=0.15)


def test_noise_alone_is_no_over_fitting():
    for seed in range(200):  # no false alarm in 200 curves
        wiggle = torch.randn(80, generator=torch.Generator().manual_seed(seed)).tolist()
        validation = [loss + 0.05 * w for loss, w in zip(falling(80), wiggle, strict=True)]
        history = settled(80, train_loss=falling(80, end=-1.0, length=0.5), validation_loss=validation)
        assert "over-fitted" not in history.diagnosis()


def test_a_validation_loss_that_rises_with_the_training_loss_is_no_over_fitting():
    rising = [*falling(50), *(0.4 + 0.02 * i for i in range(50))]
    history = settled(100, train_loss=rising, validation_loss=rising, best_epochs=[49])
    assert "over-fitted" not in history.diagnosis()


def test_a_curve_that_is_not_finite_is_passed_over():
    history = settled(validation_loss=[math.inf] * 50 + falling(50))
    assert len(lines(history)) == 1


def test_skipped_batches_are_told():
    assert lines(settled(skipped_batches=1))[2] == (
        "1 batch had a loss or gradient that is not finite and was skipped; if there are many, lower lr or look for "
        "extreme values in the features."
    )
    assert lines(settled(skipped_batches=3))[2].startswith(
        "3 batches had a loss or gradient that is not finite and were"
    )


def test_a_member_far_from_the_others_is_named():
    history = settled(best_epochs=[90, 80, 85, 70], best_losses=[0.4, 0.42, 2.9, 0.38])
    assert lines(history)[2] == (
        "Member 3 ends far above the others: a best validation loss of up to 2.90 against 0.41 in the middle. Their "
        "validation rows may be hard, or the fit got stuck; try another random_state or a lower lr."
    )
    two = replace(history, best_epochs=[90] * 5, best_losses=[0.4, 1.9, 2.9, 0.38, 0.41])
    assert lines(two)[2].startswith("Members 2, 3 end far above")


def test_members_that_differ_as_their_few_validation_rows_do_are_left_alone():
    history = settled(best_epochs=[90, 80, 85], best_losses=[0.4, 0.2, 0.8], n_validation=20)
    assert len(lines(history)) == 2


def test_idle_components_are_told():
    history = settled(findings=replace(FOUND, dead_components=2.0, duplicate_components=0.75))
    assert lines(history)[2] == (
        "2 of 5 components are hardly ever used (weight and responsibility below 0.001) and 0.75 of 5 components "
        "repeat another one: harmless, but a smaller n_components would do."
    )
    assert "components" not in settled(findings=replace(FOUND, dead_components=0.4)).diagnosis()


def test_rows_at_the_floor_are_told_by_number():
    history = settled(findings=replace(FOUND, floor_share=0.128, floor_rows=(4, 9)))
    assert lines(history)[2] == (
        "For 12.8% of the training rows (say 5, 10) the component responsible is as narrow as it may be "
        "(min_scale=0.001): values repeat there, or follow from the features exactly, and log scores say little. Score "
        "rounding cells, give repeated values a probability of their own, or raise min_scale."
    )
    assert "min_scale" not in settled(findings=replace(FOUND, floor_share=0.004)).diagnosis()


def test_scores_of_the_kept_weights_are_told():
    assert lines(settled(findings=FOUND))[2] == (
        "Mean log score (lower is better) with the weights kept, in standardised units: 0.500 on training rows, 0.750 "
        "on validation rows."
    )
    assert "Mean log score" not in settled(findings=replace(FOUND, train_score=None)).diagnosis()


def test_a_negative_loss_is_said_to_be_normal():
    told = "A negative loss (NLL) is normal: the density is above 1 where the targets fall. Lower is better."
    assert lines(settled(findings=replace(FOUND, train_score=-0.2)))[-1] == told
    assert lines(settled(best_losses=[-0.3]))[-1] == told
    assert told not in lines(settled(findings=FOUND))
