"""AttnLRP of a Llama equals LXT's where that is there (``pip install --no-deps lxt tabulate``).

LXT patches classes of the whole process without undo, so it runs in a process of its own. Two names
that transformers 5 has dropped are put back for its import, and its table of attention functions
gets the method that transformers 5 asks it for.
"""

import importlib.util
import subprocess
import sys

import pytest

SCRIPT = """
import fxrelay.vision, fxrelay, torch, transformers
import transformers.pytorch_utils as utils
for name in ("find_pruneable_heads_and_indices", "prune_linear_layer"):
    setattr(utils, name, None)
from lxt.efficient import monkey_patch
from transformers.models.llama import modeling_llama

torch.manual_seed(0)
config = transformers.LlamaConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
    vocab_size=50, bos_token_id=1, eos_token_id=2, num_key_value_heads=2, use_cache=False,
    attn_implementation="eager",
)
model = transformers.LlamaForCausalLM(config).eval()
embedded = model.model.embed_tokens(torch.randint(3, 50, (2, 7))).detach()
graph = fxrelay.canonize(fxrelay.trace(model, {"inputs_embeds": embedded}, output="logits"))
preset = fxrelay.composites.attn_lrp(epsilon=0, stabilizer=0)
seed = torch.zeros(2, 7, 50)
seed[:, -1, 5] = 1
ours = fxrelay.relay(fxrelay.annotate(graph, preset))(embedded, seed).relevance.sum(-1)

class Functions(dict):
    def get_interface(self, name, default):
        return self.get(name, default)

monkey_patch(modeling_llama)
modeling_llama.ALL_ATTENTION_FUNCTIONS = Functions(modeling_llama.ALL_ATTENTION_FUNCTIONS)
embedded.requires_grad_()
logits = model(inputs_embeds=embedded).logits[:, -1, 5]
logits.sum().backward()
theirs = (embedded * embedded.grad).sum(-1) / logits[:, None].detach()
print(float((ours - theirs).norm() / theirs.norm()))
"""


@pytest.mark.external
@pytest.mark.skipif(importlib.util.find_spec("lxt") is None, reason="lxt is not installed")
def test_attn_lrp_of_a_llama():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.splitlines()[-1]) < 1e-4
