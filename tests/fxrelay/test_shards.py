"""Streamed attribution: resumed bit by bit, never stale, nothing finished is ever lost."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
import xarray as xr
from nets import build, inputs

import fxrelay
from fxrelay.execute import Processes

LABELS = np.arange(10) % 5
TESTS = os.path.dirname(os.path.dirname(__file__))


def explain(path, x=None, **options):
    options = {"composite": "epsilon_plus", "shard_size": 4, "progress": False} | options
    x = inputs(10) if x is None else x
    return fxrelay.attribute_dataset(build("plain"), (x, LABELS), path, **options)


def contents(path):
    return {p.name: p.read_bytes() for p in sorted(path.glob("shard-*.nc"))}


def test_folder_opens_as_one_lazy_dataset(tmp_path):
    ds = explain(tmp_path / "r")
    whole = fxrelay.attribute(
        build("plain"), inputs(10), LABELS, composite="epsilon_plus", label=LABELS
    )
    assert ds.relevance.chunks is not None
    assert len(contents(tmp_path / "r")) == 3
    for name in whole.variables:
        np.testing.assert_allclose(ds[name].values, whole[name].values, rtol=1e-6, atol=1e-9)


def test_second_call_makes_nothing_again(tmp_path):
    explain(tmp_path / "r")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "r").glob("shard-*.nc")}
    explain(tmp_path / "r")
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_missing_and_damaged_shards_are_made_again_bit_for_bit(tmp_path):
    explain(tmp_path / "r")
    want = contents(tmp_path / "r")
    (tmp_path / "r" / "shard-000001.nc").unlink()
    (tmp_path / "r" / "shard-000002.nc").write_bytes(want["shard-000002.nc"][:1000])
    explain(tmp_path / "r")
    assert contents(tmp_path / "r") == want


def test_changed_inputs_are_never_answered_from_old_shards(tmp_path):
    explain(tmp_path / "r")
    x = inputs(10)
    x[9] += 1
    got = explain(tmp_path / "r", x)
    fresh = explain(tmp_path / "fresh", x)
    np.testing.assert_array_equal(got.relevance.values, fresh.relevance.values)


def test_processes_give_the_same_shards(tmp_path):
    one = explain(tmp_path / "one")
    with Processes(2) as executor:
        two = explain(tmp_path / "two", executor=executor)
    xr.testing.assert_identical(one.load(), two.load())


def test_map_style_dataset_with_labels(tmp_path):
    data = torch.utils.data.TensorDataset(inputs(6).float(), torch.arange(6) % 5)
    model = build("plain", dtype=torch.float32)
    ds = fxrelay.attribute_dataset(
        model, data, tmp_path / "r", composite="epsilon_plus", progress=False, classes=list("abcde")
    )
    assert ds.sizes["sample"] == 6
    assert ds.label.values.tolist() == [0, 1, 2, 3, 4, 0]
    assert ds["class"].values.tolist() == list("abcde")


def test_killed_run_loses_nothing_that_was_finished(tmp_path):
    """SIGKILL in the middle; the next call finishes, identical to an uninterrupted run."""
    script = textwrap.dedent(f"""
        import sys; sys.path.insert(0, {TESTS!r})
        import numpy as np, fxrelay
        from nets import build, inputs
        fxrelay.attribute_dataset(build("plain"), (inputs(120), np.zeros(120, int)),
                                  {str(tmp_path / "r")!r}, composite="epsilon_plus",
                                  shard_size=4, progress=False)
    """)
    child = subprocess.Popen([sys.executable, "-c", script])
    while len(contents(tmp_path / "r") if (tmp_path / "r").is_dir() else ()) < 3:
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    finished = contents(tmp_path / "r")
    assert 3 <= len(finished) < 30
    subprocess.run([sys.executable, "-c", script], check=True)
    script = script.replace(str(tmp_path / "r"), str(tmp_path / "whole"))
    subprocess.run([sys.executable, "-c", script], check=True)
    assert contents(tmp_path / "r") == contents(tmp_path / "whole")
    assert finished.items() <= contents(tmp_path / "r").items()


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "r"
    with pytest.raises(OSError, match="^" + re.escape(
        f"attribute_dataset: needs a folder that it can write; got {str(path)!r} (Not a directory)."
        " Choose another folder or free some space."
    )):  # fmt: skip
        explain(path)


def test_full_disk_keeps_finished_shards(tmp_path):
    """A file size limit stands for the full disk: a small shard fits, the larger one does not."""
    script = textwrap.dedent(f"""
        import resource, signal, sys
        sys.path.insert(0, {TESTS!r})
        import numpy as np, torch, fxrelay
        from nets import build, inputs
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        model, folder = build("plain"), {str(tmp_path / "r")!r}
        class Growing:
            def __len__(self): return 3
            def __getitem__(self, i):
                if i == 2: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
                return inputs(1)[0]
        try:
            fxrelay.attribute_dataset(model, Growing(), folder, composite="epsilon_plus",
                                      target=0, shard_size=1, progress=False)
        except OSError as error:
            print(error)
    """)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "could not be written" in run.stdout, run.stderr
    assert sorted(contents(tmp_path / "r")) == ["shard-000000.nc", "shard-000001.nc"]
    assert not list((tmp_path / "r").glob(".*.tmp"))


def test_folder_of_another_run(tmp_path):
    explain(tmp_path / "r")
    with pytest.raises(ValueError, match=re.escape(
        f"attribute_dataset: needs a folder of its own; {str(tmp_path / 'r')!r} holds another run, "
        "which differs in model_digest, composite. Choose another folder or delete that one."
    )):  # fmt: skip
        explain(tmp_path / "r", composite="epsilon_alpha2_beta1")


def test_labels_are_checked_before_work_starts(tmp_path):
    with pytest.raises(ValueError, match=re.escape(
        "attribute: needs labels in 0..4; got 1 out of range (sample 9: 12). "
        "Check the class numbering."
    )):  # fmt: skip
        fxrelay.attribute_dataset(
            build("plain"), (inputs(10), [*range(5), *range(4), 12]), tmp_path / "r",
            composite="epsilon_plus",
        )  # fmt: skip
    assert not list((tmp_path / "r").glob("shard-*"))


def test_inputs_and_labels_of_different_lengths(tmp_path):
    with pytest.raises(ValueError, match=re.escape(
        "attribute_dataset: needs a label for each input; got 10 inputs and 3 labels."
    )):  # fmt: skip
        fxrelay.attribute_dataset(
            build("plain"), (inputs(10), [0, 1, 2]), tmp_path, composite="epsilon_plus"
        )


def test_folder_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(
        f"open_dataset: needs a folder that attribute_dataset made; got {str(tmp_path)!r} without "
        "manifest.json."
    )):  # fmt: skip
        fxrelay.open_dataset(tmp_path)


def test_folder_with_missing_shards(tmp_path):
    explain(tmp_path)
    (tmp_path / "shard-000001.nc").unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(
        f"open_dataset: needs 3 shards in {str(tmp_path)!r}; 1 are missing (shard-000001.nc). "
        "Run attribute_dataset again: it makes only those."
    )):  # fmt: skip
        fxrelay.open_dataset(tmp_path)


def test_changed_ids_are_never_answered_from_old_shards(tmp_path):
    explain(tmp_path / "r")
    ds = explain(tmp_path / "r", sample=[f"digit {i}" for i in range(10)])
    assert ds["sample"].values.tolist() == [f"digit {i}" for i in range(10)]


def test_jobs_carry_their_own_samples_only():
    from fxrelay.samples import Pairs

    part = Pairs.of((inputs(10), LABELS)).part(4, 6)
    x, labels = part.read()
    assert part.samples.nbytes == x.numpy().nbytes == inputs(2).numpy().nbytes
    assert torch.equal(x, inputs(10)[4:6])
    assert labels.tolist() == [4, 0]


def test_targets_are_not_trusted_where_they_are_transformed(tmp_path):
    class Shifted:
        targets, target_transform = [0, 1, 2], staticmethod(lambda t: t + 1)

        def __len__(self):
            return 3

        def __getitem__(self, i):
            return inputs(3)[i], self.target_transform(self.targets[i])

    ds = fxrelay.attribute_dataset(
        build("plain"), Shifted(), tmp_path, composite="epsilon_plus", progress=False
    )
    assert ds.target.values.tolist() == ds.label.values.tolist() == [1, 2, 3]


def test_call_that_failed_before_the_first_shard_claims_no_folder(tmp_path):
    x = inputs(10)
    x[0] = float("nan")
    with pytest.raises(ValueError, match="needs finite inputs"):
        explain(tmp_path, x)
    assert explain(tmp_path, composite="epsilon_alpha2_beta1").sizes["sample"] == 10
