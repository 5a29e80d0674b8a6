//! Calls to services elsewhere.

use reqwest::Client;
use rustls::crypto::{CryptoProvider, ring};

/// A client for http and https, which believes the certificates that the machine does.
pub fn client() -> Client {
    if CryptoProvider::get_default().is_none() {
        // Fails only when somebody else was faster, with the same provider.
        let _ = ring::default_provider().install_default();
    }
    Client::new()
}
