"""Names of dimensions, variables and attributes."""

from typing import Final

VERSION: Final = 1

# dimensions
SAMPLE: Final = "sample"
TARGET: Final = "target"
CONDITION: Final = "condition"
CHANNEL: Final = "channel"
Y: Final = "y"
X: Final = "x"
TOKEN: Final = "token"
FEATURE: Final = "feature"
TIME: Final = "time"
CLASS: Final = "class"

#: dimensions that may come before those of the input
LEADING: Final = (SAMPLE, TARGET, CONDITION)

# variables of an attribution Dataset
RELEVANCE: Final = "relevance"
OUTPUT: Final = "output"
PREDICTION: Final = "prediction"
LABEL: Final = "label"
INPUT: Final = "input"
RELEVANCE_AT: Final = "relevance_at_"
#: what a recorded node computed
ACTIVATION_AT: Final = "activation_at_"
#: relevance and values of the other inputs of a model with several, by name
RELEVANCE_OF: Final = "relevance_of_"
INPUT_OF: Final = "input_"
SINK: Final = "sink_"
#: coordinates beside TARGET: where in an output with more axes, "target_y"; what is argued against
TARGET_AT: Final = "target_"
AGAINST: Final = "against"

# dimensions and variables of an analysis DataTree (one group per category, and RANKING)
COMPONENT: Final = "component"
AXIS: Final = "axis"
N_CLUSTERS: Final = "n_clusters"
CATEGORY: Final = "category"
RANKING: Final = "ranking"
EMBEDDING: Final = "embedding_"
CLUSTERING: Final = "clustering_"
EIGENVALUE: Final = "eigenvalue"
SUSPICION: Final = "suspicion"
CLUSTER: Final = "cluster"

# dimensions and variables of a report
NODE: Final = "node"
KIND: Final = "kind"
BOOKED: Final = "booked"
LEAK: Final = "leak"
SEED: Final = "seed"
MISSING: Final = "missing"

# attributes
SCHEMA_VERSION: Final = "schema_version"
COMPOSITE: Final = "composite"
MODEL: Final = "model"
MODEL_DIGEST: Final = "model_digest"
VERSIONS: Final = "versions"
CREATED: Final = "created"
