//! Small values that outlive a call. Needs the grant `kv`.
//!
//! A key has 1 to 256 bytes, a value 64 KiB at the most. Refusals are [`Failure`]s with the codes
//! `key-invalid`, `value-too-large`, `store-full`, `not-a-number`, `too-many-calls` and
//! `unavailable`. In native tests the values are in memory, a test's own.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Failure;
#[cfg(target_arch = "wasm32")]
use crate::bindings::shared::switchyard::plugin::kv as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::kv as host;

/// The value under a key, if there is one.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Failure> {
    host::get(key)
}

/// Writes a value, for so many seconds or for ever.
pub fn set(key: &str, value: &[u8], ttl_seconds: Option<u32>) -> Result<(), Failure> {
    host::set(key, value, ttl_seconds)
}

/// Forgets a value. True when there was one.
pub fn delete(key: &str) -> Result<bool, Failure> {
    host::delete(key)
}

/// Adds to a number, which is 0 when it is absent, and gives the sum. Calls at the same time are
/// all counted. The seconds hold for a number that this call begins.
///
/// ```
/// use switchyard_sdk::kv;
/// assert_eq!(kv::increment("runs/2026-11-25", 1, Some(86_400)).unwrap(), 1);
/// assert_eq!(kv::increment("runs/2026-11-25", 2, Some(86_400)).unwrap(), 3);
/// ```
pub fn increment(key: &str, by: i64, ttl_seconds: Option<u32>) -> Result<i64, Failure> {
    host::increment(key, by, ttl_seconds)
}

/// Keys that begin so, in order, 1000 at the most; those after `after` when it is given.
pub fn keys(prefix: &str, after: Option<&str>) -> Result<Vec<String>, Failure> {
    host::keys(prefix, after)
}

/// A value as JSON. One that is no JSON of this type is a failure with the code `bad-value`.
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Failure> {
    let Some(bytes) = get(key)? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes);
    read.map(Some)
        .map_err(|error| Failure::new("bad-value", format!("the value of {key:?} does not fit: {error}")))
}

/// Writes a value as JSON.
pub fn set_json(key: &str, value: &impl Serialize, ttl_seconds: Option<u32>) -> Result<(), Failure> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| Failure::new("not-json", format!("the value of {key:?} is not JSON: {error}")))?;
    set(key, &bytes, ttl_seconds)
}
