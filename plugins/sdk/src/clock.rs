//! The time. Needs the grant `clock`.

/// Milliseconds since 1970-01-01T00:00:00Z. In native tests, the machine's.
pub fn now_ms() -> u64 {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::shared::switchyard::plugin::clock::now();
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::now_ms()
}
