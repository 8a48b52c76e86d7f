"""A program that is cut to what the kernel reads runs as before."""

import subprocess
import tempfile
import unittest
from pathlib import Path

import sample

import elf


class Elf(unittest.TestCase):
    def test_a_program_without_its_sections_still_runs(self):
        whole = Path("/bin/busybox").read_bytes() + b"what no segment has" * 1000
        cut = elf.loaded(whole)
        self.assertLess(len(cut), len(whole) - 19_000)
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "busybox"
            program.write_bytes(cut)
            program.chmod(0o755)
            said = subprocess.run([program, "echo", "runs"], check=True, capture_output=True, text=True, timeout=20)
        self.assertEqual(said.stdout, "runs\n")
        self.assertEqual(elf.loaded(cut), cut)

    def test_what_is_no_program_stays_as_it_is(self):
        self.assertEqual(elf.loaded(sample.PROGRAM), sample.PROGRAM)


if __name__ == "__main__":
    unittest.main()
