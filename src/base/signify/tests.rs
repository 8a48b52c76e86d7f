//! Keys and signatures, held against files that signify itself made.

use super::*;

// Made by signify (OpenBSD's, 2022): `signify -G -n -c alice`, `signify -S` over "hello\n".
const PUBLIC: &str =
    "untrusted comment: alice public key\nRWTJCZ2igybK422UhsseJ+CBfH/CqNjYJDGhMC8aQZLziwlizxzNXp2i\n";
const SECRET: &str = "untrusted comment: alice secret key\n\
    RWRCSwAAAABr0pcGXTsR/rJsa7ONSXnaObRkjgP8OPvJCZ2igybK40QKYN6khz49IhrvIX1acWubV5Wca+tm5GW4MlY/9yntbZSGyx4n\
    4IF8f8Ko2NgkMaEwLxpBkvOLCWLPHM1enaI=\n";
const SIGNATURE: &str = "untrusted comment: verify with a.pub\n\
    RWTJCZ2igybK47BevIex+7qzzD/q0jn6IZGa0+RosbV74d+ZYkSa1q6jJPM3lQmmWB/LCLMQewJRFwKG+WUKLXZP9PWzsS8FlAs=\n";

#[test]
fn files_of_signify_are_read_and_made_again() {
    let key = OwnerKey::parse_file(PUBLIC).unwrap();
    let secret = OwnerSecret::parse_file(SECRET).unwrap();
    let signature = Signature::parse_file(SIGNATURE.as_bytes()).unwrap();
    assert_eq!((secret.public(), secret.public().number()), (key, key.number()));
    assert_eq!(key.verify(b"hello\n", &signature), Ok(()));
    assert_eq!(secret.sign(b"hello\n"), signature);
    assert_eq!(key.to_file("alice public key"), PUBLIC);
    assert_eq!(signature.to_file("verify with a.pub"), SIGNATURE);
    assert_eq!(comment(SIGNATURE), Some("verify with a.pub"));
    let again = secret.to_file("alice secret key").unwrap();
    assert_eq!(OwnerSecret::parse_file(&again).unwrap().public(), key);
    assert_eq!(PUBLIC.lines().nth(1).unwrap().parse(), Ok(key));
    assert_eq!(OwnerKey::parse_file(&format!("  {key}\n")), Ok(key));
}

#[test]
fn a_signature_is_over_these_bytes_by_this_key() {
    let (alice, bob) = (OwnerSecret::from_seed([1; 8], &[1; 32]), OwnerSecret::from_seed([2; 8], &[2; 32]));
    let signature = alice.sign(b"roster");
    assert_eq!(alice.public().verify(b"roster", &signature), Ok(()));
    assert_eq!(alice.public().verify(b"roster ", &signature), Err(SignifyError::Verify));
    let by_other = SignifyError::OtherKey { expected: KeyNumber([2; 8]), found: KeyNumber([1; 8]) };
    assert_eq!(bob.public().verify(b"roster", &signature), Err(by_other));
    // The number is a hint: a key is its 32 bytes.
    let renumbered = OwnerKey::from_bytes([9; 8], *alice.public().as_bytes()).unwrap();
    assert_eq!(renumbered, alice.public());
    assert_eq!(renumbered.verify(b"roster", &signature), Ok(()));
    for at in 0..64 {
        let mut bad = signature;
        bad.ed25519[at] ^= 1;
        assert_eq!(alice.public().verify(b"roster", &bad), Err(SignifyError::Verify));
    }
}

#[test]
fn keys_that_would_verify_anything_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut order_two = [0xff; 32];
    (order_two[0], order_two[31]) = (0xec, 0x7f);
    // The identity, written as p + 1.
    let mut second_writing = [0xff; 32];
    (second_writing[0], second_writing[31]) = (0xee, 0x7f);
    let mut no_point = [0; 32];
    no_point[0] = 2;
    for bytes in [[0; 32], identity, order_two, second_writing, no_point] {
        assert_eq!(OwnerKey::from_bytes([0; 8], bytes), Err(SignifyError::Weak), "{bytes:?}");
    }
}

#[test]
fn a_damaged_or_locked_secret_is_refused_with_its_reason() {
    let changed = |at: usize, byte: u8| {
        let (comment, base64) = SECRET.trim_end().split_once('\n').unwrap();
        let mut bytes = STANDARD.decode(base64).unwrap();
        bytes[at] = byte;
        OwnerSecret::parse_file(&format!("{comment}\n{}\n", STANDARD.encode(bytes))).unwrap_err()
    };
    assert_eq!(changed(7, 42), SignifyError::Passphrase);
    assert_eq!(changed(0, b'X'), SignifyError::Algorithm);
    assert_eq!(changed(24, 0), SignifyError::Checksum);
    assert_eq!(changed(40, 0), SignifyError::Checksum);
    assert_eq!(OwnerSecret::parse_file(PUBLIC).unwrap_err(), SignifyError::Length(42, SECRET_LEN));
    assert_eq!(OwnerSecret::parse_file("").unwrap_err(), SignifyError::NotSignify);
    assert!(OwnerKey::parse_file(SECRET).is_err() && Signature::parse_file(PUBLIC.as_bytes()).is_err());
}

#[test]
fn a_secret_is_never_printed_by_debug() {
    assert_eq!(format!("{:?}", OwnerSecret::parse_file(SECRET).unwrap()), "OwnerSecret(…)");
}

#[test]
fn a_comment_is_one_line() {
    let key = OwnerKey::parse_file(PUBLIC).unwrap();
    assert_eq!(key.to_file("a\nRWQ").lines().count(), 2);
}
