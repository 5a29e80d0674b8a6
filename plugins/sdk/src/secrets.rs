//! Secrets by reference. Needs the grant `secrets`, which names them and who may get them.

use crate::Failure;

/// Something to stand for the secret, in the value of a header of [`crate::http`]; the host puts
/// the secret in its place when the request leaves. Good for this call alone. A name that was
/// not granted is a [`Failure`] with the code `not-granted`.
///
/// ```
/// # use switchyard_sdk::{http::Request, secrets, testing, Failure};
/// # fn main() -> Result<(), Failure> {
/// # testing::grant_secret("tracker");
/// let token = secrets::reference("tracker")?;
/// let request = Request::get("https://tracker.example.com/api/1").header("authorization", format!("Bearer {token}"));
/// # let _ = request; Ok(()) }
/// ```
pub fn reference(name: &str) -> Result<String, Failure> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::shared::switchyard::plugin::secrets::reference(name);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::reference(name)
}
