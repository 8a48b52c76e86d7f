//! The `vpmesh` program.

fn main() -> std::process::ExitCode {
    vpmesh::cli::main()
}
