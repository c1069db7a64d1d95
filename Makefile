# Every target sets up what it needs in .venv, on a machine with Python 3.11 or later and nothing else.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test test-cluster test-node test-faults lint format bench bench-allocator bench-placement bench-gangs \
	bench-cluster kube kube-node manifests proto lock clean

install: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Fairlead needs Python 3.11 or later; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: install
	$(BIN)/fairlead demo

# Twice as many at once as there are cores: many tests wait for a driver's process and not for a core.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')

test: install
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

# Real Kubernetes for tests (docs/real-kubernetes.md): built once a machine, outside this folder, from the Go module
# registry. Minutes the first time, nothing afterwards.
kube:
	nice -n 19 $(PYTHON) -m kube build

# What a node needs besides: kubelet, containerd, and what runs in its containers.
kube-node:
	nice -n 19 $(PYTHON) -m kube build node

# The chart's default rendering as plain manifests; helm is built when it is missing.
manifests:
	nice -n 19 $(PYTHON) -m kube build helm
	$(PYTHON) deploy/render.py

# Tests against a control plane that they start themselves, never one that KUBECONFIG names; with KUBEBUILDER_ASSETS
# nothing is built.
test-cluster: install
	test -n "$$KUBEBUILDER_ASSETS" || $(MAKE) kube
	$(BIN)/python -m pytest -m cluster tests/cluster -n 2 --dist loadfile $(ARGS)

# Drivers on a real kubelet and containerd (docs/real-kubernetes.md): needs root, and runc (Debian: apt-get install runc).
test-node: install
	test -n "$$KUBEBUILDER_ASSETS" || $(MAKE) kube kube-node
	$(BIN)/python -m pytest -m node tests/node $(ARGS)

# Faults at every write of the controller (docs/faults.md); FAIRLEAD_FAULTS says how many, FAIRLEAD_SEED repeats a run.
test-faults: install
	test -n "$$KUBEBUILDER_ASSETS" || $(MAKE) kube
	$(BIN)/python -m pytest -m faults tests/faults -s

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# How load, events and decisions grow with the cluster.
bench: install
	$(BIN)/python bench/scale.py

# Ours beside Kubernetes' own allocator on the same cases; without Go only ours.
bench-allocator: install
	$(BIN)/python bench/allocator.py

# What choosing devices by wiring and planning moves costs.
bench-placement: install
	$(BIN)/python bench/devices.py
	$(BIN)/python bench/defrag.py

# Pods bound a second on a real control plane, beside kube-scheduler alone. An hour.
bench-cluster: install
	test -n "$$KUBEBUILDER_ASSETS" || $(MAKE) kube
	$(BIN)/python bench/cluster.py

# Gangs beside the CP-SAT solver on the same cases, in a place of its own: nothing else here needs a solver.
bench-gangs: .venv-optimize/.installed
	.venv-optimize/bin/python bench/gangs.py

.venv-optimize/.installed: requirements.lock bench/requirements-optimize.txt pyproject.toml
	test -x .venv-optimize/bin/python || $(PYTHON) -m venv .venv-optimize
	.venv-optimize/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements.lock -r bench/requirements-optimize.txt
	.venv-optimize/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# The messages of kubelet's protocol and of the DPU agent's; what is made is checked in.
proto: install
	$(BIN)/python -m grpc_tools.protoc -I src --python_out=src --pyi_out=src src/fairlead/driver/kubelet.proto \
		src/fairlead/drivers/bluefield/agent.proto

# Pins every dependency with its hashes, for all Python versions and platforms we support.
lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --group dev \
		--extra driver --extra fabric --extra network --extra nvidia pyproject.toml -o requirements.lock
	echo 'ortools>=9.10' | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
		--constraints requirements.lock - -o bench/requirements-optimize.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --constraints requirements.lock \
		--extra driver --extra fabric --extra network --extra nvidia pyproject.toml -o deploy/requirements.lock
	echo hatchling | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
		--constraints requirements.lock - -o deploy/requirements-build.lock

clean:
	rm -rf .venv .venv-optimize
