//! Flags in, an exit code out; everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    match switchyard::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("switchyard: {error:#}");
            ExitCode::FAILURE
        }
    }
}
