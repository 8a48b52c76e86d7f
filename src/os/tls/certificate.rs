//! A certificate that signs itself, by hand: X.509 is large, and what a client doesn't look at needs little of it.
//!
//! Ed25519 (RFC 8410), no extensions, and so version 1 (RFC 5280, section 4.1). Valid at any time, for a router may
//! not know what time it is.

use std::sync::Arc;

use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, SignatureScheme};

/// A private key in PKCS #8, up to its 32 bytes (RFC 8410, section 7).
const PKCS8: &[u8] = &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// "Ed25519", as an algorithm.
const ED25519: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const UTF8: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// The certificate of a key made of `seed`, with that key.
pub(super) fn self_signed(seed: &[u8; 32]) -> Result<CertifiedKey, Error> {
    let pkcs8 = [PKCS8, seed].concat();
    let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8))?;
    let spki = key.public_key().ok_or(Error::General("the key has no public half".to_owned()))?;
    let name =
        der(SEQUENCE, &[&der(SET, &[&der(SEQUENCE, &[&[6, 3, 0x55, 4, 3], &der(UTF8, &[b"localhost"])])])]);
    let validity =
        der(SEQUENCE, &[&der(UTC_TIME, &[b"700101000000Z"]), &der(GENERALIZED_TIME, &[b"99991231235959Z"])]);
    let serial = der(INTEGER, &[&[1]]);
    let signed = der(SEQUENCE, &[&serial, ED25519, &name, &validity, &name, spki.as_ref()]);
    let signature = sign(&*key, &signed)?;
    let certificate = der(SEQUENCE, &[&signed, ED25519, &der(BIT_STRING, &[&[0], &signature])]);
    Ok(CertifiedKey::new(vec![CertificateDer::from(certificate)], Arc::clone(&key)))
}

fn sign(key: &dyn SigningKey, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let signer = key.choose_scheme(&[SignatureScheme::ED25519]);
    signer.ok_or(Error::General("the key signs nothing".to_owned()))?.sign(bytes)
}

/// A tag, a length and what the parts are (X.690, section 8.1). All of it is short.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let inside = parts.concat();
    let mut bytes = vec![tag];
    match u8::try_from(inside.len()) {
        Ok(length @ ..128) => bytes.push(length),
        Ok(length) => bytes.extend([0x81, length]),
        Err(_) => {
            bytes.push(0x82);
            bytes.extend((inside.len() as u16).to_be_bytes());
        }
    }
    bytes.extend(inside);
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn openssl_reads_it_and_finds_it_signed_by_itself() {
        let certificate = self_signed(&[7; 32]).unwrap().cert[0].to_vec();
        let folder = tempfile::tempdir().unwrap();
        let pem = folder.path().join("pem");
        let mut openssl = Command::new("openssl")
            .args(["x509", "-inform", "DER", "-out"])
            .arg(&pem)
            .stdin(Stdio::piped())
            .spawn()
            .expect("openssl is installed");
        openssl.stdin.take().unwrap().write_all(&certificate).unwrap();
        assert!(openssl.wait().unwrap().success());
        let verify =
            Command::new("openssl").args(["verify", "-check_ss_sig", "-CAfile"]).args([&pem, &pem]).output();
        let verify = verify.unwrap();
        assert!(verify.status.success(), "{verify:?}");
    }
}
