# What a person runs; each target does its own set-up on a Debian machine, as root or with sudo.

ROOT := $(filter 0,$(shell id -u))
# Namespaces need root, cargo doesn't: cargo builds, and runs what it built through sudo.
RUNNER := $(if $(ROOT),,--config "target.'cfg(unix)'.runner='sudo --preserve-env=PATH'")
SUDO := $(if $(ROOT),,sudo --preserve-env=PATH)

.PHONY: build deps test test-netns test-old-kernel demo

.DEFAULT_GOAL := build

include benches/bench.mk
include benches/packet_path/counts.mk
include fuzz/fuzz.mk
include openwrt/cross/cross.mk
include openwrt/pack/pack.mk
include openwrt/image/image.mk
include tests/cli/netjson/netjson.mk
include tests/luci/luci.mk
include tests/netns/vm/vm.mk
include tests/sim/sim.mk

build:
	cargo build --release

deps:
	.ci/deps

test: deps
	cargo test -- --skip cases::
	$(MAKE) --no-print-directory test-netjson
	$(MAKE) --no-print-directory test-luci
	$(MAKE) --no-print-directory test-netns

# The cases in network namespaces; CASE=revocation runs those whose names have that in them.
test-netns: deps
	cargo test --test netns $(RUNNER) $(CASE) -- --test-threads=2

# A build that finds no segmentation offload in the kernel, neither at the socket nor at the TUN device.
test-old-kernel: deps
	cargo test --features no-offload --test os $(RUNNER)
	cargo test --features no-offload --test netns $(RUNNER) -- --test-threads=2 two_stations lan_hosts tun_offload

demo: deps
	cargo build --release
	$(SUDO) tests/netns/demo.sh target/release/vpmesh
