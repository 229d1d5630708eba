# All work on drivemill goes through these targets. Tools are installed into
# .tools, pinned; nothing else on the machine is touched.
SHELL      := /bin/bash
GO         ?= go
TOOLS      := $(CURDIR)/.tools
LAKE       ?= lake
export CGO_ENABLED := 0

GOLANGCI_VERSION  := v2.15.0
BENCHSTAT_VERSION := v0.0.0-20260908200009-22c9c6c9d4da
VERSITYGW_VERSION := v1.8.0
GOVULNCHECK_VERSION := v1.1.4

.PHONY: build demo test race soak soak-long lint fuzz bench bench-check bench-ratios bench-peers conformance generate image deploy-check airflow-test audit ci tools clean

build: ## build the static binary
	$(GO) build -trimpath -o drivemill ./cmd/drivemill

demo: build ## run the example pipelines over the sample recordings
	@for p in drives drivestats; do \
	  echo "== drivemill run testdata/pipelines/$$p.yaml"; \
	  ./drivemill run --progress plain --set outputs.lake.uri=$(LAKE) testdata/pipelines/$$p.yaml || exit $$?; \
	done
	@echo
	@echo "The lake:"
	@find $(LAKE) -name '*.parquet' | sort | sed 's/^/  /'
	@f=$$(find $(LAKE)/odom_kmh -name '*.parquet' | sort | head -1); echo; \
	echo "How to look at it:"; \
	echo "  ./drivemill cat $$f --limit 3"; \
	echo "  ./drivemill inspect $$f --columns"; \
	echo "  ./drivemill lineage trace $$f"; \
	echo "  duckdb -c \"SELECT vehicle_id, count(*), max(speed_kmh) FROM '$(LAKE)/odom_kmh/*/*.parquet' GROUP BY 1\""; \
	echo; ./drivemill cat $$f --limit 3

test: ## all tests; needs Go only
	$(GO) vet ./... ./testdata/generate
	$(GO) test ./... ./testdata/generate

race: ## the tests of everything concurrent, under the race detector
	CGO_ENABLED=1 $(GO) test -race -short ./pipeline/... ./formats/... ./stages/...

soak: ## memory of large recordings, selections from them; writes 2 GiB files below TMPDIR
	$(GO) test -tags soak -run "TestPeakMemory|TestSelectionOverS3|TestQuarterOverS3" -timeout 30m -count 1 -v ./cmd/drivemill

soak-long: ## a hundred kills, faults by many seeds, ten gigabytes, a million hostile files (MUTATIONS sets how many); takes hours
	$(GO) test -tags soak -run "TestRetryableFaults|TestRandomKills" -timeout 120m -count 1 -v ./cmd/drivemill
	$(GO) test -tags soak -run TestS3ReadSpeed -count 1 -v ./pipeline/store
	$(GO) test -tags soak -run "TestPeakOfTenGigabytes" -count 1 -timeout 60m -v ./bench
	$(GO) test -tags soak -run "TestSoakMemory|TestSoakMutations" -count 1 -timeout 180m -v ./formats/mdf4

$(TOOLS)/golangci-lint:
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(TOOLS)/benchstat:
	GOBIN=$(TOOLS) $(GO) install golang.org/x/perf/cmd/benchstat@$(BENCHSTAT_VERSION)

$(TOOLS)/versitygw:
	GOBIN=$(TOOLS) $(GO) install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)

$(TOOLS)/govulncheck:
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

tools: $(TOOLS)/golangci-lint $(TOOLS)/benchstat $(TOOLS)/versitygw

lint: $(TOOLS)/golangci-lint ## formatting and linters
	@test -z "$$(gofmt -l cmd pipeline formats stages bench testdata deploy)" || { gofmt -l cmd pipeline formats stages bench testdata deploy; exit 1; }
	$(TOOLS)/golangci-lint run ./...

FUZZTIME ?= 5s
fuzz: ## every fuzz target for FUZZTIME
	@$(GO) list -f '{{.ImportPath}} {{.Dir}}' ./... | while read -r pkg dir; do \
	  for f in $$(cat $$dir/*_test.go 2>/dev/null | grep -o '^func Fuzz[A-Za-z0-9_]*' | sed 's/func //' | sort -u); do \
	    echo "== $$pkg $$f"; \
	    $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg </dev/null || exit 1; \
	  done; \
	done

bench: ## all benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-check: $(TOOLS)/benchstat ## exact allocations, and time against the merge base
	./bench/check.sh $(TOOLS)/benchstat

generate: ## write the sample data anew; leaves the tree clean
	$(GO) run ./testdata/generate

bench-ratios: ## CPU of decoding over decompressing, and of a run over its parts
	$(GO) test -run '^$$' -bench '^BenchmarkRatios$$' -benchtime 1x ./bench

bench-peers: ## side by side with other tools (Python, Rust)
	@for s in bench/peers*.sh; do echo "== $$s"; $$s || exit $$?; done

conformance: ## compare with independent implementations (Python, DuckDB)
	./bench/conformance.sh

image: ## build the image for amd64 and arm64; without docker, all of it but the packing
	./deploy/image/build.sh

deploy-check: ## lint the stack and the image's recipe
	./deploy/check.sh

airflow-test: ## both DAGs in a real Airflow: a run on this machine, and one against a stand-in for Batch
	./deploy/airflow/test.sh

audit: $(TOOLS)/govulncheck ## licences of what the binary holds, and known vulnerabilities in what it calls
	$(GO) run ./deploy/audit -govulncheck $(TOOLS)/govulncheck

ci: lint test race soak fuzz demo audit ## what CI runs
	$(GO) run ./testdata/generate && git diff --exit-code -- testdata
	$(MAKE) demo
	$(MAKE) bench-check

clean:
	rm -rf drivemill $(LAKE)
