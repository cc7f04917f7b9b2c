"""A Hugging Face Space: upload a picture, drag between picture and depth, take the files.

Beside it the Space needs a `requirements.txt` with `depth_anything_ros @ git+URL` and `gradio`.
On a robot use `depth_anything serve`, which needs no internet.
"""

from __future__ import annotations

import tempfile
from typing import Any

import gradio as gr

import depth_anything_ros as da

MODEL = da.load("embedded_metric")  # or "depth_anything_v2_metric_hypersim_vits"


def estimate(rgb: Any, hfov: float) -> tuple[tuple[Any, Any], list[str], str]:
    """Picture and field of view in; the pair to compare, files, and how good the metres are."""
    if rgb is None:
        raise gr.Error("Choose a picture first.")
    height, width = rgb.shape[:2]
    frame = MODEL(rgb, camera=da.Camera.from_hfov(width, height, hfov))
    files = frame.save(tempfile.mkdtemp(), "depth", cloud=True)
    state = frame.scale_state
    return (
        (rgb, frame.preview()),
        [str(path) for path in files],
        f"{state.quality.value}: {state.reason}",
    )


demo = gr.Interface(
    estimate,
    [gr.Image(label="Picture"), gr.Slider(20, 140, 70, label="Horizontal field of view, degrees")],
    [gr.ImageSlider(label="Near is bright"), gr.Files(label="Files"), gr.Text(label="Metres")],
    title="depth_anything_ros",
    flagging_mode="never",
)

if __name__ == "__main__":
    demo.launch()
