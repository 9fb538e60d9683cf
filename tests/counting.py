"""Count what programs call."""

from torch.utils._python_dispatch import TorchDispatchMode

CONVOLUTIONS = ("aten.convolution.", "aten.convolution_backward.")


class Convolutions(TorchDispatchMode):
    """Convolutions and their adjoints: how many were called, and for how many samples in all."""

    def __init__(self):
        super().__init__()
        self.calls = self.samples = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if str(func).startswith(CONVOLUTIONS):
            self.calls += 1
            self.samples += args[0].shape[0]
        return func(*args, **(kwargs or {}))
