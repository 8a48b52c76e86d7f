# `vpmesh topology` against a reader of NetJSON that is not ours: netdiff, from PyPI.

.PHONY: test-netjson

test-netjson: .work/netjson/bin/python3
	.work/netjson/bin/python3 -B -m unittest discover -s tests/cli/netjson

.work/netjson/bin/python3: tests/cli/netjson/netjson.mk
	python3 -m venv .work/netjson
	.work/netjson/bin/pip install --quiet --disable-pip-version-check netdiff==1.3.1
	touch $@
