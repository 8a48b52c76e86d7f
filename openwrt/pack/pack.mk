# Packages for OpenWrt from what `make cross` made; the same bytes from the same commit.
#
#   make ipk TARGET=mips_24kc            .work/packages/vpmesh_VERSION-r1_mips_24kc.ipk, for opkg (24.10)
#   make apk TARGET=mips_24kc            .work/packages/vpmesh-VERSION-r1_mips_24kc.apk, for apk (25.12)
#   make feed TARGET=mips_24kc KEY=build.sec APK_KEY=build.pem
#                                        .work/packages/feed/mips_24kc: both, and their signed indices
#   make size                            everything that was built, against what a 16 MB flash has room for, and the
#                                        daemon's memory under load; fails above the budget. TARGETS=x86_64: only that
#   make memory                          the memory alone: of what was built for x86_64, or else of this machine's
#   make test-packages                   of the formats, with a program that does nothing; seconds

PACK := python3 openwrt/pack

.PHONY: ipk apk feed size memory pack-deps test-packages

ipk apk: cross pack-deps
	$(PACK) $@ $(TARGET) $(addprefix --,$(VARIANT))

feed: cross pack-deps
	$(PACK) feed $(TARGET) $(addprefix --,$(VARIANT)) $(if $(KEY),--key $(KEY)) $(if $(APK_KEY),--apk-key $(APK_KEY))

size: pack-deps
	$(PACK) size $(TARGETS)
	$(MAKE) --no-print-directory memory

# The program that is shipped runs on this CPU too.
MEMORY_OF = $(firstword $(wildcard $(CROSS_FOLDER)/x86_64/vpmesh) target/release/vpmesh)

memory: deps
	cargo build --release --bin vpmesh --example relay_load
	@echo "memory of $(MEMORY_OF)"
	$(BENCH_RUN) --rounds 1 --seconds 2 --parts memory --only vpmesh --vpmesh $(MEMORY_OF)

pack-deps:
	.ci/deps pack

test-packages: pack-deps
	python3 -B -m unittest discover --start-directory tests/packages
