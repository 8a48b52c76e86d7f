//! One binary: `vpmesh run`, and every tool.
/// Runs the command line; the exit code.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
