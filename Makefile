# Every target with a ## is listed by `make help`.
GO ?= go
T ?= 30s
SCENARIOS ?= $(wildcard test/accuracy/*.json)
SEEDS ?= 601-620
ONLY ?=
BIN := bin
COMMANDS := ntp-daemon nts-pool-ke ntp-ctl ntp-metrics-exporter
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.1.4
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.11.4

.DEFAULT_GOAL := help
.PHONY: help build install demo test race fmt vet lint fuzz interop vm vm-long vm-duel bench bench-pool contention soak-server soak-pool accuracy determinism bench-go keys vuln sbom reproducible clean ci

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## build the commands into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/ $(COMMANDS:%=./cmd/%)

PREFIX ?= /usr/local
install: build ## install the commands and their manual pages below PREFIX (default /usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 755 $(COMMANDS:%=$(BIN)/%) $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(COMMANDS:%=docs/man/%.8) $(DESTDIR)$(PREFIX)/share/man/man8/

demo: build ## watch a client find two servers through a pool and synchronise
	$(GO) run ./test/demo

test: ## run all tests that need only Go (and OpenSSL)
	$(GO) test ./...

race: ## run the tests under the race detector
	CGO_ENABLED=1 $(GO) test -race ./...

fmt: ## format all Go files
	gofmt -w $$(git ls-files '*.go')

.PHONY: scenarios-doctor
scenarios-doctor: build ## break synchronisation in twenty ways and let ntp-ctl doctor find the cause (installs Debian packages, needs root)
	$(GO) run ./test/doctor

.PHONY: cross
cross: ## build ntp-ctl for other systems: query and nts-check run on all of them
	for os in windows darwin freebsd openbsd netbsd; do GOOS=$$os CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/ntp-ctl || exit 1; done

vet: ## check formatting and vet
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...

lint: ## run golangci-lint
	$(GO) run $(GOLANGCI) run

fuzz: ## run every fuzz target for T (default 30s)
	$(GO) run ./internal/fuzzall -t $(T)

interop: build ## run against chrony, NTPsec and ntpd-rs (installs Debian packages, needs root)
	$(GO) run ./test/interop

vm: build ## steer a real kernel clock in a virtual machine (installs Debian packages)
	$(GO) run ./test/vm

vm-long: build ## the same with the five-minute run of the pool example
	$(GO) run ./test/vm -long

vm-duel: build ## let ours and chrony steer five virtual machines each, in turns, and compare
	$(GO) run ./test/vm -duel 5

bench: build ## measure the server beside chrony and the floor (installs Debian packages, needs root), write docs/benchmarks.md
	$(GO) run ./test/load -write docs/benchmarks.md

bench-pool: build ## what the pool costs beside a server that is asked directly
	$(GO) run ./test/benchpool -bin $(BIN)

accuracy: ## simulate SCENARIOS (files) with SEEDS; table and pictures in docs/accuracy
	$(GO) run ./test/accuracy -out docs/accuracy -seeds $(SEEDS) -only '$(ONLY)' $(SCENARIOS)

contention: ## show what two workers of the NTP server wait for (mutex and block profiles)
	@d=$$(mktemp -d) && $(GO) test -run '^$$' -bench Workers -benchtime 3s -o $$d/test -mutexprofile $$d/mutex -blockprofile $$d/block ./daemon/serve && \
	for p in mutex block; do echo "-- $$p"; $(GO) tool pprof -top -nodecount=20 $$d/test $$d/$$p 2>/dev/null; done; rm -rf $$d

.PHONY: replay
replay: ## replay FILE, a recording of ntp-daemon --record, and say whether today's engine does the same
	$(GO) run ./test/accuracy -replay '$(FILE)'

soak-server: build ## load the server for ten minutes while keys rotate and the configuration is read anew
	$(GO) run ./test/load -soak 10m

.PHONY: prometheus
prometheus: build ## test alerts, dashboard and metrics with a real Prometheus (installs a Debian package)
	$(GO) run ./test/prometheus

bench-compare: ## compare the hot functions with those of BASE (default: origin/main, or the last commit but one)
	BASE='$(BASE)' .ci/bench

soak-pool: build ## run the pool for 20 minutes among sources that die, lie and stall
	$(GO) run ./test/soakpool -bin $(BIN)

determinism: ## the same simulated runs, byte for byte, for 386 and later amd64
	GOARCH=386 $(GO) test -count=1 -run 'TestRunsAreTheSameEverywhere' ./internal/sim
	GOARCH=amd64 GOAMD64=v3 $(GO) test -count=1 -run 'TestRunsAreTheSameEverywhere' ./internal/sim
	GOARCH=386 $(GO) test -count=1 ./proto/exact

bench-go: ## benchmark the hot functions
	$(GO) test -run '^$$' -bench . -benchmem ./proto/... ./nts/... ./clock/...

keys: ## make the public-on-purpose keys in test-keys/ anew
	cd test-keys && ./gen-cert.sh end

vuln: ## look for known vulnerabilities; VULNDB names a copy of the database (https:// or file://)
	@out=$$($(GO) run $(GOVULNCHECK) $(if $(VULNDB),-db $(VULNDB)) ./... 2>&1); rc=$$?; printf '%s\n' "$$out"; \
	case "$$out" in *"fetching vulnerabilities"*) \
		echo "vuln: nothing was checked: the database of vulnerabilities is out of reach; name a copy with VULNDB=" ;; esac; \
	exit $$rc

sbom: build ## write what the commands are made of to bin/sbom.cdx.json (CycloneDX)
	$(GO) run ./internal/sbom $(COMMANDS:%=$(BIN)/%) > $(BIN)/sbom.cdx.json

reproducible: ## build the commit twice in different places and compare (it must be committed)
	$(GO) run ./test/reproducible $(COMMANDS)

clean: ## remove what was built
	rm -rf $(BIN)

.PHONY: attack attack-p0 flood faults mutate mutate-attacks soak
attack: build ## attack the real daemons as others were attacked, write docs/security/attacks.md (needs root)
	$(GO) run ./test/attack -j 6 -write docs/security/attacks.md

attack-p0: build ## the attacks that run for every change
	$(GO) run ./test/attack -p0 -j 6

flood: build ## flood a server with five times what it can answer, among honest clients (needs root and control groups)
	$(GO) run ./test/attack -run FLOOD

faults: build ## let networks, servers, disks and names fail around the real daemons (needs root)
	$(GO) run ./test/faults

DURATION ?= 1h
soak: build ## run client and server among random faults for DURATION (default 1h): nothing may grow (needs root)
	$(GO) run ./test/soak -duration $(DURATION)

mutate: ## remove each guard in turn: two tests must notice
	$(GO) run ./test/mutate

mutate-attacks: ## the same, and attack the daemons without the guard: the attack must succeed (needs root, takes longer)
	$(GO) run ./test/mutate -attacks

ci: ## run what continuous integration runs
	./.ci/run
