"""`depth_anything train`: teacher, pseudo-labels, student, metric fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Train networks: teacher -> pseudo-labels -> student -> metric.", no_args_is_help=True
)

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="Recipe as YAML.")]


@app.command()
def teacher(config: Config) -> None:
    """Train a relative network on exact labels."""
    _train(config, "teacher")


@app.command()
def student(config: Config) -> None:
    """Train a relative network on pseudo-labelled pictures."""
    _train(config, "student")


@app.command()
def metric(config: Config) -> None:
    """Fine-tune a network to give metres, on a data set or a recording of your robot."""
    _train(config, "metric")


@app.command()
def views(
    panoramas: Annotated[Path, typer.Argument(help="Folder of equirectangular pictures.")],
    output: Annotated[Path, typer.Argument(help="Folder for the views.")],
    per_panorama: Annotated[int, typer.Option(help="Views of each panorama.", min=1)] = 32,
    seed: Annotated[int, typer.Option(help="Decides directions and fields of view.")] = 0,
) -> None:
    """Cut panoramas into ordinary pictures, to be pseudo-labelled."""
    from depth_anything_ros.cli.support.terminal import STDOUT
    from depth_anything_ros.training.panoramas import cut_views

    count = cut_views(panoramas, output, per_panorama, seed)
    STDOUT.print(f"{count} views: {output}", markup=False, soft_wrap=True)


@app.command()
def crops(
    pictures: Annotated[Path, typer.Argument(help="Folder of pictures.")],
    output: Annotated[Path, typer.Argument(help="Folder for the crops.")],
    per_picture: Annotated[int, typer.Option(help="Crops of each, the whole one too.", min=1)] = 60,
    seed: Annotated[int, typer.Option(help="Decides the crops.")] = 0,
) -> None:
    """Cut pictures into many, to be pseudo-labelled each by itself."""
    from depth_anything_ros.cli.support.terminal import STDOUT
    from depth_anything_ros.training.variations import cut_crops

    count = cut_crops(pictures, output, per_picture, seed)
    STDOUT.print(f"{count} crops: {output}", markup=False, soft_wrap=True)


@app.command()
def blends(
    output: Annotated[Path, typer.Argument(help="Folder for the blends.")],
    pictures: Annotated[
        list[Path],
        typer.Argument(help="Folders of pictures; one named twice is drawn from twice as often."),
    ],
    count: Annotated[int, typer.Option(help="How many blends.", min=1)] = 8000,
    seed: Annotated[int, typer.Option(help="Decides the blends.")] = 0,
) -> None:
    """Blend pictures by two, to be pseudo-labelled: a student learns its teacher's function."""
    from depth_anything_ros.cli.support.terminal import STDOUT
    from depth_anything_ros.training.variations import write_blends

    write_blends(pictures, output, count, seed)
    STDOUT.print(f"{count} blends: {output}", markup=False, soft_wrap=True)


@app.command("pseudo-label")
def pseudo_label(config: Config) -> None:
    """Let a teacher label a folder of pictures; goes on where it was stopped."""
    from rich.progress import Progress

    from depth_anything_ros.cli.support.terminal import STDERR, STDOUT, warn
    from depth_anything_ros.synthetic.rendering.memory import keep_freed_memory
    from depth_anything_ros.training.labelling import label_pictures
    from depth_anything_ros.training.processes import Processes
    from depth_anything_ros.training.recipe import LabelRecipe
    from depth_anything_ros.training.recipe_file import read_recipe

    recipe = read_recipe(config, LabelRecipe)
    keep_freed_memory()
    processes = Processes(recipe.device)
    try:
        with Progress(console=STDERR, disable=not processes.first) as bar:
            row = bar.add_task("labelling", total=None)
            report = label_pictures(
                recipe,
                processes,
                lambda done, total: bar.update(row, completed=done, total=total),
            )
    finally:
        processes.close()
    if report.skipped:
        warn(
            f"{len(report.skipped)} pictures could not be read; they are listed in "
            f"{Path(recipe.output) / f'skipped-{processes.rank}.csv'}"
        )
    STDOUT.print(
        f"{report.labelled} pictures labelled, {report.present} shards were there already: "
        f"{recipe.output}",
        markup=False,
        soft_wrap=True,
    )


def _train(config: Path, task: str) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from depth_anything_ros.cli.support.terminal import STDERR, STDOUT
    from depth_anything_ros.synthetic.rendering.memory import keep_freed_memory
    from depth_anything_ros.training.processes import Processes
    from depth_anything_ros.training.recipe import Recipe, check_task
    from depth_anything_ros.training.recipe_file import read_recipe
    from depth_anything_ros.training.trainer import RESULT, Trainer

    recipe = read_recipe(config, Recipe)
    check_task(recipe, task)
    keep_freed_memory()
    processes = Processes(recipe.device)
    try:
        trainer = Trainer(recipe, processes)
        columns = (
            TextColumn(task),
            BarColumn(),
            MofNCompleteColumn(),
            Remaining(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=STDERR, disable=not processes.first) as bar:
            row = bar.add_task("", total=recipe.steps, completed=trainer.step)

            def report(step: int, values: dict[str, float]) -> None:
                words = f"loss {values['loss']:.4f}  {values['images_per_s']:.1f} images/s"
                bar.update(row, completed=step, description=words)
                if "abs_rel" in values:
                    bar.console.print(
                        f"step {step}: loss {values['loss']:.4f}, AbsRel {values['abs_rel']:.4f}, "
                        f"delta1 {values['delta1']:.4f}",
                        highlight=False,
                    )

            trainer.run(report)
    finally:
        processes.close()
    if processes.first:
        STDOUT.print(str(Path(recipe.output) / RESULT), markup=False, soft_wrap=True)
