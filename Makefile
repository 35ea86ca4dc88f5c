# Every target first creates the virtual environment .venv; this needs only Python and pip.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Most tests wait for sockets, so more workers than cores are faster.
WORKERS ?= 6
# A worker that has finished takes tests from the others, as some tests take seconds.
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist worksteal
REQUESTS ?= 50000
SEED ?= 1
LOCK = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --no-header --quiet

.PHONY: demo run test test-all soak bench check fix lock package recording
.DEFAULT_GOAL := demo

demo: .venv/ready   ## run the main use cases end to end on this machine
	$(BIN)/python -m local.demo

run: .venv/ready   ## run the app with its DPS and Service Bus stand-ins, until Ctrl-C
	$(BIN)/python -m local

test: .venv/ready   ## run the tests
	$(PYTEST)

test-all: .venv/ready .venv/tools   ## run the long tests too, with coverage
	$(PYTEST) -m "not live" --cov --cov-report=term

soak: .venv/ready   ## send 50,000 requests through the queues, with faults; REQUESTS= and SEED= set others
	LEDGER_REQUESTS=$(REQUESTS) LEDGER_SEED=$(SEED) $(BIN)/pytest tests/ledger -m long -s

bench: .venv/ready   ## run the benchmarks, in about 45 minutes; QUICK=1: two minutes
	QUICK=$(QUICK) $(BIN)/python bench/run.py

check: .venv/ready   ## check style, types, import contracts and the requirements files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@cp requirements.txt .venv/requirements.txt && cp requirements-dev.txt .venv/requirements-dev.txt
	@$(LOCK) -o .venv/requirements.txt
	@$(LOCK) --extra cli --group dev -c requirements.txt -o .venv/requirements-dev.txt
	@diff requirements.txt .venv/requirements.txt && diff requirements-dev.txt .venv/requirements-dev.txt \
		|| { echo "requirements files do not match pyproject.toml: run make lock"; exit 1; }

fix: .venv/ready   ## apply the fixes of the linter, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/ready   ## update requirements.txt and requirements-dev.txt from pyproject.toml
	$(LOCK) --upgrade -o requirements.txt
	$(LOCK) --upgrade --extra cli --group dev -c requirements.txt -o requirements-dev.txt

package: .venv/ready ## build dist/app.zip for deployment; PYTHON= is the Python it is compiled for
	$(BIN)/python -m local.package --python $(PYTHON)

recording: .venv/ready   ## record the command line at work as docs/cli.svg
	$(BIN)/python -m local.recording docs/cli.svg

.venv/ready: requirements-dev.txt
	@$(if $(PYTHON),:,echo "Python 3.11 or newer is required: apt-get install python3 or https://www.python.org" && exit 1)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is required; $(PYTHON) is older. Set another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' \
		|| { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m local.swagger_ui
	@touch $@

# For the long tests: a browser, and the DPS client for Node.js. What is missing is installed from Debian.
APT = DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends
.venv/tools: .venv/ready
	@test -x /usr/bin/chromium && command -v chromedriver >/dev/null \
		|| { apt-get update --quiet; $(APT) chromium chromium-driver; } \
		|| { echo "The long tests need chromium and chromedriver."; exit 1; }
	@command -v npm >/dev/null || { apt-get update --quiet; $(APT) nodejs npm; } \
		|| { echo "The long tests need Node.js and npm."; exit 1; }
	npm install --silent --no-save --prefix .venv/node azure-iot-provisioning-service@1.11.2
	@touch $@
