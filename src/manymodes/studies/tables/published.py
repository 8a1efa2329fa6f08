"""Published test errors of seven UCI tables, with their sources: each figure once, for the study and the benchmark.

They are means over the customary splits, nine tenths to learn from and one tenth to judge by, in original units;
negative log-likelihoods in nats. Tables are named without ``uci-``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

ENSEMBLES, CARD, NGBOOST, BOOSTING = "Deep Ensembles", "CARD", "NGBoost", "best boosting"
TREEFLOW, TABRESFLOW, TABPFN, OTHER = "TreeFlow", "TabResFlow", "TabPFN-v2", "best other"


class Source(NamedTuple):
    """Where figures were published.

    Attributes:
        citation: By whom, and where.
        chosen: How the settings were chosen.
    """

    citation: str
    chosen: str


SOURCES: Mapping[str, Source] = {
    ENSEMBLES: Source(
        "Lakshminarayanan, Pritzel and Blundell (2017), NeurIPS", "one recipe; a wider network for the largest table"
    ),
    CARD: Source("Han, Zheng and Zhou (2022), NeurIPS", "for each table"),
    NGBOOST: Source("Duan et al. (2020), ICML", "number of trees for each split"),
    BOOSTING: Source(
        "the best, cell by cell, of RoNGBa (Ren et al. 2019), PGBM (Sprangers et al. 2021), IBUG (Brophy and Lowd "
        "2022) and WGBoost (Matsubara 2024); PGBM and IBUG by ten folds of the same rows instead of these splits",
        "for each table or split, and the best of several methods for each cell",
    ),
    TREEFLOW: Source("Wielopolski and Zieba (2023), ECAI", "for each table"),
    TABRESFLOW: Source("Madhusudhanan et al. (2025), arXiv 2508.17056", "for each table"),
    TABPFN: Source("TabPFN v2 (Hollmann et al. 2025), as published for these tables", "none; it was trained on others"),
    OTHER: Source(
        "the best, cell by cell, of functional BNN (boston), XGBoost (energy, protein), deep GP (kin8nm), GMVIP "
        "(yacht) and SVGP (naval)",
        "differs; the best of several methods for each cell",
    ),
}
FIGURES: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "nll": {
        ENSEMBLES: {
            "boston-housing": 2.41, "concrete": 3.06, "energy": 1.38, "kin8nm": -1.20,
            "naval-propulsion-plant": -5.63, "protein-tertiary-structure": 2.83, "yacht": 1.18,
        },
        CARD: {
            "boston-housing": 2.32, "concrete": 2.99, "energy": 1.12, "kin8nm": -1.31,
            "naval-propulsion-plant": -6.49, "protein-tertiary-structure": 2.47, "yacht": 0.89,
        },
        NGBOOST: {
            "boston-housing": 2.43, "concrete": 3.04, "energy": 0.60, "kin8nm": -0.49,
            "naval-propulsion-plant": -5.34, "protein-tertiary-structure": 2.81, "yacht": 0.20,
        },
        BOOSTING: {
            "boston-housing": 2.47, "concrete": 2.73, "energy": 0.37, "kin8nm": -0.75,
            "naval-propulsion-plant": -6.28, "protein-tertiary-structure": 2.60, "yacht": 0.05,
        },
        TREEFLOW: {
            "concrete": 3.02, "energy": 0.85, "kin8nm": -1.03,
            "naval-propulsion-plant": -5.54, "protein-tertiary-structure": 2.02, "yacht": 0.72,
        },
        OTHER: {"naval-propulsion-plant": -9.35},
        TABRESFLOW: {
            "concrete": 2.89, "energy": 0.64, "kin8nm": -1.29,
            "naval-propulsion-plant": -5.33, "protein-tertiary-structure": 1.93, "yacht": 0.56,
        },
        TABPFN: {
            "concrete": 2.215, "energy": 0.150, "kin8nm": -1.27,
            "naval-propulsion-plant": -7.33, "protein-tertiary-structure": 1.73, "yacht": -0.73,
        },
    },
    "rmse": {
        ENSEMBLES: {
            "boston-housing": 3.28, "concrete": 6.03, "energy": 2.09, "kin8nm": 0.09,
            "naval-propulsion-plant": 0.0009, "protein-tertiary-structure": 4.71, "yacht": 1.58,
        },
        CARD: {
            "boston-housing": 2.62, "concrete": 4.92, "energy": 0.69, "kin8nm": 0.064,
            "naval-propulsion-plant": 0.0002, "protein-tertiary-structure": 3.71, "yacht": 0.56,
        },
        NGBOOST: {
            "boston-housing": 2.94, "concrete": 5.06, "energy": 0.46, "kin8nm": 0.16,
            "protein-tertiary-structure": 4.33, "yacht": 0.50,
        },
        BOOSTING: {
            "boston-housing": 2.78, "concrete": 3.73, "energy": 0.306, "kin8nm": 0.103,
            "protein-tertiary-structure": 3.42, "yacht": 0.48,
        },
        TABPFN: {
            "concrete": 3.86, "energy": 0.423, "kin8nm": 0.070,
            "naval-propulsion-plant": 0.0001, "protein-tertiary-structure": 3.53, "yacht": 0.417,
        },
        OTHER: {
            "boston-housing": 2.38, "energy": 0.322, "kin8nm": 0.0636, "protein-tertiary-structure": 3.356,
            "yacht": 0.32,
        },
    },
    "crps": {
        TABRESFLOW: {
            "concrete": 2.44, "energy": 0.294, "kin8nm": 0.0387,
            "naval-propulsion-plant": 0.0007, "protein-tertiary-structure": 1.70, "yacht": 0.538,
        },
        BOOSTING: {"concrete": 1.895, "energy": 0.155, "protein-tertiary-structure": 1.692, "yacht": 0.240},
        OTHER: {"kin8nm": 0.0372},
    },
}  # fmt: skip
