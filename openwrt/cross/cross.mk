# Programs for routers, made and run here; Debian 12, x86_64. Targets are in openwrt/cross/targets.
#
#   make cross TARGET=mips_24kc          .work/cross/mips_24kc/vpmesh, static; ten minutes the first time
#   make cross TARGET=mips_24kc MINI=1   .work/cross/mips_24kc/mini/vpmesh: for a flash of 16 MB or less
#   make cross TARGET=mips_24kc TLS=1    .work/cross/mips_24kc/tls/vpmesh: with port 443, half a megabyte more in a package
#   make cross-all                       every target
#   make test-cross TARGET=mips_24kc     both, under qemu-user: the demo with two gateways; LIB=1: and the crate's tests
#   make test-cross-all                  every target

TARGETS := $(shell grep -v '^\#' openwrt/cross/targets | cut -d' ' -f1)
TARGET ?= x86_64
CROSS_FOLDER := .work/cross
# By MINI=1 or TLS=1: the folder below the target's, and the option of openwrt/pack.
VARIANT := $(if $(MINI),mini,$(if $(TLS),tls))
CROSS_FEATURES := os $(if $(MINI),compact,desk portmap inline $(if $(TLS),tls))

.PHONY: cross cross-all cross-deps test-cross test-cross-all

cross: cross-deps
	$(if $(MINI),CROSS_MINI=1) openwrt/cross/cargo $(TARGET) build --bin vpmesh -Zunstable-options \
	    --profile $(if $(MINI),mini,cross) --no-default-features --features '$(CROSS_FEATURES)' \
	    --artifact-dir $(CROSS_FOLDER)/$(TARGET)/$(VARIANT)

cross-all:
	set -e; for target in $(TARGETS); do for mini in '' 1; do \
	    $(MAKE) --no-print-directory cross TARGET=$$target MINI=$$mini; done; done

cross-deps:
	openwrt/cross/setup

test-cross:
	$(MAKE) --no-print-directory cross
	$(MAKE) --no-print-directory cross MINI=1
	openwrt/cross/test $(TARGET) $(if $(LIB),lib)

test-cross-all:
	set -e; for target in $(TARGETS); do $(MAKE) --no-print-directory test-cross TARGET=$$target; done
