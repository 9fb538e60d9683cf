"""Pipelines that `spray` knows by name."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fxrelay.schema import RELEVANCE
from fxrelay_analysis import stages
from fxrelay_analysis.pipeline import BACKGROUND, Pipeline, Step
from fxrelay_analysis.stage import Stage

EQUALIZED: Final = "equalized"


def _clustered(features: str, suffix: str = "") -> Iterator[Step]:
    """Yield the steps from features to what is said of their clusters."""

    def name(step: str) -> str:
        return f"{step}_{suffix}" if suffix else step

    def step(stage: type[Stage], *inputs: str, shown: bool = True, **parameters: Any) -> Step:
        return Step(name(stage.__name__), stage, inputs, parameters, shown, suffix=suffix)

    graph, spectrum, found = map(name, ("affinity", "spectral_embedding", "kmeans"))
    yield step(stages.neighbours, features, shown=False)
    yield step(stages.affinity, name("neighbours"), shown=False)
    yield step(stages.spectral_embedding, graph)
    yield step(stages.tsne, spectrum)
    yield step(stages.kmeans, spectrum, n_clusters=range(2, 13))
    yield step(stages.eigengap, spectrum)
    yield step(stages.sizes, found)
    yield step(stages.fisher, "preprocess", found, f"{BACKGROUND}preprocess")
    yield step(stages.isolation, graph, found)
    yield step(stages.silhouette, spectrum, found)
    yield step(stages.prototypes, spectrum, found)
    yield step(stages.surplus, features, found)
    judged = map(name, ("fisher", "sizes", "surplus"))
    yield step(stages.suspicion, *judged, shown=False, clustering=found)


#: two metrics side by side: relevance as it is shows the frequent strategies, and the rare ones
#: where every place counts the same
SPRAY: Final = Pipeline(
    (
        Step("preprocess", stages.preprocess, (RELEVANCE,), shown=False),
        *_clustered("preprocess"),
        Step("equalize", stages.equalize, ("preprocess",), shown=False),
        *_clustered("equalize", EQUALIZED),
        Step(
            "outliers", stages.outliers, ("preprocess", "neighbours"), {"methods": ["knn", "lof"]}
        ),
        Step("verdict", stages.verdict, ("suspicion", f"suspicion_{EQUALIZED}")),
    )
)

#: name -> pipeline
PIPELINES: Final[Mapping[str, Pipeline]] = {"spray": SPRAY}
