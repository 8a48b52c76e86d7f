//! Rosters from end to end: what is said of bad ones, what becomes of good ones, and the tools at an owner's desk.

mod accept;
mod desk;
mod examples;
mod faults;
mod hostile;
mod join;
mod person;
mod store;
