//! What the operator of a gateway lets plugins be: no document can change it.

use super::caps::Caps;
use super::oci;
use super::signature::Signatures;

#[derive(Clone, Debug)]
pub struct Rules {
    pub signatures: Signatures,
    pub caps: Caps,
    pub registries: oci::Settings,
    /// The most that compiled code may take on disk.
    pub code_cache_bytes: u64,
}

/// Compiled code of a hundred plugins or so.
pub const CODE_CACHE_MIB: u64 = 512;

impl Default for Rules {
    fn default() -> Self {
        Self {
            signatures: Signatures::default(),
            caps: Caps::default(),
            registries: oci::Settings::default(),
            code_cache_bytes: CODE_CACHE_MIB << 20,
        }
    }
}
