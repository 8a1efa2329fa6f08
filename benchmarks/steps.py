"""How fast a training step is: beside the loop that others write, and beside its own matrix products alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.utils.data import DataLoader, TensorDataset

import manymodes as mm
from benchmarks.figure import Figure, median_seconds
from manymodes.nn import MLP, MixtureDensityNetwork, MixtureHead, TableEmbedding, TableScaling
from manymodes.nn.backbones import Dropout
from manymodes.training.execution import Execution
from manymodes.training.rows.data import Rows, Split
from manymodes.training.rows.feeds import ResidentFeed
from manymodes.training.schedule import Pace, WarmUpAndDecay
from manymodes.training.step import Stepper

F, K, N = 8, 5, 10_240


@dataclass(frozen=True)
class Case:
    """A network and a batch.

    Attributes:
        name: What it is called.
        sizes: Width of each hidden layer.
        batch_size: Rows of a batch, of each member.
        n_members: Members, M; None for one network without a member axis.
        embeds: Whether numbers are embedded and layers residual, as in the estimator.
        objective: What is minimised.
    """

    name: str
    sizes: tuple[int, ...]
    batch_size: int
    n_members: int | None
    embeds: bool
    objective: str

    def network(self, n_members: int | None) -> MixtureDensityNetwork:
        """Return a new network of so many members, its dropout faded, as it is in most steps of a fit."""
        head = MixtureHead(self.sizes[-1], target_dim=1, n_components=K, n_members=n_members)
        if not self.embeds:
            return MixtureDensityNetwork(MLP(F, self.sizes, n_members=n_members), head)
        embedding = TableEmbedding(F, n_members=n_members)
        mlp = MLP(embedding.out_features, self.sizes, dropout=0.1, residual=True, n_members=n_members)
        network = MixtureDensityNetwork(nn.Sequential(embedding, mlp), head, input_scaling=TableScaling())
        for module in network.modules():
            if isinstance(module, Dropout):
                module.fade(0.0)
        return network


SMALL = Case("the small network (8-64-64-15, batch 256)", (64, 64), 256, None, False, "nll")
DEFAULT = Case(
    "the default network (8 members, 256 x 3, batch 128)", (256, 256, 256), 128, 8, True, "0.5 nll + 0.5 crps"
)


def steps() -> Iterator[Figure]:
    """Time a step of both networks, eager and compiled, in float32 and with bfloat16 products."""
    for case in (SMALL, DEFAULT):
        x, y = torch.randn(N, F), torch.randn(N, 1)
        calls: dict[str, Callable[[], object]] = {"usual": usual_loop(case, x, y), "products": products(case)}
        for precision in ("full", "bfloat16"):
            for compiled in (False, True):
                name = f"{precision}, {'compiled' if compiled else 'not compiled'}"
                calls[name] = step(case, x, y, Execution(precision, compiled, torch.get_num_threads()))
        seconds = median_seconds(calls, repeats=60 if case is SMALL else 20)
        usual, floor = seconds.pop("usual"), seconds.pop("products")
        for name, value in seconds.items():
            beside = f"{usual / value:.1f} times as fast as the usual loop, {1e3 * usual:,.2f} ms; "
            beside += f"{value / floor:.2f} times its matrix products in float32, {1e3 * floor:,.2f} ms"
            yield Figure(f"a step of {case.name}, {name}", f"{1e3 * value:,.2f} ms", beside)


def members_on_a_gpu() -> Iterator[Figure]:
    """Time a step of eight members beside one on a GPU, compiled and not; where there is none there are no figures."""
    if not torch.cuda.is_available():
        return
    x, y = torch.randn(N, F, device="cuda"), torch.randn(N, 1, device="cuda")
    for compiled in (False, True):
        execution = Execution("bfloat16", compiled)
        steps = {n: step(replace(DEFAULT, n_members=n), x, y, execution) for n in (1, 8)}
        calls = {str(n): lambda call=call: (call(), torch.cuda.synchronize()) for n, call in steps.items()}
        seconds = median_seconds(calls, repeats=50)
        name = f"a step of 8 members on {torch.cuda.get_device_name()}, {'compiled' if compiled else 'not compiled'}"
        beside = f"{seconds['8'] / seconds['1']:.2f} times one member, {1e3 * seconds['1']:.2f} ms"
        yield Figure(name, f"{1e3 * seconds['8']:.2f} ms", beside)


def step(case: Case, x: Tensor, y: Tensor, execution: Execution) -> Callable[[], object]:
    """Return a call that takes one step of the loop, batch and all."""
    network = case.network(case.n_members).train().to(x.device)
    every = torch.arange(len(x), device=x.device)
    index = every if case.n_members is None else every.expand(case.n_members, -1)
    feed = ResidentFeed(Split(Rows(x, y, None), index, Rows(x, y, None), index), torch.Generator(), even=True)
    stepper = Stepper(
        network,
        mm.objectives.named(case.objective),
        schedule=WarmUpAndDecay(1e-4, 0.1),
        pace=Pace(10**9, None),
        weight_decay=1e-2,
        clip_norm=1.0,
        execution=execution,
        fade_dropout=False,
    )

    def batches() -> Iterator[Rows]:
        while True:
            yield from feed.batches(len(x) // case.batch_size)

    endless = batches()
    return lambda: stepper.step(next(endless))


def usual_loop(case: Case, x: Tensor, y: Tensor) -> Callable[[], object]:
    """Return a call that takes a step as others do: DataLoader, MixtureSameFamily, Adam; one member after another."""
    bodies = [case.network(None) for _ in range(case.n_members or 1)]
    optimizers = [torch.optim.Adam(body.parameters()) for body in bodies]
    loaders = [DataLoader(TensorDataset(x, y), batch_size=case.batch_size, shuffle=True) for _ in bodies]
    streams = [_endless(loader) for loader in loaders]

    def one(body: MixtureDensityNetwork, optimizer: torch.optim.Adam, batch: list[Tensor]) -> None:
        logits, loc, scale = body.head.linear(body.backbone(batch[0])).chunk(3, -1)
        normal = Normal(loc.unsqueeze(-1), nn.functional.softplus(scale).unsqueeze(-1) + 1e-3)
        loss = -MixtureSameFamily(Categorical(logits=logits), Independent(normal, 1)).log_prob(batch[1]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def all_members() -> None:
        for body, optimizer, stream in zip(bodies, optimizers, streams, strict=True):
            one(body, optimizer, next(stream))

    return all_members


def _endless(loader: DataLoader[tuple[Tensor, ...]]) -> Iterator[list[Tensor]]:
    while True:
        yield from loader


def products(case: Case) -> Callable[[], object]:
    """Return a call of the matrix products of a step alone, in float32: forward, and back to weights and inputs."""
    widths = [F * 12 if case.embeds else F, *case.sizes, 3 * K]
    n_members, n_rows = case.n_members or 1, case.batch_size
    shapes = [(n_members, a, b, True) for a, b in pairwise(widths)]
    if case.embeds:
        shapes.append((n_members * F, 32, 16, True))  # as it is padded
    else:
        shapes[0] = (*shapes[0][:3], False)  # inputs need no gradient
    operands = [
        (torch.randn(m, n_rows, a), torch.randn(m, a, b), torch.randn(m, n_rows, b), back) for m, a, b, back in shapes
    ]

    def multiply() -> None:
        for x, weight, gradient, back in operands:
            torch.bmm(x, weight)
            torch.bmm(x.transpose(1, 2), gradient)
            if back:
                torch.bmm(gradient, weight.transpose(1, 2))

    return multiply


ALL: tuple[Callable[[], Iterator[Figure]], ...] = (steps, members_on_a_gpu)
