//! What the `main` of a plugin's `build.rs` calls, so that the linker lays its memory out
//! for fresh calls:
//!
//! ```no_run
//! switchyard_sdk_build::guest();
//! ```

/// Bytes of stack. The stack is the lowest part of a guest's memory and the host keeps the
/// lowest 256 KiB mapped between calls: a small stack puts data and heap there too.
const STACK: usize = 64 << 10;

/// Bytes of memory a guest starts with. The slack behind its data is its heap, so a call of
/// the usual size never grows memory, which would take a lock of the whole process.
const MEMORY: usize = 512 << 10;

/// Prints cargo's instructions for the linker. Does nothing but for `wasm32`, so the plugin
/// and its unit tests still build for the machine at hand.
pub fn guest() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size={STACK}");
        println!("cargo::rustc-link-arg-cdylib=--initial-memory={MEMORY}");
    }
}
