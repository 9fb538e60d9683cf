"""The command line: a thin layer over the same calls that Python makes."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Ask a neural network why.", no_args_is_help=True, pretty_exceptions_enable=False
)

Out = Annotated[Path, typer.Option("--out", "-o", help="Where results go.")]
Model = Annotated[str, typer.Argument(help="torchvision:NAME or package.module:function")]
Weights = Annotated[
    Path | None,
    typer.Option(help="safetensors file or state dict"),
]
Composite = Annotated[str, typer.Option(help="name of a preset")]
Size = Annotated[int, typer.Option(help="height and width that images are cropped to")]


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register a command whose expected errors are printed as one message, exit code 2."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except typer.Exit:
            raise
        except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from error

    app.command()(run)
    return function


@command
def attribute(
    model: Model,
    data: Annotated[Path, typer.Argument(help="folder of images, or netCDF file with 'input'")],
    out: Out = Path("relevance"),
    composite: Composite = "epsilon_plus_flat",
    weights: Weights = None,
    target: Annotated[str, typer.Option(help="label, argmax, top<k> or a class index")] = "argmax",
    size: Size = 224,
    batch_size: Annotated[int, typer.Option(min=1)] = 16,
    shard_size: Annotated[int, typer.Option(min=1)] = 1000,
    workers: Annotated[int, typer.Option(min=1, help="processes that make shards")] = 1,
) -> None:
    """Explain a dataset into a folder of netCDF4 shards; the same call resumes after a crash."""
    import fxrelay
    from fxrelay.execute import executor
    from fxrelay.loading import load_data, load_model

    samples, ids = load_data(data, size)
    with executor(workers) as place:
        ds = fxrelay.attribute_dataset(
            load_model(model, weights), samples, out, composite=composite, sample=ids,
            target=int(target) if target.isdecimal() else target, batch_size=batch_size,
            shard_size=shard_size, executor=place,
        )  # fmt: skip
    typer.echo(f"{ds.sizes['sample']} samples explained in {out}")


@command
def report(
    model: Model,
    composite: Composite = "epsilon_plus_flat",
    weights: Weights = None,
    data: Annotated[
        Path | None,
        typer.Option(help="balance the books for these images"),
    ] = None,
    size: Size = 224,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="keep it as netCDF")] = None,
) -> None:
    """Print node, operator and rule of a model; with --data where relevance went.

    Exit code 1 where a node has no rule, or the books do not balance.
    """
    import torch

    import fxrelay
    from fxrelay.errors import RuleError, UnsupportedOperation
    from fxrelay.files import write_netcdf
    from fxrelay.loading import load_data, load_model

    out = None if out is None else _file(out)
    graph = fxrelay.canonize(fxrelay.trace(load_model(model, weights)))
    x = None
    if data is not None:
        samples, _ = load_data(data, size)
        items = [samples[i] for i in range(min(len(samples), 8))]
        x = torch.stack([i[0] if isinstance(i, tuple) else torch.as_tensor(i) for i in items])
    try:
        found = fxrelay.report(fxrelay.annotate(graph, composite), x)
    except (RuleError, UnsupportedOperation) as error:
        typer.echo(f"{fxrelay.report(graph)}\n\nerror: {error}")
        raise typer.Exit(1) from error
    typer.echo(found)
    if out is not None:
        typer.echo(f"wrote {write_netcdf(found.dataset, out)}")
    if not (found.complete and found.balanced):
        raise typer.Exit(1)


@command
def heatmap(
    data: Annotated[Path, typer.Argument(help="folder that `attribute` made")],
    out: Out = Path("heatmaps.png"),
    cmap: Annotated[str, typer.Option(help="name or nodes of a colour map")] = "bwr",
    most: Annotated[int, typer.Option(help="samples per class", min=1)] = 12,
) -> None:
    """Draw a contact sheet of inputs, heatmaps and overlays per predicted class."""
    import numpy as np

    import fxrelay
    from fxrelay.heatmap import contact_sheet, save

    out = _file(out)
    ds = fxrelay.open_dataset(data)
    if "prediction" not in ds:
        raise ValueError(f"heatmap: needs a folder that `attribute` made; got {str(data)!r}.")
    predicted = ds["prediction"].values
    names = ds["class"].values if "class" in ds.coords else np.arange(predicted.max() + 1)
    kinds, counts = np.unique(predicted, return_counts=True)
    chosen = kinds[np.argsort(-counts)][:10]
    groups = {f"predicted {names[k]}": ds["sample"].values[predicted == k] for k in chosen}
    typer.echo(f"wrote {save(contact_sheet(ds, groups, columns=most, cmap=cmap), out)}")


@command
def analyze(
    data: Annotated[
        Path | None, typer.Argument(help="folder that `attribute` made; default the recipe's")
    ] = None,
    out: Out = Path("analysis.nc"),
    recipe: Annotated[
        Path | None,
        typer.Option(help="TOML file, or analysis.nc of an earlier run; flags override it"),
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="variable that splits the samples; default label")
    ] = None,
    pipeline: Annotated[str | None, typer.Option(help="name of a preset; default spray")] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", help="STEP.PARAMETER=VALUE as in TOML, any number of times"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="of every step that has one")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="folder of memoized results; default cache")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes that analyse categories; default 1")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="address of a dask scheduler instead of processes")
    ] = None,
    write_recipe: Annotated[
        Path | None, typer.Option(help="write what would be done as a TOML file, and end")
    ] = None,
) -> None:
    """Run Spectral Relevance Analysis per category and print the ranking.

    The file that it writes carries its recipe: `--recipe analysis.nc` does the same again.
    """
    import fxrelay
    from fxrelay.files import write_netcdf
    from fxrelay_analysis.ranking import ranking_text
    from fxrelay_analysis.recipe import Recipe, parameters
    from fxrelay_analysis.spraying import failures, follow

    base = Recipe() if recipe is None else Recipe.read(recipe)
    chosen = base.change(
        data=data, category=category, pipeline=pipeline, parameters=parameters(given or []),
        seed=seed, store=cache or base.store or "cache", workers=workers, scheduler=scheduler,
    )  # fmt: skip
    if write_recipe is not None:
        typer.echo(f"wrote {chosen.write(_file(write_recipe))}")
        return
    if chosen.data is None:
        raise ValueError("analyze: needs a folder of relevance; got none. Name it, or a recipe.")
    out = _file(out)
    tree = follow(chosen, fxrelay.open_dataset(chosen.data))
    typer.echo(ranking_text(tree))
    if reasons := failures(tree):
        typer.echo(f"\nnot done:\n{reasons}\n")
    typer.echo(f"wrote {write_netcdf(tree, out)}")


@command
def view(
    project: Annotated[
        list[Path],
        typer.Argument(
            help="folders that hold attributions and analyses, YAML files of ViRelAy projects, or "
            "the folders and netCDF files of one project one by one"
        ),
    ],
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 5006,
    address: Annotated[str, typer.Option(help="loopback by default")] = "localhost",
    password: Annotated[
        str | None,
        typer.Option(envvar="FXRELAY_PASSWORD", help="asked for with any user name"),
    ] = None,
    show: Annotated[bool, typer.Option(help="open a browser")] = False,
) -> None:
    """Serve the viewer for one or several projects."""
    from fxrelay_viz import serve
    from fxrelay_viz.opening import open_workspace
    from fxrelay_viz.serve import free_port

    workspace = open_workspace(project)
    port = free_port(address, port)
    typer.echo(f"viewer: http://{address}:{port}  (Ctrl+C ends it)")
    serve(workspace, port=port, address=address, password=password, show=show)


@command
def demo(
    out: Out = Path("demo-output"),
    seed: Annotated[int, typer.Option(help="of artefact and network")] = 7,
    label: Annotated[
        int | None,
        typer.Option("--class", help="class to poison; default the seed's last digit"),
    ] = None,
    clean: Annotated[bool, typer.Option(help="plant nothing: the control")] = False,
    share: Annotated[float, typer.Option(help="share of the class that is poisoned")] = 0.5,
    per_class: Annotated[int, typer.Option(help="images of each digit, 11..500")] = 500,
    serve: Annotated[bool, typer.Option(help="serve the viewer at the end")] = True,
    port: int = 5006,
    address: str = "localhost",
    show: Annotated[bool, typer.Option(help="open a browser")] = False,
) -> None:
    """Catch a Clever Hans: plant an artefact in digits, train, explain, analyse, look."""
    from fxrelay.demo.story import Settings, run

    if clean and label is not None:
        raise ValueError(f"demo: needs --clean or --class; got both, --class {label}. Drop one.")
    if serve:
        from fxrelay_viz.serve import free_port

        port = free_port(address, port)  # before minutes of work
    poisoned = None if clean else seed % 10 if label is None else label
    found = run(out, Settings(seed, poisoned, share, per_class))
    if serve:
        from fxrelay_viz import serve as serve_viewer

        typer.echo(f"viewer: http://{address}:{port}  (Ctrl+C ends it)")
        serve_viewer(found.ds, found.tree, port=port, address=address, show=show)


def _file(out: Path) -> Path:
    from fxrelay.files import writable_folder

    if out.is_dir():
        raise ValueError(f"--out: needs the name of a file; got the folder {str(out)!r}.")
    writable_folder(out.parent, "--out")
    return out
