//! What a browser carries to the service and back, so that nobody else's account can be
//! slipped in: signed, and valid for minutes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use thiserror::Error;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claims {
    #[serde(rename = "u")]
    pub user: String,
    #[serde(rename = "t")]
    pub toolkit: String,
    /// The way to log in that was offered.
    #[serde(rename = "a")]
    pub auth_config: String,
    /// In seconds since 1970; this second is still good.
    #[serde(rename = "e")]
    pub expires_at: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum StateError {
    #[error("the state cannot be read")]
    Malformed,
    #[error("the state is not ours")]
    BadSignature,
    #[error("the state is too old")]
    Expired,
}

pub fn sign(secret: &[u8], claims: &Claims) -> Result<String, serde_json::Error> {
    let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?);
    let signature = mac(secret, &body).map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
    Ok(format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

pub fn verify(secret: &[u8], token: &str, now: i64) -> Result<Claims, StateError> {
    let (body, signature) = token.split_once('.').ok_or(StateError::Malformed)?;
    if body.is_empty() || signature.is_empty() {
        return Err(StateError::Malformed);
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| StateError::BadSignature)?;
    // Compared in constant time.
    let genuine = mac(secret, body).is_some_and(|mac| mac.verify_slice(&signature).is_ok());
    if !genuine {
        return Err(StateError::BadSignature);
    }
    let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| StateError::Malformed)?;
    let claims: Claims = serde_json::from_slice(&body).map_err(|_| StateError::Malformed)?;
    if now > claims.expires_at { Err(StateError::Expired) } else { Ok(claims) }
}

/// Over the text as it stands, not over what it encodes. A key of any length will do.
fn mac(secret: &[u8], body: &str) -> Option<Hmac<Sha256>> {
    Hmac::<Sha256>::new_from_slice(secret).ok().map(|mac| mac.chain_update(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            user: "u".to_owned(),
            toolkit: "notion".to_owned(),
            auth_config: "ac_1".to_owned(),
            expires_at: 1000,
        }
    }

    #[test]
    fn a_state_is_good_until_its_second_has_passed() {
        let token = sign(b"secret", &claims()).unwrap_or_default();
        assert_eq!(verify(b"secret", &token, 0), Ok(claims()));
        assert_eq!(verify(b"secret", &token, 1000), Ok(claims()));
        assert_eq!(verify(b"secret", &token, 1001), Err(StateError::Expired));
        assert_eq!(verify(b"other", &token, 0), Err(StateError::BadSignature));
    }

    #[test]
    fn whatever_was_changed_is_not_ours() {
        let token = sign(b"secret", &claims()).unwrap_or_default();
        let (body, signature) = token.split_once('.').unwrap_or_default();
        let other = sign(b"secret", &Claims { toolkit: "gmail".to_owned(), ..claims() }).unwrap_or_default();
        let (other, _) = other.split_once('.').unwrap_or_default();
        for bad in
            [format!("{other}.{signature}"), format!("{body}.{}", &signature[1..]), format!("{token}A")]
        {
            assert_eq!(verify(b"secret", &bad, 0), Err(StateError::BadSignature), "{bad}");
        }
        for bad in ["", ".", body, &format!("{body}."), &format!(".{signature}")] {
            assert_eq!(verify(b"secret", bad, 0), Err(StateError::Malformed), "{bad}");
        }
    }
}
