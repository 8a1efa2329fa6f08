import pytest
import torch
from torch import nn

import manymodes as mm
from manymodes.training.execution import Execution
from manymodes.training.rows.data import Rows, Split
from manymodes.training.rows.feeds import ResidentFeed
from manymodes.training.schedule import Pace
from manymodes.training.step import Stepper

from .test_loop import network


def stepper(net, objective=mm.objectives.nll, **settings) -> Stepper:
    defaults = {"schedule": lambda progress: 0.1, "pace": Pace(1000, None), "weight_decay": 0.0, "clip_norm": 1.0}
    execution = Execution("full", compiled=False, n_threads=1)
    return Stepper(net, objective, **{**defaults, "execution": execution, **settings})


def epoch(one: Stepper, data: Rows, n_batches: int = 1, generator: torch.Generator | None = None) -> list[torch.Tensor]:
    parts = Split(data, torch.arange(len(data)), data, torch.arange(1))
    return [one.step(batch) for batch in ResidentFeed(parts, generator or torch.Generator()).batches(n_batches)]


def rows(n=40) -> Rows:
    generator = torch.Generator().manual_seed(0)
    return Rows(torch.randn(n, 1, generator=generator), torch.randn(n, 1, generator=generator), None)


def without_gradient(distribution, y, weight):
    return 0 * mm.objectives.nll(distribution, y, weight)


def largest_change(net, before) -> float:
    return max((a - b).abs().max().item() for a, b in zip(net.parameters(), before, strict=True))


def copy(net) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in net.parameters()]


def test_weight_decay_shrinks_matrices_by_lr_times_decay_and_leaves_vectors():
    net = network()
    nn.init.constant_(net.head.linear.bias, 1.0)
    before = copy(net)
    epoch(stepper(net, without_gradient, weight_decay=0.5), rows())
    for parameter, old in zip(net.parameters(), before, strict=True):
        factor = 1 - 0.1 * 0.5 if parameter.dim() > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), factor * old)


def test_gradients_are_clipped_to_their_norm():
    # Adam divides the gradient by its own size plus 1e-8: clipped far below that, a step hardly moves.
    moved = []
    for clip_norm in (1e-14, 1.0):
        net = network()
        before = copy(net)
        epoch(stepper(net, clip_norm=clip_norm), rows())
        moved.append(largest_change(net, before))
    assert moved[0] < 1e-5
    assert moved[1] > 0.05


def test_every_step_has_its_own_learning_rate():
    asked = []

    def schedule(progress):
        asked.append(progress)
        return 0.1 if len(asked) == 2 else 0.0

    net = network()
    before, changes = copy(net), []
    one = stepper(net, schedule=schedule, pace=Pace(3, None))
    for _ in range(3):
        epoch(one, rows())
        changes.append(largest_change(net, before))
        before = copy(net)
    assert asked == pytest.approx([1 / 6, 3 / 6, 5 / 6])
    assert changes[0] == changes[2] == 0
    assert changes[1] > 0.05


def test_every_row_is_seen_once_an_epoch_in_an_order_that_the_generator_draws():
    seen = []

    def spy(distribution, y, weight):
        seen.append(y[:, 0])
        return mm.objectives.nll(distribution, y, weight)

    data, one = rows(), stepper(network(), spy)
    generator = torch.Generator().manual_seed(0)
    orders = []
    for _ in range(2):
        seen.clear()
        epoch(one, data, 3, generator)
        assert [len(batch) for batch in seen] == [14, 13, 13]
        orders.append(torch.cat(seen))
        torch.testing.assert_close(orders[-1].sort().values, data.y[:, 0].sort().values)
    assert not torch.equal(orders[0], data.y[:, 0])
    assert not torch.equal(orders[0], orders[1])


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_dropout_acts_while_training_and_only_then(share):
    net = network(dropout=share)
    x = torch.ones(1, 1)
    net.train()
    different = not torch.equal(net(x).mean, net(x).mean)
    assert different == (share > 0)
    net.eval()
    assert torch.equal(net(x).mean, net(x).mean)


def test_a_first_batch_that_is_skipped_changes_no_later_step():
    nets, infinite = [network(), network()], []
    nets[1].load_state_dict(nets[0].state_dict())

    def sometimes(distribution, y, weight):
        loss = mm.objectives.nll(distribution, y, weight)
        return loss * torch.inf if infinite else loss

    steppers = [stepper(net, sometimes) for net in nets]
    infinite.append(True)
    assert epoch(steppers[1], rows())[0].isnan().all()
    infinite.clear()
    for one in steppers:
        epoch(one, rows())
    for value, other in zip(nets[0].state_dict().values(), nets[1].state_dict().values(), strict=True):
        assert torch.equal(value, other)
