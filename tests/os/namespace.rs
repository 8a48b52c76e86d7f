//! A network namespace that belongs to one thread.

use std::process::Command;
use std::time::Duration;

/// Runs `test` in a fresh network namespace with a loopback that is up, on a thread and a runtime of its own. Where
/// that is not permitted, says so and passes.
pub fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: unshare(2) of the network namespace concerns this thread alone.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                eprintln!("skipped: network namespaces need root");
                return;
            }
            ip("link set lo up");
            block_on(test());
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Runs `test` on a runtime like the daemon's. One that never ends is a failure.
pub fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(30), test).await.expect("the test ends")
    });
}

/// Runs `ip ARGUMENTS` in this thread's namespace; what it printed.
pub fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

/// The same with any program.
pub fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("{program} has to be installed (`make deps`): {error}"));
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
