//! Whose turn it is: two labs at a time, or one alone. Timing means nothing on a machine that is fought over.

use std::sync::{Condvar, Mutex, PoisonError};

const SEATS: usize = 2;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// Seats, given back on drop.
#[derive(Debug)]
pub struct Turn {
    seats: usize,
}

impl Turn {
    pub fn shared() -> Self {
        Self::take(1)
    }

    pub fn alone() -> Self {
        Self::take(SEATS)
    }

    fn take(seats: usize) -> Self {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken =
            FREED.wait_while(taken, |taken| *taken + seats > SEATS).unwrap_or_else(PoisonError::into_inner);
        *taken += seats;
        Self { seats }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= self.seats;
        FREED.notify_all();
    }
}
