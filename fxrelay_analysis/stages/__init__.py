"""The stages of an analysis. Every one is a row of `STAGES`; help(stage) tells its parameters."""

from collections.abc import Mapping
from typing import Final

from fxrelay_analysis.stage import Counts, Stage
from fxrelay_analysis.stages.cluster import kmeans
from fxrelay_analysis.stages.compare import compare
from fxrelay_analysis.stages.contingency import contingency
from fxrelay_analysis.stages.distances import distances
from fxrelay_analysis.stages.graph import affinity, neighbours
from fxrelay_analysis.stages.manifold import tsne
from fxrelay_analysis.stages.maps import crop_to_mass, histogram, rescale, resize, smooth
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
    "resize": resize,
    "rescale": rescale,
    "smooth": smooth,
    "crop_to_mass": crop_to_mass,
    "histogram": histogram,
    "pool": pool,
    "compress": compress,
    "normalize": normalize,
    "flatten": flatten,
    "preprocess": preprocess,
    "distances": distances,
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
    "crop_to_mass",
    "distances",
    "eigengap",
    "fisher",
    "flatten",
    "histogram",
    "isolation",
    "kmeans",
    "neighbours",
    "normalize",
    "pool",
    "preprocess",
    "prototypes",
    "rescale",
    "resize",
    "silhouette",
    "sizes",
    "smooth",
    "spectral_embedding",
    "surplus",
    "suspicion",
    "tsne",
]
