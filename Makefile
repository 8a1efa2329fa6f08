# One file of commands: `make demo`, `make test`, `make bench`, `make bench-uci`, `make bench-peers`,
# `make bench-calibration`, `make bench-active-learning`, `make bench-studies`, `make bench-service`, `make ablation`,
# `make docs`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := build/peers
DEMO := build/old-faithful
STUDIES := build/studies

export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint docs bench bench-uci bench-peers bench-calibration bench-active-learning bench-studies \
        bench-service ablation clean

demo: $(STAMP)
	$(BIN)/manymodes fit src/manymodes/datasets/geyser.csv --target duration_min --output $(DEMO) --overwrite

test: lint
	$(BIN)/pytest -n 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/sphinx-build -q -W --keep-going -d build/docs/trees docs build/docs/html
	@echo build/docs/html/index.html

bench: $(STAMP)
	$(BIN)/python -m benchmarks

bench-uci: $(STAMP)
	env -u OMP_NUM_THREADS $(BIN)/python -m benchmarks.uci_seconds
	$(BIN)/python -m benchmarks.uci

bench-peers: $(STAMP) $(PEERS)/.installed
	$(BIN)/python -m benchmarks.peers --python $(PEERS)/bin/python

bench-calibration: $(STAMP)
	$(BIN)/python -m benchmarks.calibration

bench-active-learning: $(STAMP)
	$(BIN)/python -m benchmarks.active_learning

bench-studies: $(STAMP)
	env -u OMP_NUM_THREADS $(BIN)/manymodes study all --output $(STUDIES)
	$(BIN)/python -m benchmarks.studies $(STUDIES)

bench-service: $(STAMP)
	$(BIN)/python -m benchmarks.service

ablation: $(STAMP)
	$(BIN)/python -m benchmarks.ablation

clean:
	rm -rf $(VENV) build

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(PEERS)/.installed: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check -r benchmarks/peers/requirements.txt
	touch $@
