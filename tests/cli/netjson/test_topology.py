"""What `vpmesh topology` prints, read by netdiff, which is what OpenWISP and others read NetJSON with."""

import json
import pathlib
import unittest

from netdiff import NetJsonParser, diff

PRINTED = pathlib.Path(__file__).parent.parent / "topology.printed"


def printed():
    lines = PRINTED.read_text().splitlines()
    return json.loads("\n".join(lines[1:lines.index("--- exit 0")]))


class Topology(unittest.TestCase):
    def test_it_is_a_graph_of_this_node_and_the_peers_that_are_up(self):
        parsed = NetJsonParser(printed())
        self.assertEqual(set(parsed.graph.nodes), {"alice/attic/gw", "alice/attic/laptop", "alice/attic/phone", "bob/cellar/gw"})
        self.assertEqual(list(parsed.graph.edges), [("alice/attic/gw", "alice/attic/laptop")])
        self.assertEqual((parsed.protocol, parsed.version), ("vpmesh", "0.1.0"))

    def test_a_link_that_went_is_a_difference(self):
        before, after = printed(), printed()
        after["links"] = []
        change = diff(NetJsonParser(before), NetJsonParser(after))
        self.assertIsNone(change["added"])
        removed = change["removed"]["links"]
        self.assertEqual([(link["source"], link["target"]) for link in removed], [("alice/attic/gw", "alice/attic/laptop")])


if __name__ == "__main__":
    unittest.main()
