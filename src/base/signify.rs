//! Ed25519 keys and signatures in signify's file format, as `signify` and `usign` read and write them.
//!
//! A file is a comment line (`untrusted comment: …`) and a line of base64. The bytes are `Ed`, an eight-byte key
//! number, and the 32-byte public key or the 64-byte signature. A secret file carries signify's key-derivation
//! header and a checksum before the 64-byte key. Only the 32 bytes of the public key are an identity: comments and
//! key numbers are hints, and decide nothing.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};
use zeroize::{Zeroize as _, Zeroizing};

use super::prefix;

/// What a comment line begins with.
const COMMENT: &str = "untrusted comment: ";
/// The longest key or signature file that is looked at, in bytes; signify's own comments end at 1,024.
pub const FILE_MAX: usize = 4096;

/// Why something is not a key or a signature in signify's format, or does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignifyError {
    #[error("is not a file in signify's format: a line `untrusted comment: …`, then a line of base64")]
    NotSignify,
    #[error("is not base64")]
    NotBase64,
    #[error("is {0} bytes long, not {1}")]
    Length(usize, usize),
    #[error("is of another algorithm than Ed25519")]
    Algorithm,
    #[error("is a weak key, or none at all (not a point of the curve, or one of small order)")]
    Weak,
    #[error("is locked with a passphrase; make one without: `vpmesh owner new NAME` or `signify -G -n`")]
    Passphrase,
    #[error("is damaged: its checksum is wrong")]
    Checksum,
    #[error("is by the key with number {found}, not by {expected}")]
    OtherKey { expected: KeyNumber, found: KeyNumber },
    #[error("does not verify: the file or its signature was changed")]
    Verify,
}

/// signify's eight-byte name for a key: a hint at which key made a signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyNumber(pub [u8; 8]);

impl fmt::Display for KeyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An owner's public key: what names an owner for good. Written as signify's base64 line, `RWQ…`.
///
/// Two keys are equal when their 32 bytes are, whatever their numbers.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OwnerKey {
    /// signify's key number: a hint, not part of the identity.
    pub(crate) number: [u8; 8],
    pub(crate) ed25519: [u8; 32],
}

impl OwnerKey {
    /// A key from its number and its 32 bytes (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    /// [`SignifyError::Weak`] for bytes that are no point, a point written other than it should be, or a point of
    /// small order: such a key verifies signatures that nobody made.
    pub fn from_bytes(number: [u8; 8], ed25519: [u8; 32]) -> Result<Self, SignifyError> {
        // y >= 2^255 - 19: the same point has a shorter writing, and would be a second identity.
        let reducible =
            ed25519[31] & 0x7f == 0x7f && ed25519[1..31].iter().all(|&b| b == 0xff) && ed25519[0] >= 0xed;
        let point = VerifyingKey::from_bytes(&ed25519).map_err(|_| SignifyError::Weak)?;
        if reducible || point.is_weak() { Err(SignifyError::Weak) } else { Ok(Self { number, ed25519 }) }
    }

    /// Reads a public key as people give it: the base64 line alone, or a whole `.pub` file.
    ///
    /// # Errors
    /// When the text is neither, or the key is none.
    pub fn parse_file(text: &str) -> Result<Self, SignifyError> {
        if !text.trim_start().starts_with(COMMENT.trim_end()) {
            return text.trim().parse();
        }
        let (number, ed25519) = decode::<32>(base64_line(text)?)?;
        Self::from_bytes(number, ed25519)
    }

    /// The text of a `.pub` file.
    #[must_use]
    pub fn to_file(&self, comment: &str) -> String {
        format!("{COMMENT}{}\n{self}\n", one_line(comment))
    }

    /// The 32 bytes that are the identity.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.ed25519
    }

    /// signify's number of the key.
    #[must_use]
    pub fn number(&self) -> KeyNumber {
        KeyNumber(self.number)
    }

    /// The /48 that belongs to this key.
    #[must_use]
    pub fn prefix(&self) -> ipnetwork::Ipv6Network {
        prefix::owner_prefix(&self.ed25519)
    }

    /// Checks a signature over `message`, strictly: no small-order point, no second writing of a signature passes.
    ///
    /// # Errors
    /// [`SignifyError::Verify`], or [`SignifyError::OtherKey`] when it fails and the number says why.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignifyError> {
        let failed = if signature.number == self.number {
            SignifyError::Verify
        } else {
            SignifyError::OtherKey { expected: self.number(), found: KeyNumber(signature.number) }
        };
        let point = VerifyingKey::from_bytes(&self.ed25519).map_err(|_| SignifyError::Weak)?;
        let bytes = ed25519_dalek::Signature::from_bytes(&signature.ed25519);
        point.verify_strict(message, &bytes).map_err(|_| failed)
    }
}

impl PartialEq for OwnerKey {
    fn eq(&self, other: &Self) -> bool {
        self.ed25519 == other.ed25519
    }
}

impl Eq for OwnerKey {}

impl Hash for OwnerKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ed25519.hash(state);
    }
}

impl FromStr for OwnerKey {
    type Err = SignifyError;
    fn from_str(text: &str) -> Result<Self, SignifyError> {
        let (number, ed25519) = decode::<32>(text.trim())?;
        Self::from_bytes(number, ed25519)
    }
}

impl TryFrom<String> for OwnerKey {
    type Error = SignifyError;
    fn try_from(text: String) -> Result<Self, SignifyError> {
        text.parse()
    }
}

impl From<OwnerKey> for String {
    fn from(key: OwnerKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(self.number, &self.ed25519))
    }
}

impl fmt::Debug for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A detached signature, as it is in a `.sig` file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    number: [u8; 8],
    ed25519: [u8; 64],
}

impl Signature {
    /// Reads a `.sig` file.
    ///
    /// # Errors
    /// When the bytes are no such file.
    pub fn parse_file(bytes: &[u8]) -> Result<Self, SignifyError> {
        if bytes.len() > FILE_MAX {
            return Err(SignifyError::NotSignify);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| SignifyError::NotSignify)?;
        let (number, ed25519) = decode::<64>(base64_line(text)?)?;
        Ok(Self { number, ed25519 })
    }

    /// The text of a `.sig` file. Nothing vouches for the comment.
    #[must_use]
    pub fn to_file(&self, comment: &str) -> String {
        format!("{COMMENT}{}\n{}\n", one_line(comment), encode(self.number, &self.ed25519))
    }

    /// The number of the key that made it, so it says.
    #[must_use]
    pub fn number(&self) -> KeyNumber {
        KeyNumber(self.number)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature(by {})", self.number())
    }
}

/// The comment of a file in signify's format. It is a hint for people: nobody signed it.
#[must_use]
pub fn comment(text: &str) -> Option<&str> {
    text.lines().next()?.strip_prefix(COMMENT)
}

/// An owner's signing key. It is wiped when dropped and never printed, unless [`OwnerSecret::to_file`] is asked.
pub struct OwnerSecret {
    number: [u8; 8],
    key: SigningKey,
}

/// Where the parts of a secret file stand: `Ed`, `BK`, rounds (big-endian), salt, checksum, key number, key.
const SECRET_LEN: usize = 2 + 2 + 4 + 16 + 8 + 8 + 64;

impl OwnerSecret {
    /// A new key and key number from the system's random source.
    ///
    /// # Errors
    /// The system's, when it has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice())?;
        let mut number = [0; 8];
        getrandom::fill(&mut number)?;
        Ok(Self { number, key: SigningKey::from_bytes(&seed) })
    }

    /// A key from a fixed seed, for tests and examples.
    #[must_use]
    pub fn from_seed(number: [u8; 8], seed: &[u8; 32]) -> Self {
        Self { number, key: SigningKey::from_bytes(seed) }
    }

    /// Reads a secret file without a passphrase, as `signify -G -n` and `vpmesh owner new` write it.
    ///
    /// # Errors
    /// When the text is no such file, is locked with a passphrase, or is damaged.
    pub fn parse_file(text: &str) -> Result<Self, SignifyError> {
        let bytes = Zeroizing::new(
            STANDARD.decode(base64_line(text)?.as_bytes()).map_err(|_| SignifyError::NotBase64)?,
        );
        if bytes.len() != SECRET_LEN {
            return Err(SignifyError::Length(bytes.len(), SECRET_LEN));
        }
        if &bytes[..2] != b"Ed" || &bytes[2..4] != b"BK" {
            return Err(SignifyError::Algorithm);
        }
        if bytes[4..8] != [0; 4] {
            return Err(SignifyError::Passphrase);
        }
        let key = Zeroizing::new(array::<64>(&bytes[40..]));
        if bytes[24..32] != Sha512::digest(key.as_slice())[..8] {
            return Err(SignifyError::Checksum);
        }
        let key = SigningKey::from_keypair_bytes(&key).map_err(|_| SignifyError::Checksum)?;
        Ok(Self { number: array(&bytes[32..40]), key })
    }

    /// The text of a secret file without a passphrase. The one way out: it goes into the key's own file and nowhere
    /// else.
    ///
    /// # Errors
    /// The system's, when it has no randomness to give for the salt.
    pub fn to_file(&self, comment: &str) -> Result<Zeroizing<String>, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; SECRET_LEN]);
        let mut key = Zeroizing::new(self.key.to_keypair_bytes());
        bytes[..4].copy_from_slice(b"EdBK");
        getrandom::fill(&mut bytes[8..24])?;
        bytes[24..32].copy_from_slice(&Sha512::digest(key.as_slice())[..8]);
        bytes[32..40].copy_from_slice(&self.number);
        bytes[40..].copy_from_slice(key.as_slice());
        key.zeroize();
        let base64 = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
        Ok(Zeroizing::new(format!("{COMMENT}{}\n{}\n", one_line(comment), base64.as_str())))
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn public(&self) -> OwnerKey {
        OwnerKey { number: self.number, ed25519: self.key.verifying_key().to_bytes() }
    }

    /// Signs the bytes as they are.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature { number: self.number, ed25519: self.key.sign(message).to_bytes() }
    }
}

impl fmt::Debug for OwnerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerSecret(…)")
    }
}

/// The second line of a file whose first is a comment; lines after it are none of ours.
fn base64_line(text: &str) -> Result<&str, SignifyError> {
    let mut lines = text.lines();
    match (lines.next(), lines.next()) {
        (Some(comment), Some(base64)) if comment.starts_with(COMMENT.trim_end()) => Ok(base64.trim_end()),
        _ => Err(SignifyError::NotSignify),
    }
}

/// `Ed`, the key number, and `N` bytes.
fn decode<const N: usize>(text: &str) -> Result<([u8; 8], [u8; N]), SignifyError> {
    if text.len() > FILE_MAX {
        return Err(SignifyError::Length(text.len(), 10 + N));
    }
    let bytes = STANDARD.decode(text).map_err(|_| SignifyError::NotBase64)?;
    if bytes.len() != 10 + N {
        return Err(SignifyError::Length(bytes.len(), 10 + N));
    }
    if &bytes[..2] != b"Ed" {
        return Err(SignifyError::Algorithm);
    }
    Ok((array(&bytes[2..10]), array(&bytes[10..])))
}

fn encode(number: [u8; 8], key: &[u8]) -> String {
    STANDARD.encode([b"Ed", &number[..], key].concat())
}

/// The first `N` bytes; whoever calls has checked that they are there.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[..N]);
    out
}

/// A comment is one line and at most what signify reads back.
fn one_line(comment: &str) -> String {
    comment.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests;
