# Packages for OpenWrt from what `make cross` made; the same bytes from the same commit.
#
#   make ipk TARGET=mips_24kc            .work/packages/vpmesh_VERSION-r1_mips_24kc.ipk, for opkg (24.10)
#   make apk TARGET=mips_24kc            .work/packages/vpmesh-VERSION-r1_mips_24kc.apk, for apk (25.12)
#   make feed TARGET=mips_24kc KEY=build.sec APK_KEY=build.pem
#                                        .work/packages/feed/mips_24kc: both, and their signed indices
#   make size                            everything that was built, against what a 16 MB flash has room for
#   make test-packages                   of the formats, with a program that does nothing; seconds

PACK := python3 openwrt/pack

.PHONY: ipk apk feed size test-packages

ipk apk: cross
	$(PACK) $@ $(TARGET) $(if $(MINI),--mini)

feed: cross
	$(PACK) feed $(TARGET) $(if $(MINI),--mini) $(if $(KEY),--key $(KEY)) $(if $(APK_KEY),--apk-key $(APK_KEY))

size:
	$(PACK) size $(TARGETS)

test-packages:
	.ci/deps pack
	python3 -B -m unittest discover --start-directory tests/packages
