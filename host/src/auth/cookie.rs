//! The login as a browser keeps it: a cookie that scripts cannot read, and beside it one
//! whose value a script has to send back, so that no other site can act for the person.

use std::fmt::Write;

use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::Sha256;

use super::token::NoRandomness;

/// Holds the token.
pub const LOGIN: &str = "multica_auth";
/// Holds a valid CSRF token.
pub const CSRF: &str = "multica_csrf";

/// The value of a cookie in a `Cookie` header.
pub fn find<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value).filter(|value| !value.is_empty())
}

/// A fresh CSRF token for a login: a nonce, and its HMAC under the login's own token.
pub fn mint_csrf(login: &str) -> Result<String, NoRandomness> {
    let mut nonce = [0_u8; 16];
    SysRng.try_fill_bytes(&mut nonce).map_err(|_| NoRandomness)?;
    let mac = keyed(login).map(|mac| mac.chain_update(nonce).finalize().into_bytes());
    let mac = mac.ok_or(NoRandomness)?;
    Ok(format!("{}.{}", hex::encode(nonce), hex::encode(mac)))
}

/// Whether a CSRF token belongs to the login.
pub fn is_csrf_of(login: &str, sent: &str) -> bool {
    let Some((nonce, mac)) = sent.split_once('.') else { return false };
    let (Ok(nonce), Ok(mac)) = (hex::decode(nonce), hex::decode(mac)) else { return false };
    let Some(expected) = keyed(login) else { return false };
    !nonce.is_empty() && expected.chain_update(&nonce).verify_slice(&mac).is_ok()
}

fn keyed(login: &str) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(login.as_bytes()).ok()
}

/// How a cookie is set.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub lifetime: TimeDelta,
    /// Whether browsers reach the product by https alone.
    pub secure: bool,
}

impl Setting {
    /// The `Set-Cookie` that makes a browser keep a value.
    pub fn keep(self, name: &str, value: &str) -> String {
        self.text(name, value, self.lifetime.num_seconds())
    }

    /// The one that makes it forget.
    pub fn forget(self, name: &str) -> String {
        self.text(name, "", 0)
    }

    fn text(self, name: &str, value: &str, seconds: i64) -> String {
        let mut text = format!("{name}={value}; Path=/; Max-Age={seconds}; SameSite=Strict");
        if name == LOGIN {
            text.push_str("; HttpOnly");
        }
        if self.secure {
            let _ = write!(text, "; Secure");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csrf_token_belongs_to_one_login() {
        let token = mint_csrf("login").unwrap_or_default();
        assert!(is_csrf_of("login", &token) && !is_csrf_of("other", &token));
        // HMAC-SHA256 of the bytes 01 02 under the key "login".
        assert!(!is_csrf_of("login", "0102.00"));
        for nonsense in ["", ".", "a.b", "0102", "0102."] {
            assert!(!is_csrf_of("login", nonsense), "{nonsense}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let header = "a=1; multica_authx=2;multica_auth=x.y=z; multica_auth=late";
        assert_eq!(find(header, LOGIN), Some("x.y=z"));
        assert_eq!(find("multica_auth=", LOGIN), None);
        assert_eq!(find("", LOGIN), None);
    }

    #[test]
    fn scripts_read_one_of_the_two() {
        let setting = Setting { lifetime: TimeDelta::hours(1), secure: true };
        assert_eq!(
            setting.keep(LOGIN, "t"),
            "multica_auth=t; Path=/; Max-Age=3600; SameSite=Strict; HttpOnly; Secure"
        );
        assert_eq!(
            Setting { secure: false, ..setting }.forget(CSRF),
            "multica_csrf=; Path=/; Max-Age=0; SameSite=Strict"
        );
    }
}
