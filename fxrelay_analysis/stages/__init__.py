"""The stages of an analysis. Every one is a row of `STAGES`; help(stage) tells its parameters."""

from collections.abc import Mapping
from typing import Final

from fxrelay_analysis.stage import Counts, Stage
from fxrelay_analysis.stages.cluster import kmeans
from fxrelay_analysis.stages.compare import compare
from fxrelay_analysis.stages.contingency import contingency
from fxrelay_analysis.stages.graph import affinity, neighbours
from fxrelay_analysis.stages.manifold import tsne
from fxrelay_analysis.stages.preprocess import (
    absolute,
    channel_sum,
    compress,
    flatten,
    normalize,
    pool,
    preprocess,
)
from fxrelay_analysis.stages.prototypes import prototypes
from fxrelay_analysis.stages.spectral import spectral_embedding
from fxrelay_analysis.stages.suspicion import fisher, isolation, surplus, suspicion
from fxrelay_analysis.stages.validity import eigengap, silhouette, sizes

#: name -> stage, in the order in which an analysis uses them
STAGES: Final[Mapping[str, type[Stage]]] = {
    "channel_sum": channel_sum,
    "absolute": absolute,
    "pool": pool,
    "compress": compress,
    "normalize": normalize,
    "flatten": flatten,
    "preprocess": preprocess,
    "neighbours": neighbours,
    "affinity": affinity,
    "spectral_embedding": spectral_embedding,
    "tsne": tsne,
    "kmeans": kmeans,
    "eigengap": eigengap,
    "sizes": sizes,
    "fisher": fisher,
    "isolation": isolation,
    "silhouette": silhouette,
    "prototypes": prototypes,
    "surplus": surplus,
    "suspicion": suspicion,
    "contingency": contingency,
    "compare": compare,
}

__all__ = [
    "STAGES",
    "Counts",
    "Stage",
    "absolute",
    "affinity",
    "channel_sum",
    "compare",
    "compress",
    "contingency",
    "eigengap",
    "fisher",
    "flatten",
    "isolation",
    "kmeans",
    "neighbours",
    "normalize",
    "pool",
    "preprocess",
    "prototypes",
    "silhouette",
    "sizes",
    "spectral_embedding",
    "surplus",
    "suspicion",
    "tsne",
]
