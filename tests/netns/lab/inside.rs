//! Being inside a namespace: a thread of its own enters, works and ends. What it opened stays in there.

use std::fs::File;
use std::os::fd::AsRawFd as _;

use super::Namespace;

impl Namespace {
    /// Does the work in this namespace. Sockets that it returns stay in the namespace, wherever they are used.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name());
        let joined = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let file = File::open(&path).unwrap_or_else(|e| panic!("{path} can't be opened: {e}"));
                // SAFETY: setns(2) takes an open descriptor and a flag, and moves this thread alone.
                let entered = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
                assert!(entered == 0, "{path} can't be entered: {}", std::io::Error::last_os_error());
                work()
            });
            thread.join()
        });
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
