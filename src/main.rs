//! The program; all of it is in the library, where tests and benchmarks reach it.

fn main() -> std::process::ExitCode {
    telltale_exporter::run()
}
