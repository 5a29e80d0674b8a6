//! What connected apps need, under the names that existing deployments set.

use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::{Digest, Sha256};

use super::access::Access;
use crate::app::Flags;

const UPSTREAM: &str = "https://backend.composio.dev/api/v3.1";

/// All of it is there, or apps cannot be connected.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The project's key at the service.
    pub api_key: SecretString,
    /// Signs what a browser carries to the service and back.
    pub state_secret: SecretSlice<u8>,
    /// Where browsers reach this gateway; no slash at its end.
    pub callback_base: String,
    /// Where the web app is served; empty for the same site.
    pub frontend: String,
    /// The service; no slash at its end.
    pub upstream: String,
    /// Whether that is not where it is for everybody.
    pub is_elsewhere: bool,
}

impl Settings {
    /// `None` while something is missing, or the feature is off; `var` gives a variable's value.
    pub fn read(flags: &Flags, access: &Access, var: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let text = |name: &str| var(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let base = |url: String| Some(url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty());
        if !flags.composio_mcp_apps {
            return None;
        }
        let derived = || {
            let secret = access.jwt_secret.as_ref()?;
            let fed = format!("composio-state:{}", secret.expose_secret());
            Some(Sha256::digest(fed).to_vec())
        };
        let upstream = text("COMPOSIO_BASE_URL").and_then(base);
        let app_url = || access.app_url.clone().and_then(base);
        Some(Self {
            api_key: text("COMPOSIO_API_KEY")?.into(),
            state_secret: text("COMPOSIO_STATE_SECRET").map(String::into_bytes).or_else(derived)?.into(),
            callback_base: text("COMPOSIO_CALLBACK_BASE_URL")
                .and_then(base)
                .or_else(|| flags.public_url.clone())
                .or_else(app_url)?,
            frontend: app_url().unwrap_or_default(),
            is_elsewhere: upstream.is_some(),
            upstream: upstream.unwrap_or_else(|| UPSTREAM.to_owned()),
        })
    }
}
