//! Calls to services elsewhere.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::dns::Resolve;
use rustls::crypto::{CryptoProvider, ring};

/// A client for http and https, which believes the certificates that the machine does.
pub fn client() -> Client {
    trust();
    Client::new()
}

/// As [`client`], for calls that carry a key in a header: it goes where it was sent and
/// nowhere else.
pub fn direct() -> Client {
    trust();
    let built = Client::builder().redirect(reqwest::redirect::Policy::none()).build();
    built.unwrap_or_else(|error| {
        tracing::error!(%error, "a client without redirects could not be made");
        Client::new()
    })
}

/// As [`direct`], to addresses that `resolver` gives and nobody else: no proxy stands between.
pub fn pinned(
    resolver: Arc<dyn Resolve>,
    idle: Duration,
    idle_connections: usize,
) -> reqwest::Result<Client> {
    trust();
    let building = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .dns_resolver(resolver)
        .pool_idle_timeout(idle)
        .pool_max_idle_per_host(idle_connections);
    building.build()
}

/// Settles the cryptography of the whole process; whoever brings TLS of their own calls it first.
pub fn trust() {
    if CryptoProvider::get_default().is_none() {
        // Fails only when somebody else was faster, with the same provider.
        let _ = ring::default_provider().install_default();
    }
}
