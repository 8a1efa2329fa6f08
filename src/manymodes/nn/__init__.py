"""Networks that return a distribution: backbones, embeddings, the mixture head, and all joined with scaling."""

from manymodes.nn.backbones import MLP
from manymodes.nn.embeddings import CategoryEmbedding, PeriodicEmbedding, TableEmbedding
from manymodes.nn.heads import MixtureHead
from manymodes.nn.members import Members
from manymodes.nn.network import MixtureDensityNetwork
from manymodes.nn.retrieval import Retrieval
from manymodes.nn.scaling import PartScaling, Standardizer, TableScaling

__all__ = [
    "MLP",
    "CategoryEmbedding",
    "Members",
    "MixtureDensityNetwork",
    "MixtureHead",
    "PartScaling",
    "PeriodicEmbedding",
    "Retrieval",
    "Standardizer",
    "TableEmbedding",
    "TableScaling",
]
