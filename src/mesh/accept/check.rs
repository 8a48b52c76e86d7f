//! One file: its signature, then its text, then its serial.

use std::fmt::Write as _;
use std::sync::Arc;

use blake2::{Blake2s256, Digest as _};

use super::{Accepted, Desk, Kept, Offer, Refusal, Why};
use crate::base::Name;
use crate::base::signify::{OwnerKey, Signature, SignifyError};
use crate::roster::{self, Fault, Line, Roster};

/// BLAKE2s-256 of a roster's bytes: what tells two contents of one serial apart.
#[must_use]
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    Blake2s256::digest(bytes).into()
}

impl Desk<'_> {
    /// Checks an offered file against the owner's key and what was accepted by it before.
    pub(super) fn check(&self, offer: &Offer, key: OwnerKey) -> Result<Accepted, Refusal> {
        let refuse = |why, line, what: String, mend: &str| {
            let fault = Fault { file: offer.file.clone(), line, what, mend: mend.into() };
            Refusal { owner: offer.owner.clone(), why, faults: vec![fault] }
        };
        let signature = signature(offer, key, refuse)?;
        let hash = hash(&offer.bytes);
        let before = self.kept_by(key);
        let is_new = before.is_none_or(|kept| kept.hash != hash);
        let roster = match self.known(key, &hash, &offer.file) {
            Some(roster) => roster,
            None => Arc::new(roster::parse(&offer.file, &offer.bytes).map_err(|faults| Refusal {
                owner: offer.owner.clone(),
                why: Why::Faulty,
                faults: faults.0,
            })?),
        };
        if roster.owner != offer.owner {
            let what = format!("is named after \"{}\" and says owner = \"{}\"", offer.owner, roster.owner);
            return Err(refuse(Why::WrongOwner, Line(0), what, "name the file OWNER.toml"));
        }
        if let Some(before) = before.filter(|_| is_new) {
            let serial = roster.serial;
            let Kept { serial: last, hash: accepted, .. } = before;
            if serial < *last {
                let what = format!("has serial {serial}, and {last} was accepted before");
                let mend =
                    "get the newest; to go back to an old text, its owner signs it with a higher serial";
                return Err(refuse(Why::OlderSerial, Line(0), what, mend));
            }
            if serial == *last {
                let what = format!(
                    "has serial {serial} a second time, with other content: {} was accepted, this is {}",
                    hex(accepted),
                    hex(&hash)
                );
                let mend = "the first stays; its owner signs what is meant with a higher serial";
                return Err(refuse(Why::Equivocation, Line(0), what, mend));
            }
        }
        let (owner, serial) = (offer.owner.clone(), roster.serial);
        let kept = Kept { owner, key, serial, hash, bytes: offer.bytes.clone(), signature };
        Ok(Accepted { roster, kept, is_new, is_fallback: false })
    }

    /// The roster of these bytes, if it was parsed before.
    fn known(&self, key: OwnerKey, hash: &[u8; 32], file: &Arc<str>) -> Option<Arc<Roster>> {
        let kept = self.kept_by(key).filter(|kept| kept.hash == *hash)?;
        let known = |roster: &&Arc<Roster>| {
            roster.owner == kept.owner && roster.serial == kept.serial && roster.file == *file
        };
        self.known.iter().find(known).cloned()
    }

    /// The copy that was accepted before. It is checked like any file: the disk may be old and tired.
    pub(super) fn fallback(&self, owner: &Name, key: OwnerKey) -> Option<Accepted> {
        let kept = self.kept_by(key).filter(|kept| kept.owner == *owner)?;
        let offer = Offer {
            owner: owner.clone(),
            file: format!("{owner}.toml (the copy accepted before)").into(),
            bytes: kept.bytes.clone(),
            signature: Some(kept.signature.clone()),
        };
        let accepted = self.check(&offer, key).ok()?;
        Some(Accepted { is_fallback: true, ..accepted })
    }
}

/// The offer's signature file, once it verifies.
fn signature(
    offer: &Offer,
    key: OwnerKey,
    refuse: impl Fn(Why, Line, String, &str) -> Refusal,
) -> Result<Arc<[u8]>, Refusal> {
    let Some(bytes) = &offer.signature else {
        let what = format!("is not signed: {}.sig is not there", offer.file);
        return Err(refuse(Why::Unsigned, Line(0), what, "sign it: `vpmesh owner sign`"));
    };
    let checked = Signature::parse_file(bytes).and_then(|signature| key.verify(&offer.bytes, &signature));
    match checked {
        Ok(()) => Ok(bytes.clone()),
        Err(error) => {
            let mend = match error {
                SignifyError::OtherKey { .. } => {
                    "get one signed with the owner's key, or mend the key that is written"
                }
                SignifyError::Verify => "get both files again, or sign it again: `vpmesh owner sign`",
                _ => "sign it again: `vpmesh owner sign`",
            };
            Err(refuse(Why::BadSignature, Line(0), format!("its signature {}.sig {error}", offer.file), mend))
        }
    }
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
