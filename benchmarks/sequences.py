"""Sequences: how good mixtures at every step are, and how fast they are trained and rolled forward."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence
from torch.utils.data import DataLoader

import manymodes as mm
from benchmarks.accuracy import DATA
from benchmarks.figure import Figure
from manymodes.distributions import DiagonalNormal, FullNormal

Strokes = tuple[PackedSequence, PackedSequence]

_HIDDEN, _LONGEST = 128, 80
_GRID = 6.0  # of the drawing board: most coordinates are multiples of it
_HEADS: Mapping[str, tuple[type[DiagonalNormal] | type[FullNormal], int]] = {
    "3 full normals": (FullNormal, 3),
    "3 diagonal normals": (DiagonalNormal, 3),
    "1 full normal": (FullNormal, 1),
    "20 full normals": (FullNormal, 20),
    "20 diagonal normals": (DiagonalNormal, 20),
}


def strokes() -> Iterator[Figure]:
    """Predict where the pen goes next on omniglot, at every step, by recurrent mixtures of one size."""
    if not (DATA / "omniglot-strokes").is_dir():
        yield Figure("strokes of omniglot", "not measured", "the shared data are not there")
        return
    train, chooses, test = _drawings("train", 3000, 0), _drawings("valid", 500, 1), _drawings("test", 1000, 2)
    scores = {}
    for name, (family, n_components) in _HEADS.items():
        started = time.perf_counter()
        network = _network(family, n_components)
        mm.fit(network, train, validation=chooses, max_epochs=8, batch_size=32, lr=4e-3, random_state=0)
        seconds = time.perf_counter() - started
        with torch.no_grad():
            scores[name] = -network(test[0]).log_prob(test[1].data)
        full = f"{20 if n_components == 20 else 3} full normals"
        gap = scores[name] - scores[full]
        beside = f"{gap.mean():+.4f} +- {_error(gap):.4f} beside {full}; {seconds:.0f} s"
        yield Figure(f"strokes of omniglot, NLL a step, {name}", f"{scores[name].mean():.3f}", beside)


def training() -> Iterator[Figure]:
    """Time an epoch of drawings beside the usual loop: a DataLoader, a recurrent layer, torch's mixture and Adam."""
    if not (DATA / "omniglot-strokes").is_dir():
        return
    rows = _drawings("train", 640, 0)
    network = _network(DiagonalNormal, 5)
    options: dict[str, Any] = {"max_epochs": 1, "batch_size": 32, "validation": torch.arange(2), "random_state": 0}
    mm.fit(network, rows, **options)
    calls = {"ours": lambda: mm.fit(network, rows, initialise=False, **options), "usual": _usual_epoch(rows)}
    seconds = {name: _fastest(call) for name, call in calls.items()}
    n_steps = len(rows[0].data)
    value = f"{n_steps / seconds['ours']:,.0f} steps a second"
    yield Figure(
        f"an epoch of {n_steps:,} steps", value, f"{seconds['ours'] / seconds['usual']:.2f} times a usual loop"
    )


def paths() -> Iterator[Figure]:
    """Time paths rolled forward side by side beside a plain loop, one path after another by the same network."""
    walk = np.random.default_rng(0).normal(size=400).cumsum()
    model = mm.MDNForecaster(20, context=12, mode="autoregressive", n_steps=50, random_state=0).fit(walk)
    side_by_side, in_turn = 2000, 20
    seconds = {
        "ours": _fastest(lambda: model.sample_paths(side_by_side, random_state=0)) / side_by_side,
        "plain": _fastest(lambda: [model.sample_paths(1, random_state=seed) for seed in range(in_turn)]) / in_turn,
    }
    value = f"{1 / seconds['ours']:,.0f} paths a second"
    yield Figure("paths of 20 steps", value, f"{seconds['plain'] / seconds['ours']:.0f} times a plain loop")


def _drawings(split: str, n: int, seed: int) -> Strokes:
    """Return n drawings: (dx, dy, pen lifted) at each step, and as targets where the pen goes next, (dx, dy).

    Offsets are whole numbers; each stands for a square as wide as the grid, within which a number is drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    with np.load(DATA / "omniglot-strokes" / "omniglot-strokes.npz", allow_pickle=False) as arrays:
        points = torch.from_numpy(arrays[f"{split}_points"].astype(np.float32))
        ends = arrays[f"{split}_offsets"]
    chosen = torch.randperm(len(ends) - 1, generator=generator)[:n].tolist()
    drawings = [points[ends[i] : ends[i + 1]][:_LONGEST] for i in chosen]
    drawings = [drawing for drawing in drawings if len(drawing) > 1]
    noise = [_GRID * (torch.rand(len(drawing) - 1, 2, generator=generator) - 0.5) for drawing in drawings]
    y = [drawing[1:, :2] + own for drawing, own in zip(drawings, noise, strict=True)]
    x = [drawing[:-1] for drawing in drawings]
    return pack_sequence(x, enforce_sorted=False), pack_sequence(y, enforce_sorted=False)


def _network(family: type[DiagonalNormal] | type[FullNormal], n_components: int) -> mm.nn.MixtureDensityNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = mm.nn.Recurrent(3, _HIDDEN, every_step=True)
        head = mm.nn.MixtureHead(_HIDDEN, target_dim=2, n_components=n_components, family=family, min_scale=0.01)
    return mm.nn.MixtureDensityNetwork(backbone, head)


def _usual_epoch(rows: Strokes) -> Callable[[], None]:
    x, y = (pad_packed_sequence(part, batch_first=True) for part in rows)
    drawings = [(x[0][i, :n], y[0][i, :n]) for i, n in enumerate(x[1].tolist())]
    layer, exit_layer = nn.GRU(3, _HIDDEN, batch_first=True), nn.Linear(_HIDDEN, 5 * 5)
    optimizer = torch.optim.Adam([*layer.parameters(), *exit_layer.parameters()], lr=1e-5)

    def collate(batch: list[tuple[Tensor, Tensor]]) -> list[PackedSequence]:
        return [pack_sequence(list(part), enforce_sorted=False) for part in zip(*batch, strict=True)]

    def epoch() -> None:
        for inputs, targets in DataLoader(drawings, batch_size=32, shuffle=True, collate_fn=collate):  # type: ignore[arg-type]
            logits, loc, scale = exit_layer(layer(inputs)[0].data).split([5, 10, 10], -1)
            parts = (loc.unflatten(-1, (5, 2)), nn.functional.softplus(scale).unflatten(-1, (5, 2)) + 1e-3)
            normals = Independent(Normal(*(50 * part for part in parts)), 1)
            loss = -MixtureSameFamily(Categorical(logits=logits), normals).log_prob(targets.data).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def _fastest(call: Callable[[], object], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def _error(gap: Tensor) -> float:
    return float(gap.std() / len(gap) ** 0.5)


ALL: tuple[Callable[[], Iterator[Figure]], ...] = (strokes, training, paths)
