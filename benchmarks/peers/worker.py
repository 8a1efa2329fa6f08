"""A process that fits one model to every problem of a folder, once it is warm; run by ``benchmarks.peers``.

    python worker.py MODEL FOLDER

It runs in the environment of the model, which needs to know nothing of the others: a problem is a file of arrays
``X``, ``y``, ``X_test``, ``y_test``, standardised, and a line of JSON is printed for each, without figures where the
fit fails.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Floats = Any  # arrays
LogDensity = Callable[[Floats, Floats], Floats]
Fit = Callable[[Floats, Floats, int], LogDensity]


def manymodes(preset: str) -> Fit:
    """Return the fit of a preset of ours."""
    import torch

    import manymodes as mm

    def fit(X: Floats, y: Floats, seed: int) -> LogDensity:
        model = mm.MDNRegressor(preset=preset, random_state=seed).fit(X, y)
        return lambda X, y: model.predict_distribution(X).log_prob(torch.tensor(y)[:, None]).numpy()

    return fit


def cde() -> Fit:
    """Return the mixture density network of cde."""
    from cde.density_estimator import MixtureDensityNetwork

    def fit(X: Floats, y: Floats, seed: int) -> LogDensity:
        model = MixtureDensityNetwork(ndim_x=X.shape[1], ndim_y=1, random_seed=seed)
        model.fit(X, y[:, None], verbose=False)
        return lambda X, y: np.ravel(model.log_pdf(X, y[:, None]))

    return fit


def ngboost() -> Fit:
    """Return NGBoost, whose default is one normal."""
    from ngboost import NGBRegressor

    def fit(X: Floats, y: Floats, seed: int) -> LogDensity:
        model = NGBRegressor(random_state=seed, verbose=False).fit(X, y)
        return lambda X, y: model.pred_dist(X).logpdf(y)

    return fit


def sbi() -> Fit:
    """Return neural posterior estimation of sbi with its mixture density network."""
    import torch
    from sbi.inference import NPE

    def fit(X: Floats, y: Floats, seed: int) -> LogDensity:
        torch.manual_seed(seed)
        x, theta = (torch.tensor(part, dtype=torch.float32) for part in (X, y[:, None]))
        trainer = NPE(density_estimator="mdn", show_progress_bars=False)
        model = trainer.append_simulations(theta, x).train()

        def log_density(X: Floats, y: Floats) -> Floats:
            x, theta = (torch.tensor(part, dtype=torch.float32) for part in (X, y[:, None]))
            with torch.no_grad():
                return model.log_prob(theta[None], condition=x)[0].numpy()

        return log_density

    return fit


def scikit_mdn() -> Fit:
    """Return scikit-mdn's estimator."""
    import torch
    from skmdn import MixtureDensityEstimator

    def fit(X: Floats, y: Floats, seed: int) -> LogDensity:
        torch.manual_seed(seed)
        model = MixtureDensityEstimator().fit(X, y[:, None])

        def log_density(X: Floats, y: Floats) -> Floats:
            weights, loc, scale = (torch.tensor(part, dtype=torch.float64) for part in model.forward(X))
            parts = torch.distributions.Normal(loc, scale).log_prob(torch.tensor(y)[:, None])
            return torch.logsumexp(weights.log() + parts, -1).numpy()

        return log_density

    return fit


def skpro() -> Fit:
    """Return skpro's regressor."""
    import pandas as pd
    from skpro.regression.mdn import MDNRegressor

    def fit(X: Floats, y: Floats, seed: int) -> LogDensity:
        model = MDNRegressor(random_state=seed).fit(pd.DataFrame(X), pd.DataFrame(y))
        return lambda X, y: model.predict_proba(pd.DataFrame(X)).log_pdf(pd.DataFrame(y)).to_numpy()[:, 0]

    return fit


def zuko() -> Fit:
    """Return zuko's mixture of five normals; it has no loop, so this is that of its tutorials: Adam, 1e-3, batch 64."""
    import torch
    from zuko.mixtures import GMM

    def fit(X: Floats, y: Floats, seed: int) -> LogDensity:
        torch.manual_seed(seed)
        x, t = (torch.tensor(part, dtype=torch.float32) for part in (X, y[:, None]))
        model = GMM(features=1, context=x.shape[1], components=5)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, t), batch_size=64, shuffle=True)
        for _ in range(max(1, 2000 // len(loader))):
            for x_batch, t_batch in loader:
                loss = -model(x_batch).log_prob(t_batch).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        def log_density(X: Floats, y: Floats) -> Floats:
            with torch.no_grad():
                x, t = (torch.tensor(part, dtype=torch.float32) for part in (X, y[:, None]))
                return model(x).log_prob(t).numpy()

        return log_density

    return fit


MODELS: dict[str, Callable[[], Fit]] = {
    "manymodes, fast": lambda: manymodes("fast"),
    "manymodes, default": lambda: manymodes("default"),
    "cde": cde,
    "ngboost": ngboost,
    "sbi": sbi,
    "scikit-mdn": scikit_mdn,
    "skpro": skpro,
    "zuko": zuko,
}


def main(name: str, folder: str) -> None:
    """Fit the model to a small table, so that everything is imported, and then to every problem."""
    warnings.simplefilter("ignore")
    fit = MODELS[name]()
    rng = np.random.default_rng(0)
    warm = rng.normal(size=(100, 3))
    fit(warm, warm[:, 0] + 0.1 * rng.normal(size=100), 0)(warm, warm[:, 0])
    for file in sorted(Path(folder).glob("*.npz")):
        with np.load(file) as arrays:
            X, y, X_test, y_test = (arrays[key] for key in ("X", "y", "X_test", "y_test"))
        result: dict[str, Any] = {"problem": file.stem, "seconds": None, "log_likelihood": None}
        started = time.perf_counter()
        try:
            log_density = fit(X, y, 0)
            result["seconds"] = time.perf_counter() - started
            score = float(np.mean(log_density(X_test, y_test)))
            result["log_likelihood"] = score if np.isfinite(score) else None
        except (ValueError, RuntimeError, FloatingPointError) as error:  # a fit that fails is a result, too
            print(f"{name}, {file.stem}: {error}"[:300], file=sys.stderr)
        print("\nRESULT " + json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
