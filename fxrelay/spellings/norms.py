"""Spellings of normalisations by the statistics of a sample."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F

from fxrelay import kernels
from fxrelay.spellings.calls import Spelling, call
from fxrelay.spellings.linear import aten_batch_norm, batch_norm


def _layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    return call(F.layer_norm, input, list(normalized_shape), weight, bias, eps)


def _rms_norm(input, normalized_shape, weight=None, eps=None):
    return call(F.rms_norm, input, list(normalized_shape), weight, eps)


def _group_norm(input, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    return call(F.group_norm, input, num_groups, weight, bias, eps)


def _instance_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True,
    momentum=0.1, eps=1e-5,
):  # fmt: skip
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, 0.0, eps)
    return call(kernels.instance_norm, input, weight, bias, eps)


def _aten_instance_norm(input, weight, bias, mean, var, use_input_stats, momentum, eps, cudnn):
    return _instance_norm(input, mean, var, weight, bias, use_input_stats, momentum, eps)


BY_NAME: Mapping[str, Spelling] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
}


def _inference_batch_norm(input, weight, bias, mean, var, momentum, eps):
    """Batch norm as an export leaves it: with statistics of the batch that nobody uses."""
    return batch_norm(input, mean, var, weight, bias, False, 0.0, eps), None, None


BY_KEY: Mapping[Any, Spelling] = {
    torch.ops.aten._native_batch_norm_legit_no_training.default: _inference_batch_norm,
    torch.ops.aten.batch_norm.default: aten_batch_norm,
    torch.batch_norm: aten_batch_norm,
    torch.ops.aten.instance_norm.default: _aten_instance_norm,
    torch.instance_norm: _aten_instance_norm,
}
