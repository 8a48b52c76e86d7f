//! A process that nobody's Ctrl-C or farewell to a service ends.

/// Takes this process out of its session, and has it ignore the signals that ask it to end.
pub fn stand_apart() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE] {
        // SAFETY: signal(2) with SIG_IGN runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // SAFETY: setsid(2) takes nothing; refused, all stays as it is.
    unsafe { libc::setsid() };
}
