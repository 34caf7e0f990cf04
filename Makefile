# Two commands do all the set-up: `make demo` and `make test`.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(wildcard proto/remora_proto/v1/*.proto)
SOURCES := sdk sidecar aggregator operator tests bench training

.PHONY: help demo test check format proto crds bench clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.ready: pyproject.toml .python-version bootstrap.sh
	./bootstrap.sh $(VENV)

demo: $(VENV)/.ready ## Watch real SDK calls being intercepted, carried, recorded and queried
	$(BIN)/remora demo

test: $(VENV)/.ready ## Run all tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.ready proto crds ## Format, lint, types, import contracts, generated code
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	git diff --exit-code -- proto || { echo "Generated code differs from the .proto files: commit the result of 'make proto'." >&2; exit 1; }
	git diff --exit-code -- k8s/crds k8s/chart/remora/files/crds || { echo "Manifests differ from the policy models: commit the result of 'make crds'." >&2; exit 1; }

format: $(VENV)/.ready ## Format the code and mend what ruff can mend
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

proto: $(VENV)/.ready ## Regenerate the protobuf code
	$(BIN)/python -m grpc_tools.protoc -I proto --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
		--plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
		--python_out=proto --grpc_python_out=proto --mypy_out=proto --mypy_grpc_out=proto $(PROTOS)

crds: $(VENV)/.ready ## Regenerate the custom resource definitions
	$(BIN)/python -m remora.policy.crd_files k8s/crds
	cp k8s/crds/*.yaml k8s/chart/remora/files/crds/

bench: $(VENV)/.ready ## Paired benchmarks against stock mitmdump; writes bench/results/latest.json
	$(BIN)/python -m bench

clean: ## Remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
