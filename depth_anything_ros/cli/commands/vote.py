"""`depth_anything vote`: experts order point pairs, a person settles what they dispute."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import track

from depth_anything_ros.cli.support.terminal import STDERR, STDOUT, warn

if TYPE_CHECKING:
    from depth_anything_ros.evaluation.vote import Ballot


def vote(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGES", help="Images and folders; none to go on with disputed pairs."
        ),
    ] = None,
    experts: Annotated[
        tuple[str, str, str, str] | None,
        typer.Option(
            metavar="A B C D", help="Four models: catalogue names, or files as `run` takes them."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the ballot; made if missing.")
    ] = Path("vote"),
    pairs: Annotated[int, typer.Option(min=1, help="Point pairs per image.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the drawing of pairs.")] = 0,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into the folders below, too.")
    ] = False,
    settle: Annotated[
        bool, typer.Option(help="Serve the page on which a person settles disputed pairs.")
    ] = True,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")
    ] = 0,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps; auto takes the fastest.")
    ] = "auto",
) -> None:
    """Make ordered point pairs by the vote of four experts, in DA-2K's format.

    Pairs on which all agree are taken, disputed ones wait for a person on a local page. Everything
    is saved at once: the same command goes on where it was left, without images it only serves the
    page. OUTPUT gets ballot.json (all votes) and annotations.json (what is decided).
    """
    if bool(images) != (experts is not None):
        raise typer.BadParameter("--experts A B C D and IMAGES go together")

    from depth_anything_ros.evaluation.vote import Ballot

    if images and experts:
        ballot = _ballot(output, images, experts)
        _vote(ballot, images, recursive, pairs, seed, device)
    else:
        ballot = Ballot.load(output)
    _report(ballot)
    if settle and any(question.verdict is None for _, question in ballot.questions()):
        _settle(ballot, port)
        _report(ballot)


def _ballot(output: Path, images: list[Path], experts: tuple[str, ...]) -> Ballot:
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
    ballot: Ballot, images: list[Path], recursive: bool, pairs: int, seed: int, device: str
) -> None:
    """Let the experts vote on the images that are not in the ballot yet."""
    import numpy as np

    from depth_anything_ros.errors import InputError
    from depth_anything_ros.evaluation.vote import vote_on_image
    from depth_anything_ros.formats.media import find_media, read_image
    from depth_anything_ros.inference.selection import make_estimator
    from depth_anything_ros.settings import ModelSettings

    files = {
        Path(os.path.relpath(file.path.resolve(), ballot.root)).as_posix(): file.path
        for file in find_media(images, recursive)
        if not file.is_video
    }
    todo = [name for name in files if name not in ballot.images]
    if not todo:
        return
    estimators = [
        make_estimator(ModelSettings(expert, device)).estimator for expert in ballot.experts
    ]
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


def _settle(ballot: Ballot, port: int) -> None:
    from depth_anything_ros.evaluation.review_page import SettlePage

    page = SettlePage(ballot, port)
    STDOUT.print(f"settle them at {page.url} (Ctrl-C ends, all answers are saved)", markup=False)
    try:
        page.serve()
    except KeyboardInterrupt:
        STDERR.print("stopped")


def _report(ballot: Ballot) -> None:
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
    STDOUT.print(
        f"{len(ballot.images)} images: {found['agreed']} pairs agreed, {found['settled']} settled, "
        f"{found['unclear']} unclear, {found['disputed']} disputed; decided ones are in "
        f"{ballot.folder / 'annotations.json'}, for `eval pairs --images {ballot.root}`",
        markup=False,
        soft_wrap=True,
    )
