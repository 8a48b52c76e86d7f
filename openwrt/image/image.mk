# Images with vpmesh in them, by OpenWrt's ImageBuilder; openwrt/VM.md says how to run them.
#
#   make image BUILDER=FOLDER KIND=vm                     a VM's disk (x86-64)
#   make image BUILDER=FOLDER KIND=lxc                    a container's root
#   make image BUILDER=FOLDER KIND=router PROFILE=NAME    what `make info` there lists
#
# And: JOIN='vpmesh:…' (of `vpmesh invite`), CONFIG=FILE (/etc/config/vpmesh), WITH='luci-app-vpmesh …', FILES=FOLDER,
# PACKAGE=FILE, MINI=1, SIZE=MB, OUT=FOLDER.

KIND ?= vm

.PHONY: image

image:
	@python3 openwrt/image --builder '$(BUILDER)' --kind '$(KIND)' --profile '$(PROFILE)' --package '$(PACKAGE)' \
	    --config '$(CONFIG)' --join '$(JOIN)' --with '$(WITH)' --files '$(FILES)' --size '$(SIZE)' --out '$(OUT)' \
	    $(if $(MINI),--mini)
