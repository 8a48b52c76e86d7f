# Instructions of the packet path, counted: the same on every run, so that a change shows what it costs.
#
#   make counts                                against counts.toml; 3 % more fails
#   make counts COUNTS="--functions new-64"    what a workload is made of
#   make counts-update                         writes counts.toml
#   make counts-mipsel                         the same packets on a router's CPU, ten minutes the first time
#   make criterion                             times of its parts; CRITERION="flows" those whose names have that in them

COUNTS_PROGRAM := target/counts/examples/packet_path
COUNTS_RUN := python3 benches/packet_path/counts.py $(COUNTS_PROGRAM)

.PHONY: counts counts-update counts-program counts-mipsel criterion

counts: counts-program
	$(COUNTS_RUN) $(COUNTS)

counts-update: counts-program
	$(COUNTS_RUN) --update

counts-program: deps
	cargo build --profile counts --no-default-features --example packet_path

counts-mipsel: deps
	openwrt/cross/setup
	openwrt/cross/cargo mipsel build --profile counts --no-default-features --example packet_path
	cc -O2 -Wall -shared -fPIC -o .work/cross/symbols.so benches/packet_path/symbols.c
	python3 benches/packet_path/router.py "qemu-mipsel -cpu 24Kc" .work/cross/symbols.so \
	    .work/cross/target/mipsel-unknown-linux-musl/counts/examples/packet_path

criterion: deps
	cargo bench --bench criterion -- $(CRITERION)
