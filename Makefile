# Every command of a developer's day. `make help` lists them; CONTRIBUTING.md says more.
SHELL := /bin/bash
BIN := .venv/bin
DATA_DIR ?= .demo
LISTEN ?= 127.0.0.1:8776
SECONDS ?= 60
UV_COMPILE := $(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 $(ARGS)
.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-kill chaos test-real test-real-smoke lint format docs bench bench-ceph bench-cluster bench-image bench-lists pins clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## install everything needed, into .venv and from Debian

.venv/.ready: scripts/setup pyproject.toml requirements/dev.txt requirements/uv.txt
	@scripts/setup

demo: setup ## show the six sources of a volume on a running service, then stop it
	@$(BIN)/python -m scripts.demo

serve: setup ## run the service in the foreground (DATA_DIR=.demo LISTEN=127.0.0.1:8776)
	@$(BIN)/breezeblock serve --data-dir $(DATA_DIR) --listen $(LISTEN)

test: setup ## run all tests that need nothing but this machine
	@scripts/test $(ARGS)

test-kill: setup ## kill real processes at every point between two side effects, on both databases
	@BREEZEBLOCK_KILL_MATRIX=all $(BIN)/pytest tests/kill $(ARGS)

chaos: setup ## random kills under load for SECONDS=60 on each database, then a look at what is left
	@$(BIN)/python -m scripts.chaos --seconds $(SECONDS) $(ARGS)

test-real: setup ## run the tests against real Keystone, Glance, RabbitMQ and Ceph, installed by the tests
	@$(BIN)/pytest tests/real $(ARGS)

test-real-smoke: setup ## one tour through real Keystone and Glance, the RBD driver on a real Ceph, one life of a volume told by real RabbitMQ
	@echo "left to make test-real, for their minutes: the rules of the RBD driver named any_order and hostile"
	@$(BIN)/pytest -k "not any_order and not hostile" tests/real/test_smoke.py tests/real/test_rbd_conformance.py \
		tests/real/test_notifications.py::test_cinders_notifications_in_order $(ARGS)

lint: setup ## check style, types and the floors of the house
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## bring the style in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: setup ## write docs/configuration.md and docs/openapi*.json anew from the source
	@$(BIN)/python -m scripts.configuration_page
	@$(BIN)/python -m scripts.openapi_pages

bench: setup ## measure, and compare with the Cinder at BENCH_PEER_ENDPOINT if set
	@$(BIN)/python -m bench $(ARGS)

bench-cluster: setup ## the same for API and worker apart on PostgreSQL, with what each flow costs, rest and takeover
	@$(BIN)/python -m bench.cluster $(ARGS)

bench-ceph: setup ## measure volumes on Ceph, beside a Cinder on the same cluster if one is set
	@$(BIN)/python -m bench.ceph $(ARGS)

bench-lists: setup ## measure that 100 000 volumes do not change the time of a page, on SQLite and PostgreSQL
	@$(BIN)/python -m bench.lists $(ARGS)

bench-image: setup ## measure an image's way into a volume in every format, beside Cinder's way
	@$(BIN)/python -m bench.image_path $(ARGS)

pins: setup ## write the pins in requirements/ anew (ARGS=--upgrade takes the newest versions)
	$(UV_COMPILE) requirements/uv.in -o requirements/uv.txt
	$(UV_COMPILE) pyproject.toml --all-extras --group dev -o requirements/dev.txt
	$(UV_COMPILE) pyproject.toml --all-extras -o requirements/runtime.txt
	$(UV_COMPILE) requirements/peers.in -o requirements/peers.txt
	$(UV_COMPILE) requirements/tempest.in -o requirements/tempest.txt

clean: ## remove what make made in the tree
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
