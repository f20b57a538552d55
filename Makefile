# Everything a newcomer or a build server needs. Each target sets up what it needs by itself.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := train,parquet,openvino,postgresql,mqtt,prometheus,tune,dev

.PHONY: help install demo test test-all lint bench bundle clean

help:
	@echo "make demo      the whole story on rendered caps, ends with goodpart-demo/report/report.html"
	@echo "make test      the fast tests         make test-all   the slow ones too"
	@echo "make lint      ruff, mypy, imports    make bench      figures; DATA=folder of data sets"
	@echo "make bundle    wheels for a PC without internet, in bundle/"

install: $(STAMP)

# torch comes by constraint: without it pip would take a build with gigabytes of CUDA libraries.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

demo: $(STAMP)
	$(BIN)/goodpart demo --force

test: $(STAMP)
	@tools/system_packages.sh
	$(BIN)/pytest

test-all: $(STAMP)
	@tools/system_packages.sh
	$(BIN)/pytest -m ''

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks tools
	$(BIN)/ruff format --check src tests benchmarks tools
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	@test -n "$(DATA)" || { echo "make bench DATA=folder: the folder that holds casting, magnetic_tile, grid"; exit 2; }
	$(BIN)/python benchmarks/run_all.py DATA=$(DATA)

bundle: $(STAMP)
	$(BIN)/python tools/make_bundle.py bundle

clean:
	rm -rf $(VENV) bundle dist goodpart-demo .pytest_cache .mypy_cache .ruff_cache
