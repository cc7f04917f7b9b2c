"""`depth_anything train`: teacher, pseudo-labels, student, metric fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import (
    PATH,
    SETTINGS,
    HeadedCommand,
    Subcommand,
    command,
    option,
)
from depth_anything_ros.cli.support.engine_options import engine_options

if TYPE_CHECKING:
    from depth_anything_ros.cli.support.engine_options import EngineOptions
    from depth_anything_ros.training.pseudo_labels import LabelReport
    from depth_anything_ros.training.recipe import LabelRecipe


@click.group("train", no_args_is_help=True, context_settings=SETTINGS)
def train() -> None:
    """Train networks: teacher -> pseudo-labels -> student -> metric."""


_TASKS = {
    "teacher": "Train a relative network on exact labels.",
    "student": "Train a relative network on pseudo-labelled pictures.",
    "metric": "Fine-tune a network to give metres, on a data set or a recording of your robot.",
}


def _add_task(task: str, summary: str) -> None:
    def run(config: Path) -> None:
        _train(config, task)

    run.__doc__ = f"{summary}\n\nCONFIG is a recipe as YAML."
    train.add_command(command(task)(click.argument("config", type=PATH)(run)))


for _task, _summary in _TASKS.items():
    _add_task(_task, _summary)


@train.command("views", cls=HeadedCommand, context_settings=SETTINGS)
@click.argument("panoramas", type=PATH)
@click.argument("output", type=PATH)
@option("--per-panorama", type=click.IntRange(min=1), default=32, help="Views of each panorama.")
@option("--seed", type=int, default=0, help="Decides directions and fields of view.")
def views(panoramas: Path, output: Path, per_panorama: int, seed: int) -> None:
    """Cut a folder of equirectangular panoramas into ordinary pictures, to be pseudo-labelled."""
    from depth_anything_ros.cli.support.terminal import say
    from depth_anything_ros.training.panoramas import cut_views

    count = cut_views(panoramas, output, per_panorama, seed)
    say(f"{count} views: {output}")


@train.command("crops", cls=HeadedCommand, context_settings=SETTINGS)
@click.argument("pictures", type=PATH)
@click.argument("output", type=PATH)
@option(
    "--per-picture",
    type=click.IntRange(min=1),
    default=60,
    help="Crops of each, the whole one too.",
)
@option("--seed", type=int, default=0, help="Decides the crops.")
def crops(pictures: Path, output: Path, per_picture: int, seed: int) -> None:
    """Cut pictures into many, to be pseudo-labelled each by itself."""
    from depth_anything_ros.cli.support.terminal import say
    from depth_anything_ros.training.variations import cut_crops

    count = cut_crops(pictures, output, per_picture, seed)
    say(f"{count} crops: {output}")


@train.command("blends", cls=HeadedCommand, context_settings=SETTINGS)
@click.argument("output", type=PATH)
@click.argument("pictures", type=PATH, nargs=-1, required=True)
@option("--count", type=click.IntRange(min=1), default=8000, help="How many blends.")
@option("--seed", type=int, default=0, help="Decides the blends.")
def blends(output: Path, pictures: tuple[Path, ...], count: int, seed: int) -> None:
    """Blend pictures by two, to be pseudo-labelled: a student learns its teacher's function.

    PICTURES are folders; one named twice is drawn from twice as often.
    """
    from depth_anything_ros.cli.support.terminal import say
    from depth_anything_ros.training.variations import write_blends

    write_blends(list(pictures), output, count, seed)
    say(f"{count} blends: {output}")


@train.command("correction", cls=HeadedCommand, context_settings=SETTINGS)
@click.argument("config", type=PATH)
def correction(config: Path) -> None:
    """Train the correction of depth that follows measured points, on synthetic worlds.

    CONFIG is a recipe as YAML. Draws that are there are not made again.
    """
    from rich.progress import Progress

    from depth_anything_ros.cli.support.terminal import STDERR, say
    from depth_anything_ros.training.correction.draws import file_of
    from depth_anything_ros.training.correction.recipe import CorrectionRecipe
    from depth_anything_ros.training.correction.training import train_correction
    from depth_anything_ros.training.recipe_file import read_recipe
    from depth_anything_ros.training.sparse.draw_files import files_of, make_files

    recipe = read_recipe(config, CorrectionRecipe)
    with Progress(console=STDERR) as bar:
        row = bar.add_task("draws", total=files_of(recipe))
        for done in make_files(recipe, file_of):
            bar.update(row, completed=done)
        row = bar.add_task("correction", total=recipe.steps)

        def report(step: int, values: dict[str, float]) -> None:
            bar.update(row, completed=step)
            bar.console.print(
                f"step {step}: loss {values['loss']:.4f}, AbsRel of held-out draws times "
                f"{values['ratio']:.3f}",
                highlight=False,
            )

        path = train_correction(recipe, report)
    say(f"{path}: what depth_anything_ros/metric/correction.onnx is")


@train.command("wrong-points", cls=HeadedCommand, context_settings=SETTINGS)
@click.argument("config", type=PATH)
def wrong_points(config: Path) -> None:
    """Train the network that finds wrong measured points, on synthetic worlds.

    CONFIG is a recipe as YAML. Draws that are there are not made again.
    """
    from rich.progress import Progress

    from depth_anything_ros.cli.support.terminal import STDERR, say
    from depth_anything_ros.training.recipe_file import read_recipe
    from depth_anything_ros.training.sparse.draw_files import files_of, make_files
    from depth_anything_ros.training.wrong_points.draws import file_of
    from depth_anything_ros.training.wrong_points.recipe import WrongPointsRecipe
    from depth_anything_ros.training.wrong_points.training import train_wrong_points

    recipe = read_recipe(config, WrongPointsRecipe)
    with Progress(console=STDERR) as bar:
        row = bar.add_task("draws", total=files_of(recipe))
        for done in make_files(recipe, file_of):
            bar.update(row, completed=done)
        row = bar.add_task("wrong points", total=recipe.steps)

        def report(step: int, values: dict[str, float]) -> None:
            bar.update(row, completed=step)
            figures = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
            bar.console.print(f"step {step}: {figures}", highlight=False)

        path = train_wrong_points(recipe, report)
    say(f"{path}: what depth_anything_ros/metric/wrong_points.safetensors is")


@train.command("pseudo-label", cls=HeadedCommand, context_settings=SETTINGS)
@click.argument("config", type=PATH)
@engine_options
def pseudo_label(config: Path, engine_options: EngineOptions) -> None:
    """Let a teacher label a folder of pictures; goes on where it was stopped.

    CONFIG is a recipe as YAML. With an engine other than local, or several workers, the work is
    split by shard; torchrun splits it, too.
    """
    from depth_anything_ros.cli.support.terminal import say, warn
    from depth_anything_ros.synthetic.rendering.memory import keep_freed_memory
    from depth_anything_ros.training.recipe import LabelRecipe
    from depth_anything_ros.training.recipe_file import read_recipe

    recipe = read_recipe(config, LabelRecipe)
    keep_freed_memory()
    alone = engine_options.engine == "local" and engine_options.workers <= 1
    report, skipped = _label_here(recipe) if alone else _label_spread(recipe, engine_options)
    if report.skipped:
        warn(f"{len(report.skipped)} pictures could not be read; they are listed in {skipped}")
    say(
        f"{report.labelled} pictures labelled, {report.present} shards were there already: "
        f"{recipe.output}"
    )


def _label_here(recipe: LabelRecipe) -> tuple[LabelReport, str]:
    """Label in this process, one of torchrun's or the only one."""
    from rich.progress import Progress

    from depth_anything_ros.cli.support.terminal import STDERR
    from depth_anything_ros.training.labelling import label_pictures
    from depth_anything_ros.training.processes import Processes

    processes = Processes(recipe.device)
    try:
        with Progress(console=STDERR, disable=not processes.first) as bar:
            row = bar.add_task("labelling", total=1, start=False)

            def show(done: int, total: int) -> None:
                bar.start_task(row)
                bar.update(row, completed=done, total=total)

            report = label_pictures(recipe, processes, show)
    finally:
        processes.close()
    return report, f"{recipe.output}/skipped-{processes.rank}.csv"


def _label_spread(recipe: LabelRecipe, engine: EngineOptions) -> tuple[LabelReport, str]:
    """Label with the workers of an engine, shard by shard."""
    from functools import partial

    from rich.progress import track

    from depth_anything_ros.cli.support.engine import ENGINES
    from depth_anything_ros.cli.support.label_job import set_up
    from depth_anything_ros.cli.support.terminal import STDERR
    from depth_anything_ros.errors import DepthAnythingError
    from depth_anything_ros.formats.picture_folder import PictureFolder
    from depth_anything_ros.training.labelling import shard_count, write_skipped
    from depth_anything_ros.training.pseudo_labels import LabelReport

    pictures = PictureFolder(recipe.images)
    shards = shard_count(recipe, pictures)
    outcomes = ENGINES.get(engine.engine).run(
        partial(set_up, recipe, pictures), range(shards), engine.workers
    )
    labelled = present = 0
    skipped: list[tuple[str, str]] = []
    shown = track(outcomes, "shards", total=shards, console=STDERR, disable=not STDERR.is_terminal)
    for outcome in shown:
        if outcome.error:
            raise DepthAnythingError(f"shard {outcome.item}: {outcome.error}")
        labelled += outcome.result.labelled
        present += outcome.result.present
        skipped += outcome.result.skipped
    file = write_skipped(recipe, sorted(skipped))
    return LabelReport(labelled, present, tuple(skipped)), file


def _train(config: Path, task: str) -> None:
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from depth_anything_ros.cli.support.terminal import DONE_OF_ALL, STDERR, say
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
            TextColumn(DONE_OF_ALL),
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
        say(str(Path(recipe.output) / RESULT))


COMMANDS.register(Subcommand("train", train, 90))
