//! The bound: what opening and sealing the same packets costs with ring alone, without sockets, sessions or policy.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::cost;

/// Packets that are opened and sealed over and over: as many as a relay has in its cache from one batch.
const POOL: usize = 64;
/// Of CPU time; the kernel counts in steps of 10 ms.
const SECONDS: f64 = 0.5;

/// CPU seconds that one packet of `size` inner bytes costs to open with one key and seal with another.
pub fn open_and_seal(size: usize) -> std::io::Result<f64> {
    let key = |byte| UnboundKey::new(&CHACHA20_POLY1305, &[byte; 32]).map(LessSafeKey::new);
    let (Ok(inward), Ok(outward)) = (key(1), key(2)) else {
        return Err(std::io::Error::other("ring refused a key"));
    };
    let failed = |_| std::io::Error::other("ring could not open what it sealed");
    let nonce = |counter: usize| {
        let mut bytes = [0; 12];
        bytes[4..].copy_from_slice(&(counter as u64).to_le_bytes());
        Nonce::assume_unique_for_key(bytes)
    };
    let mut pool = vec![vec![0x55; size]; POOL];
    for (counter, packet) in pool.iter_mut().enumerate() {
        inward.seal_in_place_append_tag(nonce(counter), Aad::empty(), packet).map_err(failed)?;
    }

    // Even turns open with the first key and seal with the second, odd turns the other way round: every turn opens
    // what the turn before sealed, and the pool is never made anew.
    let mut turns = 0;
    let start = cost::cpu_seconds("self")?;
    let mut spent = 0.0;
    while spent < SECONDS {
        for _ in 0..16 {
            let (opener, sealer) = if turns % 2 == 0 { (&inward, &outward) } else { (&outward, &inward) };
            for (counter, packet) in pool.iter_mut().enumerate() {
                opener.open_in_place(nonce(counter), Aad::empty(), packet).map_err(failed)?;
                let (body, room) = packet.split_at_mut(size);
                let tag =
                    sealer.seal_in_place_separate_tag(nonce(counter), Aad::empty(), body).map_err(failed)?;
                room.copy_from_slice(tag.as_ref());
            }
            turns += 1;
        }
        spent = cost::cpu_seconds("self")? - start;
    }
    Ok(spent / (turns * POOL) as f64)
}
