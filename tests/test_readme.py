"""The README's Python runs as it stands, on the data that its readers would have."""

import re
from pathlib import Path

import numpy as np
import torch

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_every_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(BLOCKS) == 4
    names = {}
    exec(BLOCKS[0].replace("224, 224", "32, 32"), names)
    assert names["ds"].sizes == {"sample": 2, "channel": 3, "y": 32, "x": 32, "class": 1000}
    assert float(names["out"].relevance.sum()) > 0
    assert "def forward(self, x, seed):" in capsys.readouterr().out
    from fxrelay.demo.data import digits
    from fxrelay.demo.model import DigitNet

    torch.manual_seed(0)
    data = digits(per_class=40)
    names |= {"model": DigitNet().eval(), "dataset": (data.images, data.labels)}
    exec(BLOCKS[1], names)
    assert names["tree"]["ranking"].sizes["category"] == 10
    assert np.isfinite(names["tree"]["ranking"]["suspicion"]).all()
    exec(BLOCKS[2], names)
    assert "outlier_knn" in names["tree"]["7"]
    exec(BLOCKS[3].replace("layer3", "relu_2"), names | {"x": data.images})
