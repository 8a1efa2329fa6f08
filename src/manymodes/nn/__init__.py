"""Networks that return a distribution: backbones, embeddings, heads, and all joined with scaling."""

from manymodes.nn.autoregressive import AutoregressiveHead
from manymodes.nn.backbones import MLP
from manymodes.nn.convolutions import Convolution
from manymodes.nn.embeddings import CategoryEmbedding, PeriodicEmbedding, TableEmbedding
from manymodes.nn.head import Head
from manymodes.nn.heads import MixtureHead
from manymodes.nn.members import Members
from manymodes.nn.network import MixtureDensityNetwork
from manymodes.nn.retrieval import Retrieval
from manymodes.nn.scaling import PartScaling, Standardizer, TableScaling
from manymodes.nn.sequences import CausalTransformer, Recurrent, SequenceBackbone, TemporalConvolution

__all__ = [
    "MLP",
    "AutoregressiveHead",
    "CategoryEmbedding",
    "CausalTransformer",
    "Convolution",
    "Head",
    "Members",
    "MixtureDensityNetwork",
    "MixtureHead",
    "PartScaling",
    "PeriodicEmbedding",
    "Recurrent",
    "Retrieval",
    "SequenceBackbone",
    "Standardizer",
    "TableEmbedding",
    "TableScaling",
    "TemporalConvolution",
]
