//! The simulation: tens of whole engines in a network with latency, loss, partitions and translators, under one virtual
//! clock. A seed is a town and what happens to it; after each step invariants hold: what the rosters allow and a path
//! exists for, be it by one relay or by two, is delivered, and nothing else; nothing is readable on the wire, and no
//! address from inside at a relay; nothing goes round; tables are bounded; nobody logs an ERROR. `make sim SEEDS=N` runs
//! many, `make sim SEED=N` one again, and `make sim-scale` tells what a node needs as the mesh grows.

mod aimed;
mod bounds;
mod build;
mod clock;
mod desk;
mod diagram;
mod expect;
mod faults;
mod gateway;
mod internet;
mod memory;
mod nat;
mod probe;
mod relays;
mod rng;
mod run;
mod scale;
mod station;
mod town;
mod transition;
mod travel;
mod twins;
