//! Floor 0: keys, names and prefixes. Checked at the door, trusted after: a value of a type in here is valid, because
//! no constructor makes one that isn't.

pub mod endpoint;
pub mod key;
pub mod line;
pub mod link;
pub mod name;
pub mod prefix;
pub mod reason;
pub mod signify;
pub mod virtual_endpoint;

pub use endpoint::{Endpoint, EndpointError};
pub use key::{KeyError, PrivateKey, PublicKey};
pub use line::{Fault, Faults, Line};
pub use link::{LINK_PORT, link_address};
pub use name::{Name, NameError, NodePath};
pub use prefix::canonical;
pub use reason::DropReason;
pub use virtual_endpoint::{VirtualEndpoint, is_virtual};
