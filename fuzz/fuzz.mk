# Fuzzing with cargo-fuzz and a nightly compiler (rustup toolchain install nightly).
#
#   make fuzz                            every target for a minute
#   make fuzz SECONDS=600 FUZZ=engine    one of them for longer
#
# What is found new goes to .work/fuzz/TARGET; what breaks something to fuzz/artifacts/TARGET. An input worth keeping
# is copied into fuzz/corpus/TARGET under a name that says what it is: tests/corpus.rs replays that folder.

SECONDS ?= 60
FUZZ ?= packet roster files control engine mesh tun upnp stream
FUZZ_FOLDER := .work/fuzz
FUZZ_TOOL := $(FUZZ_FOLDER)/cargo-fuzz-0.13.2

.PHONY: fuzz

fuzz: $(FUZZ_TOOL)
	set -e; for target in $(FUZZ); do \
	    mkdir -p $(FUZZ_FOLDER)/$$target; \
	    PATH="$(CURDIR)/$(FUZZ_TOOL)/bin:$$PATH" cargo +nightly fuzz run $$target \
	        $(FUZZ_FOLDER)/$$target fuzz/corpus/$$target -- \
	        -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
	        -dict=fuzz/words.dict; \
	done

$(FUZZ_TOOL):
	cargo install --locked --root $@ --target-dir $(FUZZ_FOLDER)/build cargo-fuzz@0.13.2
