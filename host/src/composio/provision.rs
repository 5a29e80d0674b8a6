//! What the plugin is given that opens sessions at the service for tasks: one address, one
//! method, and a key that it never sees.

use secrecy::ExposeSecret;
use serde_json::json;

use crate::config::composio::Settings;
use crate::plugin::provision::Provision;
use crate::plugin::reach::allow::HttpGrant;
use crate::plugin::reach::secret::{SecretGrant, fits_header};

/// What a session may add to an enqueue. The service takes about a second for one.
const WALL_MS: u64 = 3000;
/// Sessions that are opened at once; each holds a place of the pool, of which claims keep half.
const MAX_CONCURRENT: usize = 32;
const SECRET: &str = "composio-api-key";

pub fn provision(settings: &Settings) -> anyhow::Result<Provision> {
    let place = format!("{}/tool_router/session", settings.upstream);
    // Without what it was: there may be a password in it.
    let place = HttpGrant::place(&place).map_err(|problem| anyhow::anyhow!("COMPOSIO_BASE_URL {problem}"));
    let (scheme, host, port, path) = place?;
    if !fits_header(settings.api_key.expose_secret()) {
        anyhow::bail!("COMPOSIO_API_KEY does not fit into a header: visible ASCII, at most 8 KiB");
    }
    // Who names another place than the public service means it, be it in a network of theirs.
    let anywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse().ok());
    let networks = if settings.is_elsewhere { anywhere.collect() } else { Vec::new() };
    let grant =
        SecretGrant { from: "setting:COMPOSIO_API_KEY".to_owned(), hosts: vec![host.clone()], overlay: true };
    Ok(Provision {
        config: json!({"base_url": settings.upstream, "api_key": SECRET}),
        http: HttpGrant { scheme, host, port, path, methods: vec!["POST".to_owned()], networks },
        secret: (SECRET.to_owned(), grant, settings.api_key.clone()),
        wall_ms: WALL_MS,
        max_concurrent: MAX_CONCURRENT,
    })
}
