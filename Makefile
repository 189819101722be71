# mcpguard. `make` lists the targets.
#
# What tests and lint need besides Go goes into .cache, pinned by version, and
# nowhere else. Nothing there is needed to build or to run mcpguard.

SHELL := /bin/bash
GO ?= go
NPM ?= npm

CACHE := $(CURDIR)/.cache
TOOLS := $(CACHE)/bin
PEERS := $(CACHE)/peers
AGENTS := $(CACHE)/agents

GOLANGCI_LINT := v2.15.0
GOVULNCHECK   := v1.9.0
GO_SDK        := v1.8.0
MCP_GO        := v1.2.1
GOPLS         := v0.23.0
MCP_PYTHON    := 2.3.0

# Time for each fuzz target, flags of mcpguard-bench, time of the soak.
FUZZTIME ?= 20s
BENCH    ?=
SOAK     ?= 2m

# The rooms in which goroutines meet.
RACE ?= ./toolcall/... ./toolpolicy/... ./redact/... ./audit/... ./identity/... ./keyring/... ./mcpproxy/... ./store/...

.DEFAULT_GOAL := help
.PHONY: help build run test peers agents conformance interop soak bench hostile agree lint fuzz race clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/mcpguard and bin/mcpguard-bench
	$(GO) build -o bin/ ./cmd/...

run: ## the demo: a denial, a redaction and the record, in one command
	$(GO) run ./cmd/mcpguard demo

test: peers ## the whole suite; installs its peers first where it can
	@set -o pipefail; $(GO) test -timeout 10m -v ./... 2>&1 | awk -f .ci/quiet.awk

conformance: peers ## the official MCP suite, direct and through mcpguard
	$(GO) test ./cmd/mcpguard -run '^TestConformance' -count=1 -v

interop: peers agents ## real servers, clients and agents, direct and through mcpguard
	$(GO) test ./cmd/mcpguard -run '^TestInterop' -count=1 -v

soak: ## 1,000 agents that come and go for SOAK, and what they leave behind
	MCPGUARD_SOAK=$(SOAK) $(GO) test ./cmd/mcpguard -run '^TestSoak$$' -count=1 -v -timeout 15m

bench: build ## speed beside no proxy and beside a proxy that does nothing (BENCH=-quick for a short run)
	bin/mcpguard-bench -guard bin/mcpguard $(BENCH)

hostile: build ## what one caller waits for while another attacks (BENCH=-rounds=5 for more)
	bin/mcpguard-bench hostile -guard bin/mcpguard $(BENCH)

fuzz: ## every fuzz target for FUZZTIME
	@.ci/fuzz $(FUZZTIME)

agree: ## a million random calls, decided as a slow and literal evaluator decides them
	$(GO) test ./toolpolicy -run '^TestEvaluateAgrees$$' -count=1 -v -timeout 30m -cases 1000000

race: ## the rooms in which goroutines meet, under the race detector
	CGO_ENABLED=1 $(GO) test -timeout 5m -race -short $(RACE)

clean: ## remove what was built and installed here
	rm -rf bin $(CACHE)

# Peers: clients, servers and suites that nobody here wrote. Without npm or a
# registry the tests that need them say SKIP, or fail under
# MCPGUARD_TEST_REQUIRE=all; so failing to install is no failure here.

peers: ## install the clients, servers and suites that tests drive, into .cache
	@$(MAKE) --no-print-directory $(PEERS)/.installed || echo 'peers: npm could not install them; tests that need them will say so'
	@$(MAKE) --no-print-directory $(TOOLS)/.everything-$(GO_SDK) || echo 'peers: go could not install everything-server; tests that need it will say so'
	@$(MAKE) --no-print-directory $(TOOLS)/.mcp-go-$(MCP_GO) $(TOOLS)/.gopls-$(GOPLS) || echo 'peers: go could not install servers written in Go; tests that need them will say so'
	@! command -v python3 >/dev/null || $(MAKE) --no-print-directory $(CACHE)/py/.mcp-$(MCP_PYTHON) || echo 'peers: pip could not install the Python SDK; tests that need it will say so'

$(PEERS)/.installed: testdata/peers/package.json
	@mkdir -p $(PEERS)
	cp $< $(PEERS)/package.json
	cd $(PEERS) && $(NPM) install --no-audit --no-fund --no-package-lock --loglevel=error
	@touch $@

$(TOOLS)/.everything-$(GO_SDK):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install github.com/modelcontextprotocol/go-sdk/conformance/everything-server@$(GO_SDK)
	GOBIN=$(TOOLS) $(GO) install github.com/modelcontextprotocol/go-sdk/conformance/everything-client@$(GO_SDK)
	@touch $@

# Agents' own command lines, which need no account to list MCP servers. They take
# 700 MiB, so that make test does not install them.

agents: peers ## install the command lines of Claude Code, Codex and Gemini CLI (700 MiB), into .cache
	@$(MAKE) --no-print-directory $(AGENTS)/.installed || echo 'agents: npm could not install them; tests that need them will say so'

$(AGENTS)/.installed: testdata/agents/package.json
	@mkdir -p $(AGENTS)
	cp $< $(AGENTS)/package.json
	cd $(AGENTS) && $(NPM) install --no-audit --no-fund --no-package-lock --loglevel=error
	@touch $@

$(CACHE)/py/.mcp-$(MCP_PYTHON):
	python3 -m venv $(CACHE)/py
	$(CACHE)/py/bin/python -m pip install --quiet --disable-pip-version-check mcp==$(MCP_PYTHON)
	@touch $@

# Of mcp-go's examples one is called everything too.
$(TOOLS)/.mcp-go-$(MCP_GO):
	@mkdir -p $(TOOLS)/mcp-go
	GOBIN=$(TOOLS)/mcp-go $(GO) install github.com/mark3labs/mcp-go/examples/everything@$(MCP_GO)
	@touch $@

$(TOOLS)/.gopls-$(GOPLS):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install golang.org/x/tools/gopls@$(GOPLS)
	@touch $@

# Lint. Each tool at one version, so that a new release cannot fail an old commit.

lint: $(TOOLS)/.golangci-lint-$(GOLANGCI_LINT) $(TOOLS)/.govulncheck-$(GOVULNCHECK) ## gofmt, vet, golangci-lint with all of staticcheck, govulncheck
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(TOOLS)/golangci-lint run --allow-parallel-runners ./...
	@$(CURDIR)/.ci/vulncheck $(TOOLS)/govulncheck

$(TOOLS)/.golangci-lint-$(GOLANGCI_LINT):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	@touch $@

$(TOOLS)/.govulncheck-$(GOVULNCHECK):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK)
	@touch $@
