//! Virtual time, for this thread and everything in it: std's clocks, and with them boringtun's.
//!
//! boringtun reads the monotonic clock by itself, and the wall clock once for every `Tunn`. Its feature `mock-instant`
//! leaves that second clock alone, so that a node that restarts after a virtual hour stamps its handshakes with the
//! real time, and its peers take them for replays; and it is a build of its own. Here the one C function that all of
//! them ask is this program's: where a thread has a virtual time it answers with that, and boringtun runs as shipped.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

use vpmesh::engine::Now;

/// Microseconds since the simulation began.
pub type Time = u64;

pub const SECOND: Time = 1_000_000;
pub const MILLISECOND: Time = 1_000;

/// When the simulation begins: the monotonic clock's reading, and the wall clock's.
const BOOT: Duration = Duration::from_secs(1_000_000);
const WALL: Duration = Duration::from_secs(1_800_000_000);

thread_local! {
    /// The monotonic clock and the wall clock.
    static VIRTUAL: Cell<Option<(Duration, Duration)>> = const { Cell::new(None) };
}

/// Stands in for the C library's function in this whole program.
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(id: libc::clockid_t, out: *mut libc::timespec) -> libc::c_int {
    let Some((monotonic, wall)) = VIRTUAL.try_with(Cell::get).ok().flatten() else {
        // SAFETY: the system call with the caller's own arguments.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, id, out) } as libc::c_int;
    };
    let time = if id == libc::CLOCK_REALTIME { wall } else { monotonic };
    // SAFETY: callers of clock_gettime give a place for the answer.
    unsafe {
        (*out).tv_sec = time.as_secs() as libc::time_t;
        (*out).tv_nsec = libc::c_long::from(time.subsec_nanos() as i32);
    }
    0
}

/// Sets this thread's clocks; `wall` is what a node's own wall clock says instead of the true time.
pub fn set(now: Time, wall: Option<Time>) {
    let since = Duration::from_micros;
    VIRTUAL.set(Some((BOOT + since(now), WALL + since(wall.unwrap_or(now)))));
}

/// What the clocks say, as a node's event loop reads them.
#[expect(clippy::disallowed_methods, reason = "what is read is this thread's virtual clock")]
pub fn now() -> Now {
    Now { instant: Instant::now(), wall: SystemTime::now() }
}

/// When an instant is; the next microsecond, so that who waits for it is never early.
pub fn time_of(instant: Instant) -> Time {
    let now = now().instant;
    let (monotonic, _) = VIRTUAL.get().expect("the clock is set");
    let at = monotonic - BOOT;
    let at = if instant >= now { at + (instant - now) } else { at.saturating_sub(now - instant) };
    at.as_nanos().div_ceil(1_000) as Time
}

#[test]
fn the_clocks_of_std_and_boringtun_are_virtual_and_only_in_this_thread() {
    set(0, None);
    let start = now();
    set(3_600 * SECOND, Some(5 * SECOND));
    let later = now();
    assert_eq!(later.instant - start.instant, Duration::from_secs(3_600));
    assert_eq!(later.wall.duration_since(start.wall).unwrap(), Duration::from_secs(5));
    assert_eq!(time_of(start.instant + Duration::from_nanos(1_500)), 2);
    let wall = |now: Now| now.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let elsewhere = std::thread::spawn(now).join().unwrap();
    assert_ne!(wall(elsewhere), wall(later));

    let tunn = |n: u8| {
        let (own, other) = ([n; 32], boringtun::x25519::PublicKey::from([9; 32]));
        boringtun::noise::Tunn::new(own.into(), other, None, None, u32::from(n), None)
    };
    let mut buffer = [0; 148];
    let mut one = tunn(1);
    one.format_handshake_initiation(&mut buffer, false);
    set(3_604 * SECOND, None);
    assert!(matches!(one.update_timers(&mut buffer), boringtun::noise::TunnResult::Done));
    set(3_606 * SECOND, None);
    let sent = one.update_timers(&mut buffer);
    assert!(matches!(sent, boringtun::noise::TunnResult::WriteToNetwork(_)), "sent again after five seconds");
}
