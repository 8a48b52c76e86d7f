# LuCI's pages and the rpcd plugin, in Chromium, half a minute. Packages in .ci/packages and .ci/packages.luci.
#
#   make test-luci                       on a stand-in of LuCI's runtime; pictures in .work/luci/
#   make test-luci LUCI=FOLDER           on the real one: a checkout of LuCI

LUCI_APP := openwrt/luci-app-vpmesh

.PHONY: test-luci luci-pot

test-luci:
	.ci/deps luci
	cargo build
	cd tests/luci && LUCI="$(abspath $(LUCI))" python3 -B -m unittest

# The texts to translate, of all pages. `xgettext` comes with the package gettext.
luci-pot:
	cd $(LUCI_APP) && find htdocs -name '*.js' | LC_ALL=C sort | xgettext --files-from=- --language=JavaScript \
	    --from-code=UTF-8 --keyword=_ --no-wrap --omit-header --output=- | \
	    { printf 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8"\n\n'; cat; } >po/templates/vpmesh.pot
