"""Hugging Face models, small and random: relevance per token, exact graphs, balanced books."""

import fxrelay.vision  # noqa: I001
import pytest
import torch

import fxrelay
from fxrelay import composites

transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 64}  # fmt: skip
TEXT = SMALL | {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
VISION = SMALL | {"image_size": 16, "patch_size": 4}


def tokens():
    return torch.randint(3, 50, (2, 7), generator=torch.Generator().manual_seed(0))


def image():
    return torch.randn(2, 3, 16, 16, dtype=torch.float64)


def bert():
    config = transformers.BertConfig(**TEXT, max_position_embeddings=32, num_labels=3)
    return transformers.BertForSequenceClassification(config), tokens(), "logits"


def gpt2():
    config = transformers.GPT2Config(
        n_embd=32, n_layer=2, n_head=4, n_positions=32, vocab_size=50, bos_token_id=1,
        eos_token_id=2, use_cache=False,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config), tokens(), "logits"


def llama():
    config = transformers.LlamaConfig(**TEXT, num_key_value_heads=2, use_cache=False)
    return transformers.LlamaForCausalLM(config), tokens(), "logits"


def vit():
    config = transformers.ViTConfig(**VISION, num_labels=3)
    return transformers.ViTForImageClassification(config), image(), "logits"


def clip_vision():
    config = transformers.CLIPVisionConfig(**VISION)
    return transformers.CLIPVisionModelWithProjection(config), image(), "image_embeds"


def clip_text():
    config = transformers.CLIPTextConfig(**TEXT, max_position_embeddings=16)
    return transformers.CLIPTextModelWithProjection(config), tokens(), "text_embeds"


MODELS = {f.__name__: f for f in (bert, gpt2, llama, vit, clip_vision, clip_text)}
#: models that compute norms in float32, whatever their weights are
SINGLE = {"llama"}


def build(name, attention="sdpa"):
    torch.manual_seed(0)
    model, x, output = MODELS[name]()
    model.set_attn_implementation(attention)
    return model.double().eval(), x, output


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_family(name, attention):
    model, x, output = build(name, attention)
    want = model(x)[output]
    graph = fxrelay.canonize(fxrelay.trace(model, x, output=output))
    torch.testing.assert_close(graph(x), want, rtol=1e-10, atol=1e-12)
    seed = torch.zeros_like(want)
    seed[(slice(None), -1, 1) if want.dim() == 3 else (slice(None), 1)] = 1
    for composite in ("cp_lrp", "attn_lrp"):
        preset = getattr(composites, composite)(epsilon=1e-9, stabilizer=1e-9)
        out = fxrelay.relay(fxrelay.annotate(graph, preset))(x, seed)
        assert out.relevance.shape == x.shape
        total = out.relevance.flatten(1).sum(1) + sum(out.sinks.values())
        tolerance = 1e-3 if name in SINGLE else 1e-6
        torch.testing.assert_close(total, torch.ones(2).double(), rtol=0, atol=tolerance)


def test_padded_tokens_get_no_relevance():
    """A mask among the inputs is a constant, and what it hides has nothing to give."""
    model, x, _ = build("bert")
    mask = torch.ones_like(x)
    mask[0, 5:] = 0
    inputs = {"input_ids": x, "attention_mask": mask}
    ds = fxrelay.attribute(model, inputs, 1, composite="attn_lrp", output="logits")
    assert ds["relevance"].dims == ("sample", "token")
    assert abs(ds["relevance"][0, 5:]).max() < 1e-12
    assert abs(ds["relevance"][1, 5:]).min() > 0


def test_relevance_at_embeddings_adds_up_to_that_of_tokens():
    """From the embeddings on: the same as looked-up tokens, feature by feature."""
    model, x, _ = build("gpt2")
    embedded = model.transformer.wte(x).detach()
    graphs = [
        fxrelay.canonize(fxrelay.trace(model, given, output="logits"))
        for given in ({"input_ids": x}, {"inputs_embeds": embedded})
    ]
    seed = torch.zeros_like(model(x).logits)
    seed[:, -1, 1] = 1
    tokens, features = (
        fxrelay.relay(fxrelay.annotate(g, "attn_lrp"))(given, seed).relevance
        for g, given in zip(graphs, (x, embedded), strict=True)
    )
    torch.testing.assert_close(features.sum(-1), tokens)
