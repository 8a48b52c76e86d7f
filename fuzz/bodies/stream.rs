//! Any bytes as what comes out of TLS, in reads of any length: whole datagrams that are as they were sent, or an end;
//! however it is cut, the same.

use vpmesh::os::tls::frame::{DATAGRAM_MAX, DATAGRAM_MIN, Frames, LENGTH, datagrams};

pub fn run(data: &[u8]) {
    let Some((&step, stream)) = data.split_first() else { return };
    let whole = read(stream, stream.len().max(1));
    let cut = read(stream, usize::from(step) + 1);
    assert_eq!(whole.0, cut.0, "the same datagrams");
    assert_eq!(whole.1, cut.1, "and the same end");
}

/// The datagrams before the end, and whether the stream was refused.
fn read(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut frames, mut came) = (Frames::default(), Vec::new());
    for mut part in stream.chunks(step) {
        let length = part.len();
        frames.read(&mut part, length).expect("memory can be read");
        loop {
            let Ok(mut whole) = frames.take() else { return (came, true) };
            if whole.is_empty() {
                break;
            }
            for datagram in datagrams(&mut whole) {
                assert!((DATAGRAM_MIN..=DATAGRAM_MAX).contains(&datagram.len()));
                came.push(datagram.to_vec());
            }
        }
        assert!(frames.waiting() < LENGTH + DATAGRAM_MAX);
    }
    (came, false)
}
