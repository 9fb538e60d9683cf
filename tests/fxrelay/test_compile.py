"""Compiled programs, and programs in other types and memory layouts."""

import pytest
import torch
from nets import build, inputs, seed_at

import fxrelay
from fxrelay import composites


def program(model, name="epsilon_gamma_box"):
    box = {"low": -6.0, "high": 6.0} if name == "epsilon_gamma_box" else {}
    graph = fxrelay.canonize(fxrelay.trace(model))
    return fxrelay.relay(fxrelay.annotate(graph, composites.COMPOSITES[name](**box)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")
@pytest.mark.parametrize("name", ["epsilon_gamma_box", "epsilon_plus_flat"])
def test_compiled_equals_eager(name):
    model, x = build("residual"), inputs()
    relay, seed = program(model, name), seed_at(model(x), [0, 1])
    fast = relay.compile()
    assert relay.compile() is fast
    want, got = relay(x, seed), fast(x, seed)
    torch.testing.assert_close(got.relevance, want.relevance, rtol=1e-9, atol=1e-12)
    for sink, value in want.sinks.items():
        torch.testing.assert_close(got.sinks[sink], value, rtol=1e-7, atol=1e-9)
    ds = fxrelay.attribute(fast, x, [0, 1])
    assert abs(ds["relevance"].values - want.relevance.numpy()).max() < 1e-9


def test_without_a_compiler_the_error_says_what_to_do(monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    from torch._inductor import cpp_builder

    cpp_builder.cpp_compiler_search.cache_clear()
    with pytest.raises(RuntimeError, match=r"needs a C\+\+ compiler; found none"):
        program(build("plain")).compile()
    cpp_builder.cpp_compiler_search.cache_clear()


@pytest.mark.parametrize("name", ["epsilon_gamma_box", "epsilon_plus", "epsilon_alpha2_beta1_flat"])
@pytest.mark.parametrize(
    ("dtype", "agreement"), [(torch.bfloat16, 0.99), (torch.float16, 0.999)], ids=str
)
def test_half_precision_is_close(name, dtype, agreement):
    model, x = build("residual", dtype=torch.float32), inputs(dtype=torch.float32)
    seed = seed_at(model(x), [0, 1])
    want = program(model, name)(x, seed).relevance.flatten()
    half = program(model.to(dtype), name)(x.to(dtype), seed.to(dtype)).relevance
    assert half.dtype == dtype
    assert bool(half.isfinite().all())
    got = half.float().flatten()
    assert float(torch.nn.functional.cosine_similarity(got, want, 0)) > agreement


@pytest.mark.parametrize("name", ["epsilon_gamma_box", "epsilon_plus", "epsilon_alpha2_beta1_flat"])
def test_channels_last_is_equal_and_mostly_kept(name):
    model, x = build("residual"), inputs()
    relay, seed = program(model, name), seed_at(model(x), [0, 1])
    got = relay(x.contiguous(memory_format=torch.channels_last), seed).relevance
    torch.testing.assert_close(got, relay(x, seed).relevance, rtol=1e-9, atol=1e-12)
    if name != "epsilon_alpha2_beta1_flat":  # flat repeats one channel
        assert got.is_contiguous(memory_format=torch.channels_last)


NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.gpu
@NEEDS_CUDA
def test_cuda_equals_cpu_without_synchronisation():
    model, x = build("residual"), inputs()
    seed = seed_at(model(x), [0, 1])
    want = program(model)(x, seed).relevance
    relay, x, seed = program(model.cuda()), x.cuda(), seed.cuda()
    relay.graph.forward(x, seed)
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = relay.graph.forward(x, seed)["relevance"]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(next(iter(got.values())).cpu(), want, rtol=1e-9, atol=1e-12)


@pytest.mark.gpu
@NEEDS_CUDA
def test_cuda_graphs_equal_eager():
    """Small batches are bound by the launch of kernels: a graph launches all of them at once."""
    model, x = build("residual", dtype=torch.float32).cuda(), inputs(dtype=torch.float32).cuda()
    relay, seed = program(model, "epsilon_plus_flat"), seed_at(model(x), [0, 1])
    fast = relay.compile(mode="reduce-overhead")
    want = relay(x, seed).relevance
    for _ in range(3):  # warm up, record, replay
        got = fast(x, seed).relevance.clone()
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-6)
