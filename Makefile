PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
ifneq ($(wildcard .dobble/stack.env),)
include .dobble/stack.env
export AWS_MAX_ATTEMPTS AWS_EC2_METADATA_DISABLED AWS_REQUEST_CHECKSUM_CALCULATION AWS_RESPONSE_CHECKSUM_VALIDATION
endif

.DEFAULT_GOAL := help
.PHONY: help env repro demo check test lint types fast unit slowed bench clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

env: $(READY) ## Create the environment in .venv from the lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "error: $(PYTHON) is not Python 3.11: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --no-compile --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@echo "compiling what the stages import"
	@env -u PYTHONDONTWRITEBYTECODE DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY=true $(BIN)/python -W ignore -c 'import \
		dobble.cli.main, dobble.validation.validate, dobble.evaluation.evaluate, dobble.detector.export, dobble.detector.train, \
		dobble.storage.remote, dobble.storage.s3, deepchecks.vision.checks, dvc.cli, dvc.repo, dvc_s3, labelbox, mlflow, prefect, \
		pytest, sklearn, torch.onnx'
	@touch $@

repro: $(READY) ## Run what has changed, on pinned data only
	@dobble pin --check
	@dvc repro

demo: $(READY) ## Render the sample deck, run every stage, play, and say where the report is
	@test -d data || { dobble sample && dobble pin; }
	@dobble pin --check
	@dvc repro
	@$(MAKE) --no-print-directory build/demo/match.jpg build/demo/table.jpg
	@dobble summary

build/demo/match.jpg: build/bundle/manifest.json
	@mkdir -p $(@D)
	dobble play $$(sed -n '2p;9p' build/splits/test.txt | sed 's|.*|build/voc/JPEGImages/&.jpg|') --out $@

build/demo/table.jpg: build/bundle/manifest.json
	@mkdir -p $(@D)
	dobble play build/bundle/samples/table.jpg --out $@

check: lint types fast ## Run lint, types and the tests of pure functions: a minute

test: lint types unit slowed ## Run everything that CI runs

lint: $(READY)
	ruff check .
	ruff format --check .
	vermin -q -t=3.6- --violations --eval-annotations --no-tips jetson

types: $(READY)
	mypy

# What starts no process, no server and no training.
FAST := tests/data tests/deck tests/test_params.py tests/test_layout.py tests/test_faults_table.py \
	$(addprefix tests/sources/test_,http_retries.py photo_files.py) \
	$(addprefix tests/detector/test_,augment.py batches.py dataset.py game_accuracy.py known_deck.py loss.py metrics.py) \
	$(addprefix tests/evaluation/test_,answers.py outcomes.py reliability.py) \
	tests/registry/test_lead_interval.py tests/pipeline/test_code_closure.py \
	jetson/tests/play jetson/tests/bench/test_choice.py jetson/tests/bench/test_verdict.py

fast: $(READY)
	python -m pytest -q --numprocesses 2 --dist loadfile $(FAST)

unit: $(READY)
	python -m pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder --shuffle=0

slowed: $(READY)
	python tests/slowed.py

bench: $(READY) ## Measure speed: data stages, training, one card, a table
	python benchmarks/data_stages.py
	python benchmarks/training.py
	python benchmarks/one_card.py
	python benchmarks/table.py
	python benchmarks/serve.py
	python benchmarks/fetch.py
	python benchmarks/push.py
	python benchmarks/validate.py
	python benchmarks/label_mistakes.py
	python benchmarks/flow_runs.py

clean: ## Remove what the stages wrote (data/ and DVC's cache stay)
	rm -rf build

PREFECT_PORT ?= 4200
MLFLOW_PORT ?= 5000

.PHONY: ui ui-stop
ui: $(READY) ## Start Prefect, a worker and MLflow on 127.0.0.1 and say where
	@python -m flows ui --prefect-port $(PREFECT_PORT) --mlflow-port $(MLFLOW_PORT)

ui-stop: $(READY) ## End what `make ui` started
	@python -m flows ui-stop

.PHONY: device
device: $(READY) ## Pack one archive for the device: package, bundle, installer, service, containers
	@dobble device

.PHONY: cloud-up cloud-down
cloud-up: ## Make the cloud stack (needs Terraform): make cloud-up BUCKET=NAME, and put data and results there
	@terraform -chdir=infra init -input=false
	@terraform -chdir=infra apply -var bucket=$(BUCKET) $(CLOUD)
	@mkdir -p .dobble && terraform -chdir=infra output -raw stack > .dobble/cloud.yaml
	@dobble stack use .dobble/cloud.yaml

cloud-down: ## Take the cloud stack down; data stay unless CLOUD="-var destroy_data=true" was applied
	@terraform -chdir=infra destroy -var bucket=$(BUCKET) $(CLOUD)
