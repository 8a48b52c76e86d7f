# The bench: vpmesh and its peers as a relaying node, in namespaces; see benches/README.md. Root or sudo; packages in
# .ci/packages and .ci/packages.bench.
#
#   make bench                           three rounds of everything, about half an hour
#   make bench-quick                     one short round, two minutes without the build
#   make bench BENCH="--only vpmesh,boringtun-cli --parts load"
#
# Figures go to .work/bench/DATE.md, DATE.svg and DATE.json.

BENCH_FOLDER := .work/bench
BENCH_BORINGTUN := $(BENCH_FOLDER)/boringtun-cli-0.7.1
BENCH_GOTATUN := $(BENCH_FOLDER)/gotatun-cli-0.10.2
BENCH_PATH := $(CURDIR)/$(BENCH_BORINGTUN)/bin:$(CURDIR)/$(BENCH_GOTATUN)/bin
BENCH_RUN := $(SUDO) env PATH="$(BENCH_PATH):$$PATH" python3 benches/relay

.PHONY: bench bench-quick bench-smoke bench-programs bench-deps

bench: bench-programs
	$(BENCH_RUN) $(BENCH)

bench-quick: bench-programs
	$(BENCH_RUN) --rounds 1 --seconds 1 --parts stations,load --crowd 0 $(BENCH)

# That the harness works, with one peer that Debian has: for CI.
bench-smoke: deps
	cargo build --release --bin vpmesh --example relay_load
	$(BENCH_RUN) --rounds 1 --seconds 1 --parts load --crowd 0 --only vpmesh,wireguard-go

bench-deps:
	.ci/deps bench

bench-programs: bench-deps $(BENCH_BORINGTUN) $(BENCH_GOTATUN)
	cargo build --release --bin vpmesh --example relay_load --example judge --example gateways

# A peer that does not build is left out of the table, which says so.
$(BENCH_BORINGTUN) $(BENCH_GOTATUN): $(BENCH_FOLDER)/%: | $(BENCH_FOLDER)
	@echo "building $* ..."
	@cargo install --locked --root $@ --target-dir $(BENCH_FOLDER)/build \
	    $(shell echo $* | sed 's/-\([0-9.]*\)$$/@\1/') >$@.log 2>&1 || echo "$* did not build; see $@.log"

$(BENCH_FOLDER):
	mkdir -p $@
