//! The cases of "how it is seen to work", one file each.

mod lab_itself;
