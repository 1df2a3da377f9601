# Everything happens in an environment of its own, .venv; `make` alone says what there is.
# PYTHON=… chooses the interpreter it is made with, ARGS=… goes to the command, pytest, the benchmarks or the fuzzer.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
ARGS ?=
PYTEST := $(BIN)/python -m pytest
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
NOTEBOOKS := $(wildcard notebooks)

# What runs finds the environment's programs first, and then the servers on the PATH.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# The tests start a Python a thousand times, and each would compile all of this again. `make clean` removes what is kept.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help lab test further coverage lint bench site lite trylite lock fuzz clean
.DELETE_ON_ERROR:

help: ## list these targets
	@awk -F ': .*## |:.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

lab: $(VENV)/course ## install what the course needs, and open your copy of it in JupyterLab
	@$(BIN)/streamlab lab $(ARGS)

test: lint ## check and test, notebooks included; what takes longer is `make further`
	@$(PYTEST) --real-time=without --further=without -n 3 --dist worksteal tests $(ARGS) || [ $$? -eq 5 ] # 5: ARGS choose none
	@$(PYTEST) --real-time=only --further=without -n 3 --dist worksteal tests $(ARGS) || [ $$? -eq 5 ]
	@$(PYTEST) --nbval --nbval-current-env --nbval-cell-timeout=120 -n 2 --dist loadfile $(NOTEBOOKS) $(ARGS) || [ $$? -eq 5 ]

further: $(VENV)/dev ## test with more seeds, on all servers, at greater length, as continuous integration does too
	@$(PYTEST) --real-time=without --further=only -n 3 --dist worksteal tests $(ARGS) || [ $$? -eq 5 ]
	@$(PYTEST) --real-time=only --further=only -n 3 --dist worksteal tests $(ARGS) || [ $$? -eq 5 ]

coverage: $(VENV)/dev ## measure which lines the tests run, beside others where they may
	@$(BIN)/coverage erase
	@$(PYTEST) --real-time=without -n 3 --dist worksteal --cov --cov-report= tests $(ARGS)
	@$(PYTEST) --real-time=only -n 3 --dist worksteal --cov --cov-append tests $(ARGS)

lint: $(VENV)/dev ## check style, types, imports and dead code only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --num-workers 2
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/vulture

bench: $(VENV)/bench ## compare speed with other simulators and clients
	@for each in $(filter-out %/harness.py %/recovery.py %/libraries.py %/persistence.py %/failover.py %/schedules.py %/classroom.py %/command.py %/shards.py,$(wildcard benchmarks/[a-z]*.py)); do echo "== $$each"; $(BIN)/python "$$each" $(ARGS) || exit; done

site: $(VENV)/dev ## make a site of the course, its pages and its API in build/site
	@$(BIN)/python -m sphinx -q -W --keep-going -c docs . build/site
	@echo "build/site/index.html"

lite: $(VENV)/lite/made ## make a site in build/lite on which the course runs in a browser alone (needs npm)
	@PATH="$(CURDIR)/$(VENV)/lite/bin:$$PATH" python lite/build.py $(ARGS)

trylite: lite $(VENV)/dev ## try that site in Chromium, which reaches no other
	@$(PYTEST) tests/lite --lite build/lite

lock: $(VENV)/dev ## choose anew the versions that Binder, the dev container and the browser install
	@$(PIP) "uv>=0.9"
	@$(BIN)/uv pip compile pyproject.toml --extra course --universal --python-version 3.11 --upgrade --generate-hashes \
	    --no-annotate --no-emit-index-url --custom-compile-command "make lock" --quiet --output-file binder/requirements.txt
	@$(BIN)/uv pip compile pyproject.toml --group browser --python-platform wasm32-pyodide2025 --python-version 3.14 \
	    --upgrade --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock" --quiet \
	    --output-file lite/requirements.txt

fuzz: $(VENV)/dev ## compare the stream model with real servers, for long
	@$(BIN)/python -m tests.differential $(ARGS)

clean: ## remove the environment and what tools leave behind
	rm -rf $(VENV) .coverage .coverage.* .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# One empty file for each set of packages that is installed, renewed when pyproject.toml changes.
$(VENV)/course: pyproject.toml | $(VENV)/made
	@echo "Installing the course into $(VENV) (once; a minute or so) …"
	@$(PIP) -e ".[course]"
	@touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/made
	@echo "Installing the course and the tools of its tests into $(VENV) (once; a minute or so) …"
	@$(PIP) --upgrade "pip>=25.1" # knows groups
	@$(PIP) -e ".[course]" --group dev
	@touch $@ $(VENV)/course

$(VENV)/bench: pyproject.toml | $(VENV)/made
	@echo "Installing what the benchmarks compare with into $(VENV) (once) …"
	@$(PIP) --upgrade "pip>=25.1" # knows groups
	@$(PIP) -e . --group bench
	@touch $@

# In an environment of its own: what is installed for JupyterLab there becomes part of the site.
$(VENV)/lite/made: pyproject.toml | $(VENV)/made
	@echo "Installing what makes the site into $(VENV)/lite (once) …"
	@rm -rf $(VENV)/lite
	@$(BIN)/python -m venv $(VENV)/lite
	@$(VENV)/lite/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1" # knows groups
	@$(VENV)/lite/bin/python -m pip install --quiet --disable-pip-version-check --group lite
	@touch $@

# Without its mark, an environment is half made or another's; and its programs would come first on the PATH.
$(VENV)/made:
	@rm -rf $(VENV)
	@for candidate in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        chosen=$$candidate; break; \
	    fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	    echo "streamlab needs Python 3.11 or newer, and found none. Install one, or name it: make PYTHON=/path/to/python3 …" >&2; \
	    exit 1; \
	fi; \
	if ! $$chosen -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$chosen cannot make an environment: its venv module is missing (Debian, Ubuntu: apt install python3-venv)." >&2; \
	    exit 1; \
	fi; \
	$$chosen -m venv $(VENV)
	@touch $@
