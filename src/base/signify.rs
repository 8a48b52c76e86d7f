//! Ed25519 keys and signatures in signify's file format, as `signify` and `usign` read and write them.
//!
//! A file is a comment line (`untrusted comment: …`) and a line of base64. The bytes are `Ed`, an eight-byte key
//! number, and the 32-byte public key or the 64-byte signature.

/// An owner's public key: what names an owner for good. Written as signify's base64 line, `RWQ…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerKey {
    /// signify's key number: a hint, not part of the identity.
    pub(crate) number: [u8; 8],
    pub(crate) ed25519: [u8; 32],
}
