"""How good joint densities of several targets are, and what they cost: mixtures beside the autoregressive head."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

import manymodes as mm
from benchmarks.accuracy import DATA
from benchmarks.figure import Figure
from manymodes.distributions import DiagonalNormal, FullNormal
from manymodes.nn import MLP, AutoregressiveHead, Head, MixtureDensityNetwork, MixtureHead

_M, _WIDTH, _N_STEPS, _BATCH = 3, 64, 800, 128
_D = 7  # torques
_TRAINED_BLOCKS = 8  # of ten, in time


def _mixture(family: type[DiagonalNormal] | type[FullNormal], n_components: int) -> Head:
    return MixtureHead(_WIDTH, target_dim=_D, n_components=n_components, family=family, n_members=_M)


HEADS: Mapping[str, Callable[[], Head]] = {
    "5 diagonal normals": lambda: _mixture(DiagonalNormal, 5),
    "20 diagonal normals": lambda: _mixture(DiagonalNormal, 20),
    "5 full normals": lambda: _mixture(FullNormal, 5),
    "autoregressive, 5 normals": lambda: AutoregressiveHead(_WIDTH, target_dim=_D, n_components=5, n_members=_M),
}


def torques() -> Iterator[Figure]:
    """Predict the seven torques of the sarcos arm with each head on one backbone, in two splits of the rows."""
    file = DATA / "sarcos" / "sarcos.npz"
    if not file.is_file():
        yield Figure("torques of sarcos", "not measured", "the shared data are not there")
        return
    with np.load(file, allow_pickle=False) as arrays:
        x, y, block = (torch.tensor(arrays[name]) for name in ("X", "y", "block"))
    splits = {
        "a random fifth": torch.rand(len(x), generator=torch.Generator().manual_seed(0)) < 0.2,
        "the last fifth in time": block >= _TRAINED_BLOCKS,
    }
    for where, held_out in splits.items():
        for name, make in HEADS.items():
            yield _figure(f"torques of sarcos, {where}, {name}", make, x, y, held_out)


def _figure(name: str, make: Callable[[], Head], x: Tensor, y: Tensor, held_out: Tensor) -> Figure:
    """Return the held-out NLL of single networks and of their pool."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = make()
        backbone = MLP(x.shape[1], (_WIDTH, _WIDTH), dropout=0.1, n_members=_M)
    network = MixtureDensityNetwork(backbone, head)
    started = time.perf_counter()
    known = (x[~held_out], y[~held_out])
    mm.fit(network, known, n_steps=_N_STEPS, batch_size=_BATCH, random_state=0, compile=False, progress=False)
    seconds = time.perf_counter() - started
    x, y = x[held_out], y[held_out]
    with torch.no_grad():
        pooled = float(mm.metrics.log_score(network(x), y).mean())
        alone = mm.metrics.log_score(network.members(x), y.expand(_M, -1, -1)).mean(-1)
    spread = f"each of {_M}: {alone.min():.2f} to {alone.max():.2f}; {seconds:.1f} s for all"
    return Figure(f"{name}, NLL of {_M} pooled", f"{pooled:.2f}", spread)


ALL: tuple[Callable[[], Iterator[Figure]], ...] = (torques,)
