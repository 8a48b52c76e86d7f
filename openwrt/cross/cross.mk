# Programs for routers, made and run here; Debian 12, x86_64. Targets are in openwrt/cross/targets.
#
#   make cross TARGET=mips_24kc          .work/cross/mips_24kc/vpmesh, static; ten minutes the first time
#   make cross TARGET=mips_24kc MINI=1   .work/cross/mips_24kc/mini/vpmesh: for a flash of 16 MB or less
#   make cross-all                       every target
#   make test-cross TARGET=mips_24kc     tests and the program itself under qemu-user

TARGETS := $(shell grep -v '^\#' openwrt/cross/targets | cut -d' ' -f1)
TARGET ?= x86_64
CROSS_FOLDER := .work/cross

.PHONY: cross cross-all cross-deps test-cross

cross: cross-deps
	$(if $(MINI),CROSS_MINI=1) openwrt/cross/cargo $(TARGET) build --bin vpmesh -Zunstable-options \
	    $(if $(MINI),--profile mini --no-default-features --features os,--profile cross) \
	    --artifact-dir $(CROSS_FOLDER)/$(TARGET)$(if $(MINI),/mini)

cross-all:
	set -e; for target in $(TARGETS); do $(MAKE) --no-print-directory cross TARGET=$$target; done

cross-deps:
	openwrt/cross/setup

test-cross: cross
	openwrt/cross/test $(TARGET)
