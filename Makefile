# `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
GO ?= go
BIN := $(CURDIR)/bin
TESTFLAGS ?= -race -shuffle=on -timeout 8m

.PHONY: help build test unit e2e soak lint fuzz bench tools setup clean

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

build: ## build bin/berth
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/berth ./cmd/berth

test: setup lint unit e2e ## every test: lint, unit tests with the race detector, real clients

unit: ## unit tests with the race detector, those of the benchmark too
	$(GO) test $(TESTFLAGS) ./...
	cd bench && $(GO) test $(TESTFLAGS) ./...

# Never from the cache: go does not know that the result depends on the Berth that is built.
e2e: ## real clients against real registries; docs in e2e/README.md
	cd e2e && $(GO) test -count=1 -v -timeout 10m ./...

# Its short form is part of the other tests. SOAKFLAGS='-run TestKill' for one of them.
soak: ## treat content, store and binary badly for half an hour or more; docs/operations.md
	BERTH_SOAK=1 $(GO) test -count=1 -v -timeout 10m $(if $(SOAKFLAGS),$(SOAKFLAGS),-run 'TestCrash|TestPower|TestSyncFailure|TestChaos') ./cache ./cache/store
	cd e2e && BERTH_SOAK=1 $(GO) test -count=1 -v -timeout 60m $(SOAKFLAGS) ./soak

lint: tools ## formatting, vet, architecture and the rest of .golangci.yml; bin/golangci-lint fmt mends the first
	$(BIN)/golangci-lint run --allow-parallel-runners ./...
	cd e2e && $(BIN)/golangci-lint run --allow-parallel-runners --config ../.golangci.yml ./...
	cd bench && $(BIN)/golangci-lint run --allow-parallel-runners --config ../.golangci.yml ./...
	$(GO) mod tidy -diff
	cd e2e && $(GO) mod tidy -diff
	cd bench && $(GO) mod tidy -diff

# Each target for a minute: FUZZTIME=10s make fuzz for less.
FUZZTIME ?= 1m
fuzz: ## run every fuzz target for FUZZTIME
	@set -e; for f in $$(grep -rl --include='*_test.go' '^func Fuzz' . | grep -v '^./e2e'); do \
	  for t in $$(grep -oE '^func Fuzz[A-Za-z]+' $$f | cut -c6-); do \
	    echo "$$t in $$(dirname $$f)"; $(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$f); done; done

bench: ## measure berth beside its peers; docs/benchmarks.md, BENCHFLAGS=-mini for a trial
	cd bench && $(GO) run . $(BENCHFLAGS)

tools: $(BIN)/golangci-lint

$(BIN)/golangci-lint: tools/go.mod
	cd tools && $(GO) build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

setup: ## with CI=true, as root: install what the tests need from Debian's packages
	@if [ "$$CI" = true ]; then e2e/setup.sh; fi

clean: ## remove what was built
	rm -rf $(BIN)
