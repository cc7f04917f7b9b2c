"""The trainer: resumed exactly, split over processes exactly, and it does learn."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from full_disk import no_file_longer_than
from lite_weights import published_fastdepth, published_like
from training_helpers import NETWORK, write_drive, write_index, write_recipe

from depth_anything_ros.cli.support.engine import ENGINES
from depth_anything_ros.cli.support.label_job import set_up
from depth_anything_ros.errors import (
    CheckpointError,
    InputError,
    MissingExtraError,
    SettingError,
)
from depth_anything_ros.formats.picture_folder import PictureFolder
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.checkpoints import load_network, save_network
from depth_anything_ros.network.families.lite.encoder import imagenet_weights
from depth_anything_ros.network.families.lite.specialist import fastdepth_weights
from depth_anything_ros.training.correction.recipe import CorrectionRecipe
from depth_anything_ros.training.labelling import shard_count
from depth_anything_ros.training.network_recipe import NetworkRecipe
from depth_anything_ros.training.recipe import LabelRecipe, Recipe, check_task
from depth_anything_ros.training.recipe_file import read_recipe
from depth_anything_ros.training.run_log import LOG
from depth_anything_ros.training.sparse.recipe import SparseRecipe
from depth_anything_ros.training.trainer import CHECKPOINT, RESULT, Trainer
from depth_anything_ros.training.wrong_points.recipe import WrongPointsRecipe


def curve(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / LOG).read_text().splitlines()]


def weights(output: Path) -> dict[str, torch.Tensor]:
    network, _ = load_network(output / RESULT)
    return dict(network.state_dict())


def command(config: Path, task: str = "teacher") -> list[str]:
    return [sys.executable, "-m", "depth_anything_ros", "train", task, str(config)]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **extra}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_index(tmp_path_factory.mktemp("pictures"), 24)


@pytest.mark.parametrize("matrix_rate", [0.0, 0.01])
def test_killed_and_resumed_follows_the_same_curve(
    index: Path, tmp_path: Path, matrix_rate: float
) -> None:
    settings = {
        "matrix_rate": matrix_rate,
        "fixed_scale": matrix_rate > 0,
        "sources": [{"kind": "index", "path": str(index)}],
        "steps": 16,
        "save_every": 4,
        "ema": 0.9,
        "accumulation": 2,
        "perturb_labelled": True,
    }
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole_config = write_recipe(tmp_path / "whole.yaml", output=str(whole), **settings)
    cut_config = write_recipe(tmp_path / "cut.yaml", output=str(cut), **settings)
    subprocess.run(command(whole_config), check=True, env=environment(), capture_output=True)

    process = subprocess.Popen(
        command(cut_config), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while not ((cut / LOG).exists() and len((cut / LOG).read_text().splitlines()) >= 6):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (cut / RESULT).exists()
    before = len(curve_of_whole_lines(cut))
    assert 6 <= before < 16
    subprocess.run(command(cut_config), check=True, env=environment(), capture_output=True)

    first, second = curve(whole), curve(cut)
    assert [line["step"] for line in second] == list(range(1, 17))
    assert first == second
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(cut)[name]), name


def test_a_full_disk_leaves_the_state_of_before(index: Path, tmp_path: Path) -> None:
    settings = {"sources": [{"kind": "index", "path": str(index)}], "output": str(tmp_path / "out")}

    def trainer(steps: int) -> Trainer:
        config = write_recipe(tmp_path / "recipe.yaml", steps=steps, batch=2, **settings)
        return Trainer(read_recipe(config, Recipe))

    trainer(1).run()
    names = (CHECKPOINT, RESULT)
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names}
    second = trainer(2)
    with no_file_longer_than(16384):
        with pytest.raises(InputError, match=f"{CHECKPOINT} cannot be written: "):
            second.run()
        with pytest.raises(InputError, match=f"{RESULT} cannot be written: .*File too large"):
            save_network(second.result(), tmp_path / "out" / RESULT)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names} == before
    assert {each.name for each in (tmp_path / "out").iterdir()} == {LOG, *names}
    third = trainer(2)
    assert third.step == 1
    third.run()
    assert [line["step"] for line in curve(tmp_path / "out")] == [1, 2]


def curve_of_whole_lines(output: Path) -> list[str]:
    return [line for line in (output / LOG).read_text().splitlines() if line.endswith("}")]


def test_two_processes_equal_one(index: Path, tmp_path: Path) -> None:
    settings = {
        "sources": [{"kind": "index", "path": str(index)}],
        "validation": [{"kind": "index", "path": str(index)}],
        "steps": 5,
    }
    one, two = tmp_path / "one", tmp_path / "two"
    one_config = write_recipe(tmp_path / "one.yaml", output=str(one), **settings)
    two_config = write_recipe(tmp_path / "two.yaml", output=str(two), **settings)
    Trainer(read_recipe(one_config, Recipe)).run()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ranks = [
        subprocess.Popen(
            command(two_config),
            env=environment(
                RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    for process in ranks:
        assert process.wait(120) == 0, process.stderr.read() if process.stderr else b""
    for single, shared in zip(curve(one)[:2], curve(two)[:2], strict=True):
        assert shared["loss"] == pytest.approx(single["loss"], rel=1e-5)
    # Each step multiplies what is rounded otherwise: by the fourth 0.1 % on some processors.
    for single, shared in zip(curve(one), curve(two), strict=True):
        assert shared["loss"] == pytest.approx(single["loss"], rel=1e-2)
    assert curve(two)[-1]["abs_rel"] == pytest.approx(curve(one)[-1]["abs_rel"], rel=1e-2)
    assert curve(two)[0]["gradient"] == pytest.approx(curve(one)[0]["gradient"], rel=1e-5)
    torch.manual_seed(0)
    start = read_recipe(one_config, Recipe).network.build().state_dict()
    first, second = weights(one), weights(two)
    moved = sum((first[n] - start[n]).square().sum().item() for n in start) ** 0.5
    apart = sum((first[n] - second[n]).square().sum().item() for n in start) ** 0.5
    print(f"after 5 steps weights moved {moved:.3f} and lie {apart:.1e} apart")
    # AdamW's first steps are the sign of the gradient: rounding of tiny gradients shows there.
    assert apart < 0.1 * moved


def test_metric_training_on_a_simulated_recording(tmp_path: Path) -> None:
    pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")
    write_drive(tmp_path / "drive")
    source = {"kind": "bag", "path": str(tmp_path / "drive")}
    config = write_recipe(
        tmp_path / "metric.yaml",
        output=str(tmp_path / "metric"),
        network={**NETWORK, "max_depth": 20.0},
        sources=[{**source, "stop": 0.75}],
        validation=[{**source, "start": 0.75}],
        steps=30,
        validate_every=30,
    )
    recipe = read_recipe(config, Recipe)
    check_task(recipe, "metric")
    trainer = Trainer(recipe)
    from depth_anything_ros.training.loader import validation_images
    from depth_anything_ros.training.validation import validate

    held_out = validation_images(recipe, recipe.validation, 0, 1)
    assert len(held_out) == 8
    assert all(0.01 < image.valid.mean() < 0.6 for image in held_out)
    before = validate(trainer.network, held_out, True, trainer.device)["abs_rel"]
    after = trainer.run()["abs_rel"]
    print(f"AbsRel on held-out frames: {before:.3f} before, {after:.3f} after")
    assert after <= 0.7 * before
    network, info = load_network(tmp_path / "metric" / RESULT)
    assert info.kind is PredictionKind.METRIC_DEPTH
    assert network.max_depth == 20.0


@pytest.mark.slow
def test_teacher_labels_student(tmp_path: Path) -> None:
    """The whole recipe, small: teacher on synthetic worlds, labels, student, against the ramp."""
    validation = [{"kind": "synthetic", "width": 84, "height": 56, "worlds": ["room"]}]
    synthetic = {"kind": "synthetic", "width": 84, "height": 56, "worlds": ["room", "hall"]}
    teacher = tmp_path / "teacher"
    config = write_recipe(
        tmp_path / "teacher.yaml", output=str(teacher), sources=[synthetic],
        validation=validation, validation_images=16, steps=60, validate_every=60, ema=0.9,
        encoder_rate=2e-3, head_rate=2e-3, warm_up=10,
    )  # fmt: skip
    scores = Trainer(read_recipe(config, Recipe)).run()
    loss = [line["loss"] for line in curve(teacher)]
    print(f"teacher: loss {np.mean(loss[:10]):.3f} -> {np.mean(loss[-10:]):.3f}, {scores}")
    assert np.mean(loss[-10:]) < 0.85 * np.mean(loss[:10])

    from depth_anything_ros.formats.media import IMAGE_SUFFIXES
    from depth_anything_ros.synthetic.generator import Generator

    assert ".png" in IMAGE_SUFFIXES
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    import cv2

    for number, image in enumerate(Generator(84, 56, seed=9, kinds=["room"]).images(range(24))):
        cv2.imwrite(str(pictures / f"{number:02d}.png"), image.rgb[..., ::-1])
    labels = tmp_path / "labels"
    label_config = tmp_path / "label.yaml"
    label_config.write_text(
        f"images: {pictures}\noutput: {labels}\ninput_size: 56\nshard_size: 10\n"
        f"network: {{checkpoint: {teacher / RESULT}}}\n"
    )
    done = subprocess.run(
        command(label_config, "pseudo-label"), env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "24 pictures labelled" in done.stdout
    label_recipe = read_recipe(label_config, LabelRecipe)
    assert label_recipe.shard_size == 10
    assert shards_of_workers(label_recipe, tmp_path / "spread") == contents(labels)

    student = tmp_path / "student"
    config = write_recipe(
        tmp_path / "student.yaml", output=str(student),
        network={"checkpoint": str(teacher / RESULT)},
        sources=[{"kind": "pseudo", "path": str(pictures), "labels": str(labels), "weight": 1.0},
                 {**synthetic, "weight": 2.0}],
        validation=validation, validation_images=16, steps=20, validate_every=20, ema=0.9,
        encoder_rate=5e-4, head_rate=5e-4, feature_weight=0.1,
    )  # fmt: skip
    recipe = read_recipe(config, Recipe)
    check_task(recipe, "student")
    scores = Trainer(recipe).run()
    print(f"student: {scores}")
    assert scores["abs_rel"] < scores["ramp_abs_rel"]


def shards_of_workers(recipe: LabelRecipe, output: Path) -> dict[str, list[bytes]]:
    """What an engine's workers make of a recipe, shard by shard."""
    spread = replace(recipe, output=str(output))
    pictures = PictureFolder(spread.images)
    shards = shard_count(spread, pictures)
    outcomes = ENGINES.get("local").run(partial(set_up, spread, pictures), range(shards), 1)
    assert [outcome.error for outcome in outcomes] == [""] * shards
    return contents(output)


def contents(labels: Path) -> dict[str, list[bytes]]:
    """The members of every shard."""
    found = {}
    for path in sorted(labels.glob("shard-*.zip")):
        with zipfile.ZipFile(path) as archive:
            found[path.name] = [archive.read(name) for name in archive.namelist()]
    return found


def test_rates_frozen_encoder_and_average(index: Path, tmp_path: Path) -> None:
    config = write_recipe(
        tmp_path / "a.yaml",
        output=str(tmp_path / "a"),
        sources=[{"kind": "index", "path": str(index)}],
        steps=8,
        warm_up=2,
        ema=0.5,
        freeze_encoder=True,
        precision="bf16",
        head_rate="4e-4",
    )
    recipe = read_recipe(config, Recipe)
    trainer = Trainer(recipe)
    start = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.run()
    rates = [line["rate"] for line in curve(tmp_path / "a")]
    assert rates == pytest.approx([2e-4, 4e-4, 4e-4, 4e-4 * 5 / 6, 4e-4 * 4 / 6, 2e-4,
                                   4e-4 * 2 / 6, 4e-4 / 6])  # fmt: skip
    end = trainer.network.state_dict()
    assert all(torch.equal(start[n], end[n]) for n in start if n.startswith("pretrained."))
    name = "depth_head.projects.0.weight"
    averaged = trainer.result().state_dict()[name]
    assert not torch.equal(start[name], end[name])
    assert (averaged - end[name]).norm() < (start[name] - end[name]).norm()
    assert torch.equal(averaged, weights(tmp_path / "a")[name])
    other = write_recipe(
        tmp_path / "b.yaml",
        output=str(tmp_path / "a"),
        network={**NETWORK, "features": 8},
        sources=[{"kind": "index", "path": str(index)}],
    )
    with pytest.raises(CheckpointError, match=rf"{CHECKPOINT}.*another output folder"):
        Trainer(read_recipe(other, Recipe))


def test_encoder_weights_of_dinov2_are_taken(tmp_path: Path) -> None:
    whole = NetworkRecipe(width=64, depth=4, heads=1, features=8, out_channels=(8, 8, 8, 8)).build()
    torch.save(whole.encoder_module.state_dict(), tmp_path / "dinov2.pth")
    named = NetworkRecipe(
        encoder_checkpoint=str(tmp_path / "dinov2.pth"),
        width=64, depth=4, heads=1, features=8, out_channels=(8, 8, 8, 8),
    )  # fmt: skip
    built = named.build().encoder_module.state_dict()
    assert all(
        torch.equal(value, built[n]) for n, value in whole.encoder_module.state_dict().items()
    )
    with pytest.raises(CheckpointError, match="no DINOv2 state dict"):
        NetworkRecipe(encoder_checkpoint=str(tmp_path / "dinov2.pth")).build()


def test_a_lite_network_learns_with_all_its_settings(index: Path, tmp_path: Path) -> None:
    """Head alone, then the coarser stages too, from ImageNet names to a file of its family."""
    published = published_like("lite0")
    torch.save(published, tmp_path / "imagenet.pth")
    common = {
        "sources": [{"kind": "index", "path": str(index)}],
        "size": [64, 96],
        "precision": "bf16",
        "log_depth_weight": 0.1,
        "relative_depth_weight": 0.5,
        "pseudo_gradient_share": 0.2,
    }
    network = {"family": "lite", "encoder": "lite0", "features": 8, "head_features": 8}
    head = write_recipe(
        tmp_path / "head.yaml",
        output=str(tmp_path / "head"),
        network={**network, "encoder_checkpoint": str(tmp_path / "imagenet.pth")},
        steps=2,
        freeze_encoder=True,
        **common,
    )
    Trainer(read_recipe(head, Recipe)).run()
    start = weights(tmp_path / "head")
    stem = imagenet_weights(published, "lite0")["stem.weight"]
    assert torch.equal(start["backbone.stem.weight"], stem)
    more = write_recipe(
        tmp_path / "more.yaml",
        output=str(tmp_path / "more"),
        network={"family": "lite", "checkpoint": str(tmp_path / "head" / RESULT)},
        steps=3,
        frozen_stages=3,
        feature_weight=0.1,
        **common,
    )
    Trainer(read_recipe(more, Recipe)).run()
    end = weights(tmp_path / "more")
    changed = {
        ".".join(name.split(".")[:3]) for name in start if not torch.equal(start[name], end[name])
    }
    assert not any(name.startswith(("backbone.stem", "backbone.stages.0")) for name in changed)
    assert not any(name.startswith(("backbone.stages.1", "backbone.stages.2")) for name in changed)
    assert {f"backbone.stages.{stage}" for stage in (3, 4, 5, 6)} <= changed
    assert all(math.isfinite(line["loss"]) for line in curve(tmp_path / "more"))


def test_only_the_trust_in_a_specialist_learns(index: Path, tmp_path: Path) -> None:
    """A lite network gets FastDepth, learns when to believe it, and hands both on."""
    published_fastdepth(tmp_path / "fastdepth.onnx")
    alone = NetworkRecipe(family="lite", encoder="lite0", features=8, head_features=8).build()
    save_network(alone, tmp_path / "alone.safetensors")
    recipe = write_recipe(
        tmp_path / "trust.yaml",
        output=str(tmp_path / "trust"),
        network={
            "family": "lite",
            "checkpoint": str(tmp_path / "alone.safetensors"),
            "specialist": str(tmp_path / "fastdepth.onnx"),
        },
        sources=[{"kind": "index", "path": str(index)}],
        size=[64, 96],
        steps=3,
        freeze_encoder=True,
        freeze_head=True,
        precision="fp32",
    )
    Trainer(read_recipe(recipe, Recipe)).run()
    before, after = alone.state_dict(), weights(tmp_path / "trust")
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    for name, value in fastdepth_weights(tmp_path / "fastdepth.onnx").items():
        assert torch.equal(value, after[f"specialist.{name}"])
    assert float(after["trust.score.weight"].abs().sum()) > 0
    other = NetworkRecipe(
        family="lite",
        checkpoint=str(tmp_path / "alone.safetensors"),
        specialist=str(tmp_path / "trust" / RESULT),
        canonical_focal=100.0,
    ).build()
    given = other.state_dict()
    assert all(torch.equal(after[name], given[name]) for name in after if name.startswith("trust"))
    with pytest.raises(CheckpointError, match=r"alone.safetensors' has no specialist"):
        NetworkRecipe(
            family="lite",
            checkpoint=str(tmp_path / "alone.safetensors"),
            specialist=str(tmp_path / "alone.safetensors"),
        ).build()
    with pytest.raises(SettingError, match="only lite networks have one"):
        NetworkRecipe(specialist="fastdepth.onnx")


def test_relative_weights_become_a_metric_network(tmp_path: Path) -> None:
    sizes = NetworkRecipe(width=64, depth=4, heads=1, features=8, out_channels=(8, 8, 8, 8))
    save_network(sizes.build(), tmp_path / "relative.safetensors")
    network = NetworkRecipe(
        checkpoint=str(tmp_path / "relative.safetensors"), max_depth=10.0
    ).build()
    depth = network(torch.randn(1, 3, 28, 42))
    assert network.kind is PredictionKind.METRIC_DEPTH
    assert 3 < depth.min() < depth.max() < 7


def test_tensorboard_is_written_or_asked_for(index: Path, tmp_path: Path) -> None:
    config = write_recipe(
        tmp_path / "a.yaml",
        output=str(tmp_path / "a"),
        sources=[{"kind": "index", "path": str(index)}],
        steps=1,
        tensorboard=True,
    )
    trainer = Trainer(read_recipe(config, Recipe))
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(MissingExtraError, match=r"depth_anything_ros\[train\]"):
            trainer.run()
    else:
        trainer.run()
        assert list((tmp_path / "a" / "events").glob("events.*"))


def test_a_broken_picture_gives_its_place_to_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from depth_anything_ros.training.loader import Numbered

    index = write_index(tmp_path / "p", 5)
    (tmp_path / "p" / "2.png").write_bytes(b"broken")
    config = write_recipe(
        tmp_path / "r.yaml", output="x", sources=[{"kind": "index", "path": str(index)}]
    )
    numbered = Numbered(read_recipe(config, Recipe))
    images = [numbered[number] for number in range(5)]
    assert all(image.valid.any() for image in images)
    assert "passed over" in caplog.text
    assert "2.png" in caplog.text
    for number in range(5):
        (tmp_path / "p" / f"{number}.png").unlink(missing_ok=True)
    with pytest.raises(InputError, match="in a row cannot be read"):
        numbered[0]


SAME_BATCHES = """
import sys
from pathlib import Path

import torch

from depth_anything_ros.training.loader import batches
from depth_anything_ros.training.recipe import Recipe
from depth_anything_ros.training.recipe_file import read_recipe

if __name__ == "__main__":
    alone, helped = (
        [step[0] for step in batches(read_recipe(Path(name), Recipe), 1, 0, 1)]
        for name in sys.argv[1:]
    )
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.target, other.target)
    print(len(alone))
"""


def test_workers_prepare_the_same_batches(index: Path, tmp_path: Path) -> None:
    recipes = [
        write_recipe(
            tmp_path / f"{workers}.yaml",
            output="x",
            sources=[{"kind": "index", "path": str(index)}],
            steps=3,
            workers=workers,
        )
        for workers in (0, 2)
    ]
    # A process of its own, as a training is: worker processes are not for one that has run the
    # libraries of all other tests.
    script = tmp_path / "same_batches.py"
    script.write_text(SAME_BATCHES, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script, *recipes], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "2"


def test_recipes_that_ship_can_be_read() -> None:
    folder = Path(__file__).parents[2] / "config" / "training"
    tasks = {
        "teacher_synthetic": "teacher",
        "teacher_paper": "teacher",
        "student": "student",
        "metric_bag": "metric",
        "04_head": "teacher",
        "13_metric": "metric",
        "14_metric_trust": "metric",
    }
    sparse: dict[str, type[SparseRecipe]] = {
        "correction": CorrectionRecipe,
        "wrong_points": WrongPointsRecipe,
    }
    for path in sorted(folder.rglob("*.yaml")):
        if path.stem in sparse:
            assert read_recipe(path, sparse[path.stem]).networks
        elif "label" in path.stem:
            assert read_recipe(path, LabelRecipe).network.checkpoint
        else:
            check_task(read_recipe(path, Recipe), tasks.get(path.stem, "student"))


def test_every_step_of_the_embedded_network_reads_what_an_earlier_one_wrote() -> None:
    root = Path(__file__).parents[2]
    makefile = (root / "Makefile").read_text()
    made = "\n".join(line for line in makefile.splitlines() if line.startswith("\t"))
    steps = sorted((root / "config" / "training" / "embedded").glob("*.yaml"))
    assert [made.index(step.name) for step in steps] == sorted(
        made.index(step.name) for step in steps
    )
    outputs = ["runs/imagenet"]
    assert "\nruns/imagenet: " in makefile
    for step in steps:
        if "label" in step.stem:
            label = read_recipe(step, LabelRecipe)
            read = [label.network.checkpoint, *label.experts]
            folders, output = [label.images], label.output
        else:
            student = read_recipe(step, Recipe)
            sources = (*student.sources, *student.validation)
            read = [student.network.checkpoint, student.network.encoder_checkpoint]
            read += [source.labels for source in sources if source.kind == "pseudo"]
            folders, output = [source.path for source in sources if source.path], student.output
        assert output == f"runs/embedded/{step.stem}"
        for path in filter(None, read):
            assert path.startswith("photographs/") or any(
                path == done or path.startswith(f"{done}/") for done in outputs
            ), (step.name, path)
        for folder in folders:
            assert folder.startswith("photographs/") or f"\n{folder}: " in makefile, step.name
        outputs.append(output)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stepps": 3}, "no setting stepps"),
        ({"steps": "many"}, "steps is 'many'; it must be of type int"),
        ({"size": [50, 56]}, "multiples of 14"),
        ({"size": [56, 84], "network": {"family": "lite"}}, "multiples of 32"),
        (
            {"network": {"family": "heavy"}},
            "family is 'heavy'; it must be one of depth_anything, lite",
        ),
        ({"network": {"family": "lite", "max_depth": 10.0}}, "lite networks have no maximum"),
        ({"network": {"canonical_focal": 173.0}}, "only lite networks have a canonical camera"),
        ({"steps": 0}, "steps is 0"),
        ({"precision": "fp8"}, "fp8"),
        ({"ema": 1.0}, "ema"),
        ({"matrix_rate": -0.1}, "matrix_rate is -0.1"),
        ({"fixed_scale": True, "network": {**NETWORK, "max_depth": 10.0}}, "relative networks"),
        ({"sources": [{"path": "x"}]}, "lacks kind"),
        ({"sources": {"kind": "bag"}}, "must be a list"),
        ({"network": 3}, "must be a mapping"),
    ],
)
def test_recipes_without_sense_are_refused(
    tmp_path: Path, settings: dict[str, object], words: str
) -> None:
    config = write_recipe(tmp_path / "bad.yaml", output="x", **settings)
    with pytest.raises(SettingError, match=words):
        read_recipe(config, Recipe)
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(InputError, match="YAML"):
        read_recipe(tmp_path / "broken.yaml", Recipe)


@pytest.mark.parametrize(
    ("task", "kind", "max_depth", "words"),
    [
        ("teacher", "pseudo", 0.0, "true labels"),
        ("student", "synthetic", 0.0, "needs a source of kind 'pseudo'"),
        ("metric", "synthetic", 0.0, "max_depth is 0"),
        ("metric", "pseudo", 10.0, "no metres"),
        ("teacher", "images", 0.0, "no labels"),
    ],
)
def test_tasks_ask_for_what_they_need(
    tmp_path: Path, task: str, kind: str, max_depth: float, words: str
) -> None:
    config = write_recipe(
        tmp_path / "r.yaml",
        output="x",
        sources=[{"kind": kind, "path": "x"}],
        network={**NETWORK, "max_depth": max_depth},
    )
    with pytest.raises(SettingError, match=words):
        check_task(read_recipe(config, Recipe), task)


def test_a_batch_must_split_evenly(index: Path, tmp_path: Path) -> None:
    config = write_recipe(
        tmp_path / "r.yaml",
        output=str(tmp_path / "r"),
        sources=[{"kind": "index", "path": str(index)}],
        accumulation=3,
    )
    with pytest.raises(SettingError, match=r"batch is 8.*1 \* 3"):
        Trainer(read_recipe(config, Recipe)).run()
