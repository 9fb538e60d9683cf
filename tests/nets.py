"""Small models for tests: families of real architectures at toy sizes, with calibrated norms."""

import torch
import torch.nn.functional as F
from torch import nn


class Residual(nn.Module):
    """Conv, batch norm, ReLU, pooling, residual add, dense; modules, functions and methods."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.pool(self.relu(self.norm(self.stem(x))))
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        y += x
        x = y.relu()
        x = F.avg_pool2d(x, 2)
        return self.fc(x.mean((2, 3)))


class Fire(nn.Module):
    """SqueezeNet's idea: concatenated branches, a convolution as classifier, method spellings."""

    def __init__(self):
        super().__init__()
        self.squeeze = nn.Conv2d(3, 4, 1)
        self.left = nn.Conv2d(4, 6, 1)
        self.right = nn.Conv2d(4, 6, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Conv2d(12, 5, 1)

    def forward(self, x):
        x = torch.relu(self.squeeze(x))
        x = torch.cat([self.left(x).relu(), F.relu(self.right(x))], 1)
        x = F.adaptive_avg_pool2d(F.relu(self.head(self.drop(x))), (1, 1))
        return x.view(x.size(0), -1)


class Plain(nn.Module):
    """VGG's idea, with a dense head of two layers."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(True), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(True), nn.AvgPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Linear(32, 10), nn.ReLU(), nn.Linear(10, 5))

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class Dense(nn.Module):
    """No convolution at all."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 12), nn.ReLU(), nn.Linear(12, 5))

    def forward(self, x):
        return self.layers(x)


class Twice(nn.Module):
    """A module called twice, and a copy of it where `shared` is False."""

    def __init__(self, shared=True):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.again = self.conv if shared else nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(192, 5)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        x = F.relu(self.again(x))
        return self.head(x.flatten(1))


NETS = {"residual": Residual, "fire": Fire, "plain": Plain, "dense": Dense, "twice": Twice}


def build(name, *, bias=True, dtype=torch.float64):
    """A model of `NETS` in eval mode with norm statistics as after training."""
    torch.manual_seed(1)
    model = NETS[name]().to(dtype)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
        if not bias and getattr(module, "bias", None) is not None:
            module.bias.data.zero_()
        if not bias and isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
    return model.eval()


def inputs(batch=2, dtype=torch.float64):
    return torch.randn(batch, 3, 8, 8, dtype=dtype, generator=torch.Generator().manual_seed(2))


def seed_at(output, classes):
    return F.one_hot(torch.as_tensor(classes), output.shape[1]).to(output)
