"""Import torchvision where only CPU torch is installed.

The torchvision wheel declares two operators in a compiled CUDA library. Without it, Python code in
torchvision registers shape functions for operators that do not exist and the import fails.
Declaring the two schemas, and only when they are missing, mends that; calling them is still an
error, as it has to be. Import this module before torchvision, anywhere.
"""

import torch

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def declare_missing_operators() -> tuple[str, ...]:
    """Declare the torchvision operators that torch does not know; return their names."""
    missing = tuple(name for name in SCHEMAS if not hasattr(torch.ops.torchvision, name))
    for name in missing:
        _LIBRARY.define(SCHEMAS[name])
    return missing


_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")


def _load_compiled_operators() -> None:
    import importlib.util
    from pathlib import Path

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    for file in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(file)
        except OSError:
            return


_load_compiled_operators()
MISSING = declare_missing_operators()
