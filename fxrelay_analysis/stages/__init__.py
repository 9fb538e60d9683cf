"""The stages of an analysis. Every one is a row of `STAGES`; help(stage) tells its parameters."""

from collections.abc import Mapping
from typing import Final

from fxrelay_analysis.stage import Counts, Stage
from fxrelay_analysis.stages.channels import concept_vectors
from fxrelay_analysis.stages.choose import choose_n_clusters
from fxrelay_analysis.stages.cluster import kmeans, spectral_clustering
from fxrelay_analysis.stages.compare import compare
from fxrelay_analysis.stages.components import kernel_pca, pca
from fxrelay_analysis.stages.concepts import concepts, sensitivity
from fxrelay_analysis.stages.contingency import contingency
from fxrelay_analysis.stages.density import dbscan, hdbscan
from fxrelay_analysis.stages.diffusion import diffusion_map
from fxrelay_analysis.stages.distances import distances
from fxrelay_analysis.stages.equalize import equalize
from fxrelay_analysis.stages.extend import (
    extend_clustering,
    extend_kernel_pca,
    extend_nearest,
    extend_pca,
)
from fxrelay_analysis.stages.fisher import fisher
from fxrelay_analysis.stages.gap import gap_statistic
from fxrelay_analysis.stages.graph import affinity, neighbours
from fxrelay_analysis.stages.hierarchy import agglomerative, cut_dendrogram, dendrogram
from fxrelay_analysis.stages.manifold import tsne, umap
from fxrelay_analysis.stages.maps import crop_to_mass, histogram, rescale, resize, smooth
from fxrelay_analysis.stages.means import mean_maps
from fxrelay_analysis.stages.mixture import extend_mixture, gaussian_mixture
from fxrelay_analysis.stages.nystroem import nystroem
from fxrelay_analysis.stages.outliers import outliers
from fxrelay_analysis.stages.pcx import concept_prototypes
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
from fxrelay_analysis.stages.select import select
from fxrelay_analysis.stages.separation import calinski_harabasz, davies_bouldin, silhouette
from fxrelay_analysis.stages.spectral import spectral_embedding
from fxrelay_analysis.stages.stability import stability
from fxrelay_analysis.stages.suspicion import isolation, surplus, suspicion, verdict
from fxrelay_analysis.stages.unfold import isomap, lle, mds
from fxrelay_analysis.stages.validity import eigengap, sizes

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
    "equalize": equalize,
    "distances": distances,
    "neighbours": neighbours,
    "affinity": affinity,
    "spectral_embedding": spectral_embedding,
    "diffusion_map": diffusion_map,
    "pca": pca,
    "kernel_pca": kernel_pca,
    "tsne": tsne,
    "umap": umap,
    "lle": lle,
    "isomap": isomap,
    "mds": mds,
    "select": select,
    "kmeans": kmeans,
    "gaussian_mixture": gaussian_mixture,
    "spectral_clustering": spectral_clustering,
    "agglomerative": agglomerative,
    "dendrogram": dendrogram,
    "cut_dendrogram": cut_dendrogram,
    "dbscan": dbscan,
    "hdbscan": hdbscan,
    "nystroem": nystroem,
    "extend_pca": extend_pca,
    "extend_kernel_pca": extend_kernel_pca,
    "extend_nearest": extend_nearest,
    "extend_clustering": extend_clustering,
    "extend_mixture": extend_mixture,
    "eigengap": eigengap,
    "sizes": sizes,
    "fisher": fisher,
    "isolation": isolation,
    "silhouette": silhouette,
    "calinski_harabasz": calinski_harabasz,
    "davies_bouldin": davies_bouldin,
    "stability": stability,
    "gap_statistic": gap_statistic,
    "choose_n_clusters": choose_n_clusters,
    "prototypes": prototypes,
    "surplus": surplus,
    "suspicion": suspicion,
    "verdict": verdict,
    "contingency": contingency,
    "compare": compare,
    "outliers": outliers,
    "concept_vectors": concept_vectors,
    "concept_prototypes": concept_prototypes,
    "mean_maps": mean_maps,
    "concepts": concepts,
    "sensitivity": sensitivity,
}

__all__ = [
    "STAGES",
    "Counts",
    "Stage",
    "absolute",
    "affinity",
    "agglomerative",
    "calinski_harabasz",
    "channel_sum",
    "choose_n_clusters",
    "compare",
    "compress",
    "concept_prototypes",
    "concept_vectors",
    "concepts",
    "contingency",
    "crop_to_mass",
    "cut_dendrogram",
    "davies_bouldin",
    "dbscan",
    "dendrogram",
    "diffusion_map",
    "distances",
    "eigengap",
    "equalize",
    "extend_clustering",
    "extend_kernel_pca",
    "extend_mixture",
    "extend_nearest",
    "extend_pca",
    "fisher",
    "flatten",
    "gap_statistic",
    "gaussian_mixture",
    "hdbscan",
    "histogram",
    "isolation",
    "isomap",
    "kernel_pca",
    "kmeans",
    "lle",
    "mds",
    "mean_maps",
    "neighbours",
    "normalize",
    "nystroem",
    "outliers",
    "pca",
    "pool",
    "preprocess",
    "prototypes",
    "rescale",
    "resize",
    "select",
    "sensitivity",
    "silhouette",
    "sizes",
    "smooth",
    "spectral_clustering",
    "spectral_embedding",
    "stability",
    "surplus",
    "suspicion",
    "tsne",
    "umap",
    "verdict",
]
