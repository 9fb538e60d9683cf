"""What each variable is called in words, and its unit: set once, read by plots."""

from collections.abc import Mapping
from typing import Final

import xarray as xr

from fxrelay.schema.names import (
    ACTIVATION_AT,
    AGAINST,
    BOOKED,
    CLASS,
    CONDITION,
    EIGENVALUE,
    INPUT,
    INPUT_OF,
    KIND,
    LABEL,
    LEAK,
    MISSING,
    NODE,
    OUTPUT,
    PREDICTION,
    RELEVANCE,
    RELEVANCE_AT,
    RELEVANCE_OF,
    SAMPLE,
    SEED,
    SINK,
    SUSPICION,
    TARGET,
    TARGET_AT,
)

#: name -> (long_name, unit), set once when a Dataset is made; plots read them.
VARIABLES: Final[Mapping[str, tuple[str, str]]] = {
    RELEVANCE: ("relevance of the input", "output units"),
    OUTPUT: ("model output", "1"),
    PREDICTION: ("predicted class", "class index"),
    LABEL: ("true class", "class index"),
    TARGET: ("explained output", "class index"),
    CONDITION: ("what relevance may pass", "1"),
    AGAINST: ("output argued against", "class index"),
    INPUT: ("model input", "1"),
    NODE: ("path of the node", "1"),
    KIND: ("what relevance is booked as", "1"),
    "relevance_in": ("relevance that the node got", "output units"),
    "relevance_out": ("relevance that the node handed on", "output units"),
    BOOKED: ("relevance that the node booked in sinks", "output units"),
    LEAK: ("relevance that the node neither handed on nor booked", "output units"),
    SEED: ("relevance given at the output", "output units"),
    MISSING: ("relevance that no input and no sink has", "output units"),
    SAMPLE: ("sample id", "1"),
    CLASS: ("class name", "1"),
    EIGENVALUE: ("eigenvalue of the normalised Laplacian", "1"),
    SUSPICION: ("suspicion of a Clever Hans strategy", "most that one mode reaches"),
    "degree": ("weight of a sample's edges", "1"),
    "n_connected": ("connected components of the graph", "1"),
    "connected": ("connected component of the sample, 0 the largest", "component index"),
    "n_isolated": ("samples without edges", "1"),
    "neighbour": ("position of the neighbour", "1"),
    "distance": ("distance between samples", "1"),
    "edge_source": ("position of the sample where an edge begins", "1"),
    "edge_target": ("position of the sample where an edge ends", "1"),
    "edge_weight": ("affinity", "1"),
    "histogram": ("density of relevance", "1 / output units"),
    "eigengap": ("step to the next eigenvalue", "1"),
    "embedding_spectral": ("spectral embedding", "1"),
    "embedding_tsne": ("t-SNE", "1"),
    "embedding_umap": ("UMAP", "1"),
    "embedding_pca": ("principal components", "1"),
    "embedding_kernel_pca": ("kernel principal components", "1"),
    "embedding_diffusion_map": ("diffusion map", "1"),
    "embedding_lle": ("locally linear embedding", "1"),
    "embedding_isomap": ("Isomap", "1"),
    "embedding_mds": ("multidimensional scaling", "1"),
    "explained_variance": ("variance along the axis", "1"),
    "explained_variance_ratio": ("share of the variance along the axis", "1"),
    "pca_centre": ("mean of the samples", "1"),
    "pca_direction": ("direction of the axis", "1"),
    "kernel_eigenvalue": ("eigenvalue of the centred kernel", "1"),
    "kernel_direction": ("weight of the sample's kernel in the axis", "1"),
    "kernel_mean": ("mean kernel of the sample with all", "1"),
    "diffusion_degree": ("weight of the sample's edges, density included", "1"),
    "diffusion_eigenvalue": ("eigenvalue of the random walk", "1"),
    "clustering_kmeans": ("cluster by k-means, 0 the largest", "cluster index"),
    "clustering_gaussian_mixture": ("cluster by Gaussian mixture, 0 the largest", "cluster index"),
    "clustering_spectral_clustering": ("cluster by graph cut, 0 the largest", "cluster index"),
    "clustering_agglomerative": ("cluster by merging, 0 the largest", "cluster index"),
    "clustering_dendrogram": ("cluster below a height, 0 the largest", "cluster index"),
    "height": ("greatest height of a merge", "1"),
    "clustering_dbscan": ("cluster by DBSCAN, 0 the largest, -1 noise", "cluster index"),
    "clustering_hdbscan": ("cluster by HDBSCAN, 0 the largest, -1 noise", "cluster index"),
    "n_clusters": ("number of clusters", "1"),
    "eps": ("distance within which samples are close", "1"),
    "min_cluster_size": ("least samples of a cluster", "1"),
    "responsibility": ("probability of the component given the sample", "1"),
    "log_likelihood": ("log of the sample's density", "1"),
    "bic": ("Bayesian information criterion, the less the better", "1"),
    "aic": ("Akaike information criterion, the less the better", "1"),
    "converged": ("whether the solver ended before its last step", "1"),
    "core": ("whether the sample lies densely", "1"),
    "probability": ("how central the sample is in its cluster", "1"),
    "merge_left": ("cluster that is merged, the earlier", "node index"),
    "merge_right": ("cluster that is merged, the later", "node index"),
    "merge_height": ("distance of the merged clusters", "1"),
    "merge_place": ("place of the merged cluster among the leaves", "1"),
    "merge_size": ("samples of the merged cluster", "1"),
    "leaf_order": ("position of the sample drawn there", "1"),
    "feature": ("preprocessed relevance", "1"),
    "cluster_size": ("samples in the cluster", "1"),
    "separability": ("separability of the cluster", "most that one mode reaches"),
    "valley": ("probability of the valley around the cluster by chance", "1"),
    "isolation": ("edges of the cluster for each one that leaves it", "1"),
    "silhouette": ("mean silhouette of the cluster", "1"),
    "mean_silhouette": ("mean silhouette", "1"),
    "calinski_harabasz": ("spread of means over spread within", "1"),
    "davies_bouldin": ("spread within over distance of means", "1"),
    "cluster_davies_bouldin": ("spread over distance to the nearest cluster", "1"),
    "stability": ("mean adjusted Rand index under resampling", "1"),
    "stability_spread": ("standard deviation of the adjusted Rand index", "1"),
    "cluster_stability": ("mean Jaccard similarity under resampling", "1"),
    "gap": ("gap to data without clusters", "1"),
    "gap_error": ("standard error of the gap", "1"),
    "score": ("score of the number of clusters", "1"),
    "suggested_n_clusters": ("number of clusters that is suggested, 0 for none", "1"),
    "votes": ("criteria that suggest this number of clusters", "1"),
    "surplus": ("greatest rise of mean relevance over the rest", "1"),
    "prototype": ("sample id of the cluster's medoid", "1"),
    "n_samples": ("samples of the category", "1"),
    "count": ("samples of the cluster with these values", "1"),
    "adjusted_rand_index": ("adjusted Rand index", "1"),
    "normalized_mutual_information": ("mutual information over the mean entropy", "1"),
    "adjusted_mutual_information": ("mutual information adjusted for chance", "1"),
    "match": ("cluster of the other clustering that belongs to the cluster", "cluster index"),
    "prototype_mean": ("mean concept vector of the component", "1"),
    "prototype_spread": ("standard deviation of the component", "1"),
    "prototype_coverage": ("share of samples that belong to the component", "1"),
    "deviation": ("departure from the prototype, above 0 used more", "1"),
    "ordinariness": ("share of samples that are less likely", "1"),
    "concept": ("what a sample has of each channel", "1"),
    "direction": ("direction of the concept, of length 1", "1"),
    "origin": ("mean activation that the concept is measured from", "1"),
    "auroc": ("area under the ROC curve of the direction, cross-validated", "1"),
    "accuracy": ("balanced accuracy of the direction, cross-validated", "1"),
    "sensitivity": ("change of the output along the direction", "output units"),
    "tcav": ("share of samples whose output rises along the direction", "1"),
    "overlap": ("shared samples of a cluster and its match over those of either", "1"),
    "chosen_n_clusters": ("clusters of the most telling clustering", "1"),
    "suspicious_cluster": ("most suspicious cluster", "cluster index"),
    "suspicious_size": ("samples in the most suspicious cluster", "1"),
    "flagged": ("suspicion at or above the threshold", "1"),
    "analysed": ("category with enough samples", "1"),
}  # fmt: skip

#: beginning of a name -> (long_name of the rest, unit), for variables that have no row of their own
PREFIXES: Final[Mapping[str, tuple[str, str]]] = {
    RELEVANCE_OF: ("relevance of {}", "output units"),
    RELEVANCE_AT: ("relevance at {}", "output units"),
    ACTIVATION_AT: ("activation at {}", "1"),
    SINK: ("relevance absorbed by {}", "output units"),
    INPUT_OF: ("model input {}", "1"),
    TARGET_AT: ("{} of the explained output", "index"),
    "mean_": ("mean {} of the cluster", "1"),
    "outlier_rank_": ("share of samples that are less odd by {}", "1"),
    "outlier_": ("oddness by {}", "1"),
    "count_": ("samples of the cluster by {}", "1"),
    "p_value_": ("p-value of {} in the cluster", "1"),
    "q_value_": ("p-value of {} in the cluster, corrected for all tests", "1"),
    "odds_ratio_": ("odds of {} in the cluster over those outside", "1"),
    "log2_enrichment_": ("share of {} in the cluster over its share of all", "bit"),
    "majority_": ("most frequent {} of the cluster", "1"),
    "purity_": ("share of the cluster with its most frequent {}", "1"),
    "focus_": ("share of the most frequent {} that the cluster holds", "1"),
    f"{SUSPICION}_": ("suspicion {}", "separability of a continuum"),
    f"{AGAINST}_": ("{} of the output argued against", "index"),
}


def describe(ds: xr.Dataset) -> xr.Dataset:
    """Return a copy of `ds` whose known variables carry ``long_name`` and ``units``."""
    out = ds.copy()
    for name in map(str, out.variables):
        if (known := VARIABLES.get(name) or _by_prefix(name)) is None:
            continue
        long_name, units = known
        known_attrs = {"long_name": long_name, "units": units}
        if out[name].dtype.kind in "mM":
            del known_attrs["units"]  # files keep the unit of a date there
        out[name].attrs = known_attrs | out[name].attrs
    return out


def _by_prefix(name: str) -> tuple[str, str] | None:
    prefix = next((p for p in PREFIXES if name.startswith(p)), None)
    if prefix is None:
        return None
    long_name, units = PREFIXES[prefix]
    return long_name.format(name.removeprefix(prefix)), units
