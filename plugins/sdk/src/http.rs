//! Requests to places that the operator granted. Needs the grant `http`.
//!
//! Redirects are answers like any other. Refusals are [`Failure`]s with the codes
//! `request-invalid`, `not-granted`, `address-refused`, `too-many-calls`, `too-large`, `timeout`
//! and `unreachable`; a status of 400 or more is an answer. In native tests
//! [`crate::testing::answer`] says who answers.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Failure;
use crate::bindings::shared::switchyard::plugin::http as wit;

pub use wit::{Header, Request, Response};

/// Sends a request and waits for all of the answer.
pub fn send(request: &Request) -> Result<Response, Failure> {
    #[cfg(target_arch = "wasm32")]
    return wit::send(request);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::send(request)
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            timeout_ms: None,
            attributes: Vec::new(),
        }
    }

    /// A `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A `POST` of JSON.
    pub fn post_json(url: impl Into<String>, body: &impl Serialize) -> Result<Self, Failure> {
        let bytes = serde_json::to_vec(body)
            .map_err(|error| Failure::new("not-json", format!("the body is not JSON: {error}")))?;
        let request = Self::new("POST", url).header("content-type", "application/json");
        Ok(Self { body: Some(bytes), ..request })
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// That waits so long at the most.
    #[must_use]
    pub fn timeout_ms(mut self, ms: u32) -> Self {
        self.timeout_ms = Some(ms);
        self
    }
}

impl Response {
    /// Whether the status says that it went well: 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
    }

    /// The body as JSON. A body of another shape is a failure with the code `bad-answer`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::new("bad-answer", format!("the answer does not fit: {error}")))
    }
}
