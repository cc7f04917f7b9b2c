# Everything a bare machine needs: python3 (3.10-3.13), make and PyPI.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# make demo
IMAGES ?=
DEMO_SECONDS ?= 30
DEMO_OUTPUT ?= demo_output
DEMO_MODEL ?=

# The PyPI ROS wheels find their own libraries; a sourced ROS installation would be mixed in.
CLEAN_ENV := env -u PYTHONPATH -u AMENT_PREFIX_PATH -u LD_LIBRARY_PATH -u ROS_DISTRO \
	ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST

.PHONY: help setup demo test lint format clean embedded

help:
	@echo "make demo    run the real node on real DDS (IMAGES=folder, video, bag or photographs; DEMO_SECONDS=0: until Ctrl-C)"
	@echo "make test    lint, types and tests"
	@echo "make format  format the code"
	@echo "make embedded  train the embedded network again (docs/training.md)"
	@echo "make clean   remove the virtual environment and what was made"

setup: $(READY)

$(READY): setup.py setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade -c constraints.txt pip setuptools wheel
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation --editable ".[ros,onnx,openvino,demo,train,test,dev]"
	touch $@

demo: $(READY)
	$(CLEAN_ENV) $(BIN)/depth_anything demo $(if $(IMAGES),--images "$(IMAGES)") \
		$(if $(DEMO_MODEL),--model "$(DEMO_MODEL)") \
		--seconds $(DEMO_SECONDS) --output "$(DEMO_OUTPUT)"

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(CLEAN_ENV) $(BIN)/python -m pytest

# The embedded network from photographs/ (docs/training.md).
TRAIN := $(BIN)/torchrun --nproc_per_node 2 -m depth_anything_ros train
RECIPES := config/training/embedded
embedded: export OMP_NUM_THREADS = 1
embedded: $(READY)
	$(BIN)/depth_anything train views photographs/panoramas/indoor photographs/indoor/views --per-panorama 400 --seed 1
	$(BIN)/depth_anything train views photographs/panoramas/outdoor photographs/outdoor/views --per-panorama 120 --seed 2
	$(BIN)/depth_anything train pseudo-label $(RECIPES)_labels_indoor.yaml
	$(TRAIN) student $(RECIPES)_assistant.yaml
	$(BIN)/depth_anything train pseudo-label $(RECIPES)_labels_outdoor.yaml
	$(TRAIN) student $(RECIPES)_student.yaml
	cp runs/embedded_student/model.safetensors depth_anything_ros/network/embedded/depth_anything_tiny.safetensors

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info $(DEMO_OUTPUT)
