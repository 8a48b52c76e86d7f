//! Floor 0: keys, names and prefixes. Checked at the door, trusted after: a value of a type in here is valid, because
//! no constructor makes one that isn't.

mod endpoint;
mod key;
mod line;
mod link;
pub(crate) mod name;
pub mod prefix;
mod reason;
pub mod signify;
mod virtual_endpoint;

pub use endpoint::{Endpoint, EndpointError};
pub use key::{KeyError, PrivateKey, PublicKey};
pub use line::{Fault, Faults, Line};
pub use link::{LINK_PORT, link_address};
pub use name::{Name, NameError, NodePath};
pub use prefix::canonical;
pub use reason::DropReason;
pub use virtual_endpoint::{VirtualEndpoint, is_virtual};
