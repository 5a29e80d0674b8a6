//! Flags in, an exit code out; everything else is in the library.

use std::process::ExitCode;

/// What SQLite allocates comes from it, too. Claims take a tenth less of the processor than with the
/// C library's, and what a busy hour took goes back to the system when it is over.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match switchyard::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("switchyard: {error:#}");
            ExitCode::FAILURE
        }
    }
}
