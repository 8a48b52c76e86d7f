//! Any bytes as a line of the control socket: it is refused with words, or it is a request that reads the same when it
//! is written again, and whose question can be put.

use vpmesh::daemon::question::{Request, party, service};
use vpmesh::roster::Service;

pub fn run(data: &[u8]) {
    let Ok(request) = serde_json::from_slice::<Request>(data) else { return };
    let again = serde_json::to_vec(&request).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<Request>(&again).expect("and read again"), request);
    let Request::Explain { from, to, service: asked } = request else { return };
    for text in [&from, &to] {
        if let Err(why) = party(text) {
            assert!(!why.is_empty());
        }
    }
    match service(&asked) {
        Ok(known) => {
            let text = known.to_string();
            assert_eq!(service(&text), Ok(known));
            assert_eq!(text.parse::<Service>().ok(), Some(known), "a roster reads it as the same service");
        }
        Err(why) => assert!(!why.is_empty()),
    }
}
