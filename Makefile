# Two commands: `make demo` runs the main job, `make test` the tests. Both set up .venv when needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVE ?= 1
ARGS ?=
WORKERS ?= 2

.PHONY: demo test lint slow bench clean

$(VENV)/.ready: constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch torchvision
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,peers]'
	touch $@

demo: $(VENV)/.ready
	$(BIN)/fxrelay demo $(if $(filter 0,$(SERVE)),--no-serve) $(ARGS)

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n $(WORKERS) -m 'not slow' $(ARGS)

lint: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

slow: $(VENV)/.ready
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

bench: $(VENV)/.ready
	$(BIN)/python benchmarks/clever_hans.py
	$(BIN)/python benchmarks/artefacts.py
	$(BIN)/python benchmarks/suppression.py
	$(BIN)/python benchmarks/zoo.py
	$(BIN)/python benchmarks/photos.py
	$(BIN)/python benchmarks/work.py
	$(BIN)/python benchmarks/speed.py --compile epsilon_gamma_box epsilon_gamma_vit
	$(BIN)/python benchmarks/many.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/viewer.py
	$(BIN)/python benchmarks/million.py
	$(BIN)/python benchmarks/analysis.py
	$(BIN)/python benchmarks/analysis.py --large

clean:
	rm -rf $(VENV) demo-output build *.egg-info
