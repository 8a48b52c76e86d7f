"""Deflate as small as it gets in a second: libdeflate's best makes a package 3.5 % smaller than zlib's, and its bytes
are the same on every machine that has the same libdeflate."""

import subprocess
import sys

HEAD, TAIL = 10, 8  # bytes of gzip (RFC 1952) around what is deflated: no name and no time in the one


def gzip(data):
    try:
        return subprocess.run(["libdeflate-gzip", "-12", "-c"], input=data, check=True, stdout=subprocess.PIPE).stdout
    except FileNotFoundError:
        sys.exit("libdeflate-gzip is not there; apt-get install libdeflate-tools, or .ci/deps pack")


def raw(data):
    return gzip(data)[HEAD:-TAIL]
