"""What a relevance program calls beside torch: small pure functions, readable in its printed code.

All are compositions of differentiable torch operators, so a program can be compiled, exported, run
under ``vmap`` and differentiated. Notation: x input, w weight, z output, d denominator,
r relevance at the output, s = r / stabilize(d).
"""

from fxrelay.kernels.attention import (
    LOG_100,
    added_mask,
    attention_mask,
    attention_weights,
    beyond,
    causal_mask,
    from_windows,
    on_window_padding,
    pad_even,
    seen,
    to_windows,
    window_mask,
    without_middle_third,
    zero_position,
)
from fxrelay.kernels.directions import over_channels, suppressed
from fxrelay.kernels.division import (
    absorbed,
    bound_of,
    difference,
    ones_of,
    part_of,
    per_sample,
    served,
    sign,
    stabilize,
    sum_to,
    unserved,
    where_negative,
    where_positive,
)
from fxrelay.kernels.elementwise import (
    cast_back,
    pullback,
    relu_adjoint,
)
from fxrelay.kernels.indexing import (
    cat_adjoint,
    gathered,
    getitem_adjoint,
    on_padding,
    pad,
    pad_adjoint,
    regathered,
    triangle,
    windows,
)
from fxrelay.kernels.linear import (
    as_channels,
    average,
    bias_map,
    box,
    box_adjoint,
    conv_adjoint,
    count,
    interpolate,
    one_channel,
    one_channel_of,
    scale_channels,
    scale_inputs,
    scale_transposed,
    shift_of_inputs,
    spread,
    threshold_adjoint,
    threshold_affine,
    total,
)
from fxrelay.kernels.norms import (
    group_centred,
    group_scale,
    instance_norm,
    layer_centred,
    layer_scale,
    mean_square_scale,
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
from fxrelay.kernels.products import (
    einsum_adjoint,
    matmul_left,
    matmul_right,
    softmax_bias,
    softmax_relevance,
)
from fxrelay.kernels.selecting import (
    deviation,
    discrete,
    largest,
    max_unpool,
    places,
    smallest,
    steps,
    top_places,
    top_values,
    variance,
    vector_norm,
    won,
)

__all__ = [
    "LOG_100", "absorbed", "adaptive_avg_pool", "adaptive_avg_pool_adjoint", "adaptive_max_pool",
    "adaptive_max_pool_adjoint", "added_mask", "as_channels", "attention_mask", "attention_weights",
    "average", "avg_pool", "avg_pool_adjoint", "beyond", "bias_map", "bound_of", "box",
    "box_adjoint", "cast_back", "cat_adjoint", "causal_mask", "conv_adjoint", "count", "deviation",
    "difference", "discrete", "einsum_adjoint", "from_windows", "gathered", "getitem_adjoint",
    "group_centred", "group_scale", "instance_norm", "interpolate", "largest", "layer_centred",
    "layer_scale", "matmul_left", "matmul_right", "max_pool", "max_pool_adjoint", "max_unpool",
    "mean_square_scale", "on_padding", "on_window_padding", "one_channel", "one_channel_of",
    "ones_of", "over_channels", "pad", "pad_adjoint", "pad_even", "part_of", "per_sample", "places",
    "pullback", "regathered", "relu_adjoint", "scale_channels", "scale_inputs", "scale_transposed",
    "seen", "served", "shift_of_inputs", "sign", "smallest", "softmax_bias", "softmax_relevance",
    "spread", "stabilize", "steps", "sum_to", "suppressed", "threshold_adjoint", "threshold_affine",
    "to_windows", "top_places", "top_values", "total", "triangle", "unserved", "variance",
    "vector_norm", "where_negative", "where_positive", "window_mask", "windows",
    "without_middle_third", "won", "zero_position",
]  # fmt: skip
