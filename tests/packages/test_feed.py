"""The indices of a feed, and who signed them."""

import hashlib
import subprocess
import tempfile
import unittest
from pathlib import Path

import sample

import adb
import apk
import contents
import feed
import ipk


class Opkg(unittest.TestCase):
    def setUp(self):
        self.packed = {ipk.file_name(p): ipk.pack(p) for p in (sample.package(), sample.package("x86_64"))}
        self.index = feed.opkg_index(self.packed)

    def test_every_package_is_a_paragraph_with_its_file_size_and_hash(self):
        paragraphs = [ipk.parse_control(text) for text in self.index.decode().rstrip("\n").split("\n\n")]
        self.assertEqual([p["Filename"] for p in paragraphs], sorted(self.packed))
        for paragraph in paragraphs:
            data = self.packed[paragraph["Filename"]]
            self.assertEqual(paragraph["Size"], str(len(data)))
            self.assertEqual(paragraph["SHA256sum"], contents.sha256(data))
            self.assertEqual(paragraph["Depends"], "kmod-nf-conntrack-netlink, kmod-nft-fib, kmod-tun, nftables-json")
            self.assertNotIn("Maintainer", paragraph)
            self.assertNotIn("SourceDateEpoch", paragraph)
            self.assertEqual(list(paragraph)[-1], "Description")

    def test_no_length_is_left_that_usign_hashes_wrongly(self):
        for length in range(300):
            padded = feed.pad(b"x" * length)
            self.assertNotIn((64 + len(padded)) % 128, (110, 111))
            self.assertIn(len(padded) - length, (0, 2))

    def test_signify_verifies_the_signature_and_only_of_this_index(self):
        with tempfile.TemporaryDirectory() as folder:

            def signify(*arguments):
                return subprocess.run(["signify-openbsd", *arguments], cwd=folder, capture_output=True)

            self.assertEqual(signify("-G", "-n", "-p", "key.pub", "-s", "key.sec").returncode, 0)
            index = Path(folder, "Packages")
            index.write_bytes(self.index)
            feed.sign_opkg(index, Path(folder, "key.sec"))
            self.assertEqual(signify("-V", "-p", "key.pub", "-m", "Packages").returncode, 0)
            index.write_bytes(self.index + b"\n")
            self.assertNotEqual(signify("-V", "-p", "key.pub", "-m", "Packages").returncode, 0)


class Apk(unittest.TestCase):
    def setUp(self):
        package = sample.package()
        self.packed = {apk.file_name(package): apk.pack(package)}
        self.database = feed.apk_index(self.packed)

    def test_every_package_is_an_entry_with_its_size_and_the_hash_of_its_database(self):
        description, entries = adb.value(self.database)
        self.assertEqual(description, b"vpmesh")
        ((data,), (entry,)) = (self.packed.values(), entries)
        self.assertEqual(entry[apk.PI_NAME - 1], b"vpmesh")
        self.assertEqual(entry[apk.PI_FILE_SIZE - 1], len(data))
        self.assertEqual(entry[apk.PI_HASHES - 1].hex(), contents.sha256(adb.read(data)[1][0][1]))
        self.assertEqual(entry[apk.PI_DEPENDS - 1], [[name.encode()] for name in contents.DEPENDS])

    def test_a_package_that_stands_for_another_says_so_in_both_indices(self):
        mini = sample.package(name="vpmesh-mini", provides=["vpmesh"])
        _, ((*entry,),) = adb.value(feed.apk_index({apk.file_name(mini): apk.pack(mini)}))
        self.assertEqual(entry[apk.PI_PROVIDES - 1], [[b"vpmesh", b"1.2.3-r1"]])
        fields = ipk.parse_control(feed.opkg_index({ipk.file_name(mini): ipk.pack(mini)}).decode())
        self.assertEqual(fields["Package"], "vpmesh-mini")
        self.assertEqual((fields["Provides"], fields["Conflicts"]), ("vpmesh", "vpmesh"))

    def test_openssl_verifies_the_signature(self):
        with tempfile.TemporaryDirectory() as folder:

            def openssl(*arguments):
                subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=True)

            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem")
            openssl("pkey", "-in", "key.pem", "-pubout", "-out", "key.pub")
            file = feed.apk_index_file(self.database, Path(folder, "key.pem"))
            schema, blocks = adb.read(file)
            self.assertEqual(schema, adb.INDEX)
            (_, database), (kind, signature) = blocks
            self.assertEqual((kind, database), (adb.SIGNATURE_BLOCK, self.database))
            digest = hashlib.sha512(database).digest()
            Path(folder, "signed").write_bytes(adb.INDEX.to_bytes(4, "little") + signature[:18] + digest)
            Path(folder, "signature").write_bytes(signature[18:])
            openssl("dgst", "-sha512", "-verify", "key.pub", "-signature", "signature", "signed")


if __name__ == "__main__":
    unittest.main()
