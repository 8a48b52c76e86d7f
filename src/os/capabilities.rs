//! The right to change networks, handed on to a program that is started.
//!
//! The daemon may be a user of its own with two capabilities, which a program that it starts has only when they are
//! ambient (capabilities(7)). They are made so in a thread that does nothing else, and goes.

use std::io;
use std::process::{Child, Command};

/// `CAP_NET_ADMIN` (`linux/capability.h`).
const NET_ADMIN: libc::c_ulong = 12;
/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    thread: i32,
}

/// `struct __user_cap_data_struct`: 32 capabilities of the 64.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Starts a program that may change networks if this one may.
///
/// # Errors
/// The system's.
pub fn spawn_with_net_admin(command: &mut Command) -> io::Result<Child> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, || {
            // Where it can't be, the program says what it may not do.
            let _ = make_ambient();
            command.spawn()
        })?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts programs ended")))
    })
}

/// Makes CAP_NET_ADMIN ambient in this thread, where the thread has it.
fn make_ambient() -> io::Result<()> {
    let header = Header { version: VERSION, thread: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: version 3 writes two of `Sets`, which is what `sets` has; thread 0 is this one.
    done(unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) })?;
    let bit = 1 << NET_ADMIN;
    if sets[0].permitted & bit == 0 {
        return Ok(());
    }
    sets[0].inheritable |= bit;
    // SAFETY: version 3 reads two of `Sets`; thread 0 is this one.
    done(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) })?;
    // SAFETY: prctl(2) takes numbers only, and changes this thread.
    let raised = unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong,
            NET_ADMIN,
            0 as libc::c_ulong,
            0 as libc::c_ulong,
        )
    };
    done(raised.into())
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
