"""Builds the package for colcon (ament_python) and for pip."""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

NAME = "depth_anything_ros"
ROS_PACKAGES = (
    "sensor-msgs",
    "std-msgs",
    "std-srvs",
    "geometry-msgs",
    "diagnostic-msgs",
    "lifecycle-msgs",
    "nav-msgs",
    "visualization-msgs",
    "rosgraph-msgs",
)
# One distribution, named in full: an unversioned `ros-...` requirement would be another one.
ROS = ["ros-jazzy-rclpy[fastrtps]", *(f"ros-jazzy-{name}" for name in ROS_PACKAGES)]
ONNX = ["onnx", "onnxruntime", "onnxscript"]
OPENVINO = ["openvino", "nncf", "onnx", "onnxscript"]
BAGS = ["rosbags"]
DEMO = [*BAGS, "scikit-image"]
TRAIN = [*BAGS, "tensorboard", "h5py"]
VIDEO = ["av"]
SERVE = ["starlette", "uvicorn"]
VIEW = ["rerun-sdk"]
CLUSTER = ["ray"]
FUSION = ["open3d"]
# What the official Depth Anything 3 code imports; the Makefile brings that code itself.
DA3 = ["addict", "einops", "omegaconf"]
TEST = [
    "pytest<9",
    "pytest-timeout",
    "pytest-xdist",
    "pytest-cov",
    "pytest-rerunfailures",
    "hypothesis",
    "httpx2",
]


def share(folder: str, *patterns: str) -> tuple[str, list[str]]:
    files = [str(file) for pattern in patterns for file in sorted(Path(folder).glob(pattern))]
    return f"share/{NAME}/{folder}", files


setup(
    name=NAME,
    version="0.1.0",
    description="Any camera of a robot as a metric depth sensor, with the Depth Anything networks",
    long_description=Path(__file__).resolve().with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    maintainer="depth_anything_ros maintainers",
    maintainer_email="maintainers@depth-anything-ros.invalid",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: [
            "py.typed",
            "node/runtime/fastdds_profile.xml",
            "network/embedded/*",
            "metric/correction.onnx",
            "metric/wrong_points.safetensors",
            "web/static/*",
            "web/examples/*",
        ],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        share("launch", "*.launch.py"),
        share("config", "*.yaml", "*.rviz", "*.json", "*.xml"),
        share("config/training", "*.yaml"),
        share("config/training/embedded", "*.yaml"),
    ],
    zip_safe=False,
    python_requires=">=3.10",
    install_requires=[
        "setuptools",
        "numpy>=1.21",
        "psutil",
        "opencv-python-headless<5",
        "pyyaml",
        "scipy",
        "torch>=2.4",
        "safetensors",
        "huggingface_hub",
        "click>=8.0",
        "rich>=11.2",
    ],
    extras_require={
        "ros": ROS,
        "onnx": ONNX,
        "openvino": OPENVINO,
        "demo": DEMO,
        "train": TRAIN,
        "video": VIDEO,
        "serve": SERVE,
        "view": VIEW,
        "cluster": CLUSTER,
        "fusion": FUSION,
        "test": [*TEST, *ROS, *ONNX, *DEMO, *VIDEO, *SERVE, "transformers", *DA3],
        "docs": ["mkdocs-material", "mkdocstrings[python]"],
        "dev": ["ruff", "mypy", "types-PyYAML", "types-setuptools"],
    },
    entry_points={
        "console_scripts": [
            "depth_anything = depth_anything_ros.cli.main:main",
            "depth_node = depth_anything_ros.node.start:depth_node",
            "image_player = depth_anything_ros.node.start:image_player",
            "simulated_robot = depth_anything_ros.node.start:simulated_robot",
        ],
    },
)
