"""Pipelines that `spray` knows by name."""

from collections.abc import Mapping
from typing import Final

from fxrelay.schema import RELEVANCE
from fxrelay_analysis import stages
from fxrelay_analysis.pipeline import Pipeline, Step

SPRAY: Final = Pipeline(
    (
        Step("preprocess", stages.preprocess, (RELEVANCE,), shown=False),
        Step("equalize", stages.equalize, ("preprocess",), shown=False),
        Step("neighbours", stages.neighbours, ("equalize",), shown=False),
        Step("affinity", stages.affinity, ("neighbours",), shown=False),
        Step("spectral_embedding", stages.spectral_embedding, ("affinity",)),
        Step("tsne", stages.tsne, ("spectral_embedding",)),
        Step("kmeans", stages.kmeans, ("spectral_embedding",), {"n_clusters": range(2, 11)}),
        Step("eigengap", stages.eigengap, ("spectral_embedding",)),
        Step("sizes", stages.sizes, ("kmeans",)),
        Step("fisher", stages.fisher, ("equalize", "kmeans", "spectral_embedding")),
        Step("isolation", stages.isolation, ("affinity", "kmeans")),
        Step("silhouette", stages.silhouette, ("spectral_embedding", "kmeans")),
        Step("prototypes", stages.prototypes, ("spectral_embedding", "kmeans")),
        Step("outliers", stages.outliers, ("equalize", "neighbours"), {"methods": ["knn", "lof"]}),
        Step("surplus", stages.surplus, ("equalize", "kmeans")),
        Step("suspicion", stages.suspicion, ("fisher", "sizes", "surplus")),
    )
)

#: name -> pipeline
PIPELINES: Final[Mapping[str, Pipeline]] = {"spray": SPRAY}
