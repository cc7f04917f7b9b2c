"""`depth_anything vote`: experts order point pairs, a person settles what they dispute."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import PATH, Subcommand, command, option
from depth_anything_ros.cli.support.model_options import DEVICE
from depth_anything_ros.cli.support.server_options import ServerOptions, server_options

if TYPE_CHECKING:
    from depth_anything_ros.evaluation.vote import Ballot


@command("vote")
@click.argument("images", nargs=-1, type=PATH)
@option(
    "--experts",
    nargs=4,
    metavar="A B C D",
    help="Four models: catalogue names, or files as `run` takes them.",
)
@option(
    "--output", "-o", type=PATH, default=Path("vote"), help="Folder of the ballot; made if missing."
)
@option("--pairs", type=click.IntRange(min=1), default=10, help="Point pairs per image.")
@option("--seed", type=click.IntRange(min=0), default=0, help="Of the drawing of pairs.")
@option("--recursive", "-r", is_flag=True, help="Include subfolders.")
@option(
    "--settle/--no-settle",
    default=True,
    help="Serve the page on which a person settles disputed pairs.",
)
@DEVICE
@server_options
def vote(
    images: tuple[Path, ...],
    experts: tuple[str, str, str, str] | None,
    output: Path,
    pairs: int,
    seed: int,
    recursive: bool,
    settle: bool,
    device: str,
    server_options: ServerOptions,
) -> None:
    """Order point pairs by the vote of four experts (DA-2K's format).

    IMAGES are images and folders; none to go on with disputed pairs.

    Pairs on which all agree are taken, disputed ones wait for a person on a local page. Everything
    is saved at once: the same command goes on where it was left, without images it only serves the
    page. OUTPUT gets ballot.json (all votes) and annotations.json (what is decided).
    """
    if bool(images) != (experts is not None):
        raise click.UsageError("--experts A B C D and IMAGES go together")

    from depth_anything_ros.evaluation.vote import Ballot, only_writer

    if images:
        output.mkdir(parents=True, exist_ok=True)
    with only_writer(output):
        if images and experts:
            ballot = _ballot(output, images, experts)
            _vote(ballot, images, recursive, pairs, seed, device)
        else:
            ballot = Ballot.load(output)
        _report(ballot)
        if settle and any(question.verdict is None for _, question in ballot.questions()):
            _settle(ballot, server_options)
            _report(ballot)


def _ballot(output: Path, images: Sequence[Path], experts: tuple[str, ...]) -> Ballot:
    """The ballot of the folder, a new one where there is none."""
    from depth_anything_ros.errors import SettingError
    from depth_anything_ros.evaluation.vote import Ballot

    if not (output / "ballot.json").exists():
        folders = [path if path.is_dir() else path.parent for path in images]
        root = Path(os.path.commonpath([folder.resolve() for folder in folders]))
        return Ballot(output, list(experts), root)
    ballot = Ballot.load(output)
    if ballot.experts != list(experts):
        raise SettingError(
            f"{output} holds the votes of {' '.join(ballot.experts)}; name the same experts or "
            "another --output"
        )
    return ballot


def _vote(
    ballot: Ballot, images: Sequence[Path], recursive: bool, pairs: int, seed: int, device: str
) -> None:
    """Let the experts vote on the images that are not in the ballot yet."""
    import numpy as np
    from rich.progress import track

    from depth_anything_ros.api import load
    from depth_anything_ros.cli.support.terminal import STDERR, warn
    from depth_anything_ros.errors import InputError
    from depth_anything_ros.evaluation.vote import vote_on_image
    from depth_anything_ros.formats.media import find_media, read_image

    files = {
        Path(os.path.relpath(file.path.resolve(), ballot.root)).as_posix(): file.path
        for file in find_media(images, recursive)
        if not file.is_video
    }
    todo = [name for name in files if name not in ballot.images]
    if not todo:
        return
    estimators = [load(expert, device=device).estimator for expert in ballot.experts]
    for name in track(
        todo, "voting", console=STDERR, transient=True, disable=not STDERR.is_terminal
    ):
        try:
            rgb = read_image(files[name])
        except InputError as error:
            warn(f"{error}; left out")
            continue
        # By name: an image's pairs do not depend on what else is voted on.
        rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
        ballot.images[name] = vote_on_image(rgb, estimators, pairs, rng)
        ballot.save()


def _settle(ballot: Ballot, where: ServerOptions) -> None:
    from depth_anything_ros.cli.support.terminal import STDERR, say
    from depth_anything_ros.errors import require

    for module in ("starlette", "uvicorn"):
        require(module, "serve")
    from depth_anything_ros.web.settle_page import SettlePage

    page = SettlePage(ballot, where.port, where.host, where.token)
    say(f"settle them at {page.url} (Ctrl-C ends, all answers are saved)")
    try:
        page.serve()
    except KeyboardInterrupt:
        STDERR.print("stopped")


def _report(ballot: Ballot) -> None:
    from depth_anything_ros.cli.support.terminal import say
    from depth_anything_ros.evaluation.vote import UNCLEAR

    found = Counter(
        "disputed"
        if question.verdict is None
        else "unclear"
        if question.verdict == UNCLEAR
        else "agreed"
        if len(set(question.votes)) == 1
        else "settled"
        for _, question in ballot.questions()
    )
    say(
        f"{len(ballot.images)} images: {found['agreed']} pairs agreed, {found['settled']} settled, "
        f"{found['unclear']} unclear, {found['disputed']} disputed; decided ones are in "
        f"{ballot.folder / 'annotations.json'}, for `eval pairs --images {ballot.root}`"
    )


COMMANDS.register(Subcommand("vote", vote, 70))
