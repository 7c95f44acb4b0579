"""The papers' models, one file each: a specification and a torch module."""

from skuae.models._alignn import ALIGNN
from skuae.models._backbone import Augmentation, Backbone, CrystalModule, Inputs, set_precision
from skuae.models._cgcnn import CGCNN
from skuae.models._check import check_backbone
from skuae.models._cogn import CoGN
from skuae.models._crystal_transformer import CrystalTransformer
from skuae.models._crystalbert import CrystalBERT
from skuae.models._elements import N_LEARNED, ElementEmbedding, Elements, LearnedElements
from skuae.models._gated_gcn import GatedGCN
from skuae.models._megnet import MEGNet
from skuae.models._registry import (
    BACKBONES,
    backbone_name,
    decode_params,
    encode_params,
    resolve_backbone,
    same_backbone,
)
from skuae.models._sen import SEN
from skuae.models._sparing import SparingBuild

__all__ = [
    "ALIGNN",
    "BACKBONES",
    "CGCNN",
    "N_LEARNED",
    "SEN",
    "Augmentation",
    "Backbone",
    "CoGN",
    "CrystalBERT",
    "CrystalModule",
    "CrystalTransformer",
    "ElementEmbedding",
    "Elements",
    "GatedGCN",
    "Inputs",
    "LearnedElements",
    "MEGNet",
    "SparingBuild",
    "backbone_name",
    "check_backbone",
    "decode_params",
    "encode_params",
    "resolve_backbone",
    "same_backbone",
    "set_precision",
]
