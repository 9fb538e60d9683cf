"""What a relevance program calls beside torch: small pure functions, readable in its printed code.

All are compositions of differentiable torch operators, so a program can be compiled, exported, run
under ``vmap`` and differentiated. Notation: x input, w weight, z output, d denominator,
r relevance at the output, s = r / stabilize(d).
"""

from fxrelay.kernels.division import (
    absorbed,
    bound_of,
    ones_of,
    per_sample,
    stabilize,
    sum_to,
    undistributed,
    where_negative,
    where_positive,
)
from fxrelay.kernels.elementwise import pullback, relu_adjoint
from fxrelay.kernels.indexing import (
    cat_adjoint,
    gathered,
    getitem_adjoint,
    on_padding,
    pad,
    pad_adjoint,
)
from fxrelay.kernels.linear import (
    as_channels,
    average,
    conv_adjoint,
    count,
    scale_channels,
    scale_transposed,
    spread,
    total,
)
from fxrelay.kernels.pooling import (
    adaptive_avg_pool,
    adaptive_avg_pool_adjoint,
    adaptive_max_pool,
    adaptive_max_pool_adjoint,
    avg_pool,
    avg_pool_adjoint,
    max_pool,
    max_pool_adjoint,
)

__all__ = [
    "absorbed",
    "adaptive_avg_pool",
    "adaptive_avg_pool_adjoint",
    "adaptive_max_pool",
    "adaptive_max_pool_adjoint",
    "as_channels",
    "average",
    "avg_pool",
    "avg_pool_adjoint",
    "bound_of",
    "cat_adjoint",
    "conv_adjoint",
    "count",
    "gathered",
    "getitem_adjoint",
    "max_pool",
    "max_pool_adjoint",
    "on_padding",
    "ones_of",
    "pad",
    "pad_adjoint",
    "per_sample",
    "pullback",
    "relu_adjoint",
    "scale_channels",
    "scale_transposed",
    "spread",
    "stabilize",
    "sum_to",
    "total",
    "undistributed",
    "where_negative",
    "where_positive",
]
