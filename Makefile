# "make help" lists every target, in the groups that the lines "##@" begin.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := bin
# Cgo off: the binaries are static and run on any node.
export CGO_ENABLED ?= 0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
LDFLAGS := -s -w -buildid= -X main.version=$(VERSION)
FUZZTIME ?= 60s
SOAK_TRIALS ?= 10000
SOAK_YEARS ?= 1000
SEED ?= 1
JOBS ?= 1
# The version that make differential compares with, and how often.
OLD ?= 562c094
TRIALS ?= 1000
# How often make bench-pull pulls each image each way.
ROUNDS ?= 9
GOTESTFLAGS ?=
export GOTESTFLAGS
# The image that the chart names: its repository and the version of the application.
IMAGE ?= $(shell sed -n 's/^  repository: //p' manifests/chart/values.yaml):$(shell sed -n 's/^appVersion: "\(.*\)"/\1/p' manifests/chart/Chart.yaml)
BUILDER ?= docker.io/library/golang:1.26
# The first of these that is installed.
CONTAINER_TOOL ?= $(firstword $(foreach t,docker podman buildah,$(shell command -v $(t))))

# The end-to-end suites, in the order in which "make e2e" runs them.
E2E := $(addprefix e2e-,disk provider page images containerd docker systemd kubelet install chart cluster)

# No test may reach the metadata service of the machine that it runs on.
test e2e $(E2E) fuzz update-golden mutants cover: export AWS_EC2_METADATA_SERVICE_ENDPOINT := http://127.0.0.1:1

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## /{printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Build

.PHONY: run
run: build ## The main job from end to end on this machine, in seconds
	go run ./test/demo -berth $(BIN)/berth

.PHONY: build
build: ## Build the commands into bin/
	go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

.PHONY: package
package: export VERSION := $(VERSION)
package: ## deb and rpm into dist/, for ARCH="amd64 arm64" and FORMAT="deb rpm"
	test/release/package.sh $(if $(ARCH),-a "$(ARCH)") $(if $(FORMAT),-f "$(FORMAT)")

.PHONY: release
release: export VERSION := $(VERSION)
release: export SIGNING_KEY := $(SIGNING_KEY)
release: ## All that is published, into dist/: built twice and compared, signed with SIGNING_KEY=FILE; docs/verify.md
	test/release/release.sh

.PHONY: image
image: ## The container image that the chart names, or IMAGE=…, with docker, podman or buildah
	$(or $(CONTAINER_TOOL),$(error docker, podman or buildah is needed)) build --build-arg BUILDER=$(BUILDER) --build-arg VERSION=$(VERSION) -t $(IMAGE) .

.PHONY: generate
generate: ## Render manifests/berth.yaml and the chart's copies again
	test/chart/render.sh
	go test ./config -run TestChartSchema -update

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(BIN) dist

##@ Checks without root

.PHONY: lint
lint: ## gofmt, go vet, golangci-lint, shellcheck, import directions
	test/lint.sh

# By default a program with the race detector sleeps for a second when it exits.
# test/platforms reads pages outside its module, which the cache of go test does not notice.
.PHONY: test
test: export GORACE := atexit_sleep_ms=0
test: ## Unit tests: no root, no daemon, nothing beyond loopback
	CGO_ENABLED=1 go test -race -shuffle=on -timeout=20m $(GOTESTFLAGS) ./...
	cd test/platforms && go test -count=1 -timeout=20m $(GOTESTFLAGS) ./...

.PHONY: cover
cover: ## How many statements the unit tests run; docs/mutants.md has the record
	test/cover.sh

.PHONY: mutants
mutants: ## Break the code in one place at a time: the tests notice it as recorded; or PACKAGES=hostsconf,…
	go run ./test/mutants $(if $(PACKAGES),-packages $(PACKAGES))

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (60s)
	test/fuzz.sh $(FUZZTIME)

.PHONY: differential
differential: ## The present tree beside commit OLD (562c094), TRIALS (1000); docs/differential.md
	OLD=$(OLD) BIN=$(BIN) test/differential/differential.sh -trials $(TRIALS) -seed $(SEED)

.PHONY: update-golden
update-golden: ## Write the golden files of the tests again
	go test ./hostsconf ./config ./config/convert ./node/... ./agent/status ./cmd/berth ./cmd/berth/images -update

.PHONY: count
count: ## Lines of Go that hold code, without tests; docs/mutants.md has the record
	go run ./test/count

##@ End-to-end suites, as root; test/README.md says what each needs

.PHONY: e2e
e2e: build ## All of them, one after the other
	test/e2e.sh

.PHONY: $(E2E)
$(E2E): e2e-%: build
	test/e2e.sh $*
e2e-disk: ## Full disks, read-only directories, mounts, kills in the middle of a write
e2e-provider: ## 400 processes of the credential provider at once
e2e-page: ## The agent's page in Chromium
e2e-images: ## berth images with real registries
e2e-containerd: ## Pulls through containerd 1.6, 1.7 and 2.4
e2e-docker: ## Pulls, pushes and builds through Docker Engine
e2e-systemd: ## The packages on a Debian that boots with systemd
e2e-kubelet: ## Pods and credentials with kubelet 1.36 and kubelet's code of four versions
e2e-install: ## berth install and uninstall, killed at each step
e2e-chart: ## What the chart renders; alerts and dashboard
e2e-cluster: ## The chart on a cluster: install, pulls, upgrade, uninstall

##@ Long trials and benchmarks

.PHONY: soak
soak: build ## Long trials; results are recorded in docs/benchmarks.md
	go run ./test/crash -trials $(SOAK_TRIALS) -seed $(SEED)
	go test -tags e2e -count=1 -v ./cmd/berth-credential-provider -run '^TestStampede' -args -processes 1000
	go run ./test/tokensoak -seeds $(SOAK_YEARS) -years 1 -seed $(SEED)
	go run ./test/benchagent -berth $(BIN)/berth -seed $(SEED)
	go run ./test/images/bench -berth $(BIN)/berth -seed $(SEED)
	go run ./test/install -seed $(SEED) -containerd "$$(test/e2e/parts.sh 2>&1 | sed -n 's/^containerd .*: //p' | paste -sd,)" \
		-kubelet "$$(test/kubelet/parts.sh kubelet | awk '{print $$3}')"
	cd test/e2e && BERTH_SOAK=1 BERTH_BIN=$(CURDIR)/$(BIN)/berth go test -count=1 -timeout 90m -v -run '^TestAgent' .

.PHONY: matrix
matrix: ## As root: what docs/compatibility.md states, cell by cell; RUN=containerd-2.1.9/ for some, AGAIN=1, JOBS=2
	go run ./test/matrix -jobs $(JOBS) $(if $(RUN),-run '$(RUN)') $(if $(AGAIN),-again)

.PHONY: compatibility
compatibility: ## The results in docs/compatibility.md, from test/matrix/record.jsonl
	go run ./test/matrix -write

.PHONY: bench
bench: ## Cost of plan and apply; figures are recorded in docs/benchmarks.md
	go test ./node/reconcile -run '^$$' -bench FromNothing -benchtime 1x -count 5 -timeout 30m
	go test ./node/reconcile -run '^$$' -bench 'NothingToDo|OneChange' -benchtime 10x -count 5 -timeout 30m

.PHONY: bench-pull
bench-pull: build ## As root: pulls with Berth's hosts.toml beside a hand-written one, for ROUNDS (9); fails if the requests differ
	test/e2e/parts.sh
	cd test/e2e && BERTH_RELEASES=1.7.28,2.4.2 BERTH_PULL_ROUNDS=$(ROUNDS) BERTH_BIN=$(CURDIR)/$(BIN)/berth go test -count=1 -timeout 120m -parallel 1 -v -run '^TestPullTimes$$' .

.PHONY: bench-provider
bench-provider: ## The provider beside its floor and its peers; fails past a limit
	go run ./test/benchprovider

.PHONY: bench-agent
bench-agent: build ## The agent: repairs, saves, idle cost, growth, stops; fails past a limit
	go run ./test/benchagent -berth $(BIN)/berth
