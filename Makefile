# Everything a bare machine needs: python3 (3.10-3.13), make and PyPI.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.docs

# make demo
IMAGES ?=
DEMO_SECONDS ?= 30
DEMO_OUTPUT ?= demo_output
DEMO_MODEL ?=

# The PyPI ROS wheels find their own libraries; a sourced ROS installation would be mixed in.
CLEAN_ENV := env -u PYTHONPATH -u AMENT_PREFIX_PATH -u LD_LIBRARY_PATH -u ROS_DISTRO \
	ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST

.PHONY: help setup demo test oldest lint format docs picture clean embedded

help:
	@echo "make demo    run the real node on real DDS (IMAGES=folder, video, bag or photographs; DEMO_SECONDS=0: until Ctrl-C)"
	@echo "make test    lint, types, tests, and the documentation's site"
	@echo "make oldest  tests of the command line on the oldest libraries (make test does it, too)"
	@echo "make format  format the code"
	@echo "make docs    bring the generated pages up to date and build the site in build/docs"
	@echo "make picture  make the picture of the README again"
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

docs: $(DOCS_READY)
	$(CLEAN_ENV) $(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

$(DOCS_READY): $(READY)
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation --editable ".[docs]"
	touch $@

picture: $(READY)
	$(CLEAN_ENV) $(BIN)/python docs/picture.py

test: lint $(DOCS_READY)
	$(CLEAN_ENV) $(BIN)/python -m pytest
	$(MAKE) oldest
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# The embedded network from photographs/ (docs/training.md), hours on two cores.
EMBEDDED := config/training/embedded
VIEWS := $(BIN)/depth_anything train views photographs/panoramas
LABEL := $(BIN)/depth_anything train pseudo-label $(EMBEDDED)
TRAIN := $(BIN)/torchrun --nproc_per_node 2 -m depth_anything_ros train student $(EMBEDDED)
embedded: export OMP_NUM_THREADS = 1
embedded: $(READY)
	$(VIEWS)/indoor pictures/indoor/views --per-panorama 400 --seed 1
	$(VIEWS)/outdoor pictures/outdoor/views --per-panorama 120 --seed 2
	$(VIEWS)/indoor pictures/indoor_more/views --per-panorama 900 --seed 3
	$(VIEWS)/outdoor pictures/outdoor_more/views --per-panorama 400 --seed 4
	$(VIEWS)/indoor_wide pictures/indoor_wide/views --per-panorama 900 --seed 11
	$(VIEWS)/outdoor_wide pictures/outdoor_wide --per-panorama 300 --seed 12
	cp photographs/indoor/* pictures/indoor
	cp photographs/indoor/* pictures/indoor_more
	cp photographs/outdoor/* pictures/outdoor
	cp photographs/outdoor/* pictures/outdoor_more
	$(BIN)/depth_anything train crops photographs/indoor_wide pictures/indoor_wide/crops --seed 9
	$(BIN)/depth_anything train blends pictures/blends pictures/indoor_wide/crops \
		pictures/indoor_wide/crops pictures/indoor_wide/crops pictures/indoor_wide/crops \
		pictures/indoor_wide/views pictures/indoor_more pictures/indoor_more \
		photographs/outdoor_wide --count 8000 --seed 99
	$(LABEL)/01_labels_indoor.yaml
	$(TRAIN)/02_assistant.yaml
	$(LABEL)/03_labels_outdoor.yaml
	$(TRAIN)/04_student.yaml
	$(LABEL)/05_labels_indoor.yaml
	$(LABEL)/06_labels_outdoor.yaml
	$(TRAIN)/07_student_longer.yaml
	$(BIN)/depth_anything export runs/embedded/07_student_longer/model.safetensors -o runs/embedded/longer.onnx
	$(LABEL)/08_labels_indoor.yaml
	$(LABEL)/09_labels_blends.yaml
	$(LABEL)/10_labels_outdoor.yaml
	$(LABEL)/11_labels_photographs.yaml
	$(TRAIN)/12_student_wide.yaml
	$(TRAIN)/13_student.yaml
	cp runs/embedded/13_student/model.safetensors depth_anything_ros/network/embedded/depth_anything_tiny.safetensors

# The command line on the oldest libraries that it may meet.
oldest: $(READY)
	$(BIN)/pip install -q --upgrade --no-deps --target build/oldest -r constraints-oldest.txt
	$(CLEAN_ENV) PYTHONPATH=build/oldest $(BIN)/python -m pytest test/cli/test_other_commands.py

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info $(DEMO_OUTPUT)
