//! Answers this host's resolver for the mesh's names, from the rosters in force.

use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::names::Names;

/// Bytes of a question at most: names have 255, and what resolvers add is small.
const QUESTION_MAX: usize = 1232;

/// Answers until the reloader ends.
pub(super) async fn serve(socket: UdpSocket, names: watch::Receiver<Names>) {
    let mut question = [0; QUESTION_MAX];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut question).await else {
            // Out of memory, or somebody who asked is gone.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if names.has_changed().is_err() {
            return;
        }
        let answer = names.borrow().answer(&question[..length]);
        if let Some(answer) = answer {
            // One that is lost is asked for again.
            let _ = socket.try_send_to(&answer, from);
        }
    }
}
