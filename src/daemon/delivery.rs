//! A roster that somebody gave: a mesh node that was asked, a station that brought it, a client that publishes it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::base::Name;
use crate::engine::Offered;

/// Deliveries that wait at most.
pub(super) const WAITING_MAX: usize = 8;

/// Where deliveries go.
pub(super) type Deliveries = mpsc::Sender<Delivery>;

#[derive(Debug)]
pub(super) struct Delivery {
    /// `None`: whoever signed it.
    pub(super) owner: Option<Name>,
    pub(super) signature: Arc<[u8]>,
    pub(super) roster: Arc<[u8]>,
    pub(super) from: String,
    /// What became of it, in words; the engine is told in any case.
    pub(super) reply: Option<oneshot::Sender<Result<String, String>>>,
}

impl From<Offered> for Delivery {
    fn from(offered: Offered) -> Self {
        let Offered { owner, signature, roster, from } = offered;
        Self { owner: Some(owner), signature, roster, from, reply: None }
    }
}
