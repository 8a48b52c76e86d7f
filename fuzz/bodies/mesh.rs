//! Any octets as what another mesh node says: a message is read or refused, and what was read is written the same; over
//! TCP, what is heard does not depend on how it was cut, and no more is held than came.

use vpmesh::mesh::transfer::{Hearing, Said, TransferError};
use vpmesh::mesh::wire::Message;
use vpmesh::packet::link::MESSAGE_MAX;

pub fn run(data: &[u8]) {
    if data.len() <= MESSAGE_MAX
        && let Ok(message) = Message::parse(data)
    {
        let mut buffer = [0; MESSAGE_MAX];
        let length = message.write(&mut buffer);
        assert_eq!(&buffer[..length], data);
    }
    let whole = hear(data, data.len().max(1));
    let cut = hear(data, 1 + data.len() % 7);
    // More than was said is noticed only when it comes in one piece with the end.
    if whole != Err(TransferError::TooMuch) {
        assert_eq!(whole, cut);
    }
    if let Ok(Some(said @ (Said::Bring { .. } | Said::Here { .. } | Said::Get { .. }))) = whole {
        let again = hear(&sent(said.clone()), 5);
        assert_eq!(again, Ok(Some(said)));
    }
}

fn hear(data: &[u8], size: usize) -> Result<Option<Said>, TransferError> {
    let mut hearing = Hearing::default();
    for piece in data.chunks(size) {
        let said = hearing.hear(piece)?;
        assert!(hearing.len() <= data.len());
        if said.is_some() {
            return Ok(said);
        }
    }
    Ok(None)
}

fn sent(said: Said) -> Vec<u8> {
    let mut sending = said.into_sending();
    let mut bytes = Vec::new();
    while !sending.next().is_empty() {
        bytes.extend_from_slice(sending.next());
        sending.advance(sending.next().len());
    }
    bytes
}
