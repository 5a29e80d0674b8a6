//! Calls to services elsewhere.

use reqwest::Client;
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

fn trust() {
    if CryptoProvider::get_default().is_none() {
        // Fails only when somebody else was faster, with the same provider.
        let _ = ring::default_provider().install_default();
    }
}
