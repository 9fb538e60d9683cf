"""Where a result comes from: model, composite, versions."""

from typing import TYPE_CHECKING

import torch
import xxhash
from torch import nn

from fxrelay import schema
from fxrelay.text import versions

if TYPE_CHECKING:
    from fxrelay.running import Relay


def provenance(program: "Relay") -> dict[str, str | int]:
    """Return the attributes that say how a Dataset was made; equal work gives equal attributes."""
    meta = program.model.meta
    return {
        schema.SCHEMA_VERSION: schema.VERSION,
        schema.MODEL: meta.get(schema.MODEL, type(program.model).__name__),
        schema.MODEL_DIGEST: program.digest,
        schema.COMPOSITE: meta.get(schema.COMPOSITE, "annotated graph"),
        schema.VERSIONS: versions("fxrelay", "torch", "numpy", "xarray"),
    }


def digest_of(module: nn.Module, code: str) -> str:
    """Digest of a program: its code and the bytes of every tensor in it."""
    hasher = xxhash.xxh3_128(code.encode())
    for name, tensor in sorted(module.state_dict().items()):
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        hasher.update(flat.view(torch.uint8).numpy() if flat.numel() else b"")
    return hasher.hexdigest()
