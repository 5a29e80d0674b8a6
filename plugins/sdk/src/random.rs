//! Numbers nobody can foresee. Needs the grant `random`.

/// So many bytes, 4096 at the most. In native tests they are the same at every run.
pub fn bytes(count: u32) -> Vec<u8> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::shared::switchyard::plugin::random::bytes(count);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::random_bytes(count)
}
