"""Compile relevance programs with torch.compile."""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx


def compiled(graph: fx.GraphModule, **options: Any) -> Callable[..., Any]:
    """Return ``torch.compile(graph)``.

    Raises
    ------
    RuntimeError
        If the program is on the CPU and no C++ compiler is found.
    """
    if all(t.device.type == "cpu" for t in (*graph.parameters(), *graph.buffers())):
        _require_compiler()
    run: Callable[..., Any] = torch.compile(graph, **options)
    return run


def _require_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise RuntimeError(
            "relay.compile: needs a C++ compiler; found none. Install g++ or clang, name one in "
            "the environment variable CXX, or use the program as it is."
        ) from None
