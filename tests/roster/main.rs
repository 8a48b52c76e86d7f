//! Rosters from end to end: what becomes of good ones and of bad ones, and the tools at an owner's desk.

mod accept;
mod desk;
mod examples;
mod hostile;
mod join;
mod person;
mod store;
