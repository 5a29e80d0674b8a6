//! Signed tokens that a login hands out. Any HMAC is accepted, HS256 is minted.

use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::model::ids::UserId;
use crate::model::time::Time;
use crate::model::workspace::User;

/// Signs and checks with one secret.
#[derive(Clone)]
pub struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    lifetime: TimeDelta,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum JwtError {
    /// Unreadable, signed by somebody else, or not valid now.
    #[error("invalid token")]
    Invalid,
    /// Ours, and yet names no user.
    #[error("invalid claims")]
    Claims,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: UserId,
    email: &'a str,
    name: &'a str,
    iat: i64,
    exp: i64,
}

impl Keys {
    /// `lifetime` is that of tokens minted here.
    pub fn new(secret: &SecretString, lifetime: TimeDelta) -> Self {
        let secret = secret.expose_secret().as_bytes();
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            lifetime,
        }
    }

    /// How long a minted token is valid.
    pub fn lifetime(&self) -> TimeDelta {
        self.lifetime
    }

    pub fn mint(&self, user: &User, now: Time) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = Claims {
            sub: user.id,
            email: &user.email,
            name: &user.name,
            iat: now.timestamp(),
            exp: (now + self.lifetime).timestamp(),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }

    /// Whose token it is. The user may be gone since.
    pub fn verify(&self, token: &str, now: Time) -> Result<UserId, JwtError> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        rules.required_spec_claims.clear();
        rules.validate_aud = false;
        // Checked below, by the gateway's own clock.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        let claims: Map<String, Value> =
            decode(token, &self.decoding, &rules).map_err(|_| JwtError::Invalid)?.claims;
        if !holds_at(&claims, now) {
            return Err(JwtError::Invalid);
        }
        claims.get("sub").and_then(Value::as_str).and_then(UserId::parse).ok_or(JwtError::Claims)
    }
}

/// `exp` is the first instant at which a token is over, `nbf` the first at which it holds;
/// neither has to be there.
fn holds_at(claims: &Map<String, Value>, now: Time) -> bool {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a claim may have a fraction, and microseconds fit for ages"
    )]
    let now = now.timestamp_micros() as f64 / 1e6;
    let instant = |name: &str| claims.get(name).filter(|value| !value.is_null()).map(Value::as_f64);
    let before_end = instant("exp").is_none_or(|at| at.is_some_and(|at| now < at));
    let after_start = instant("nbf").is_none_or(|at| at.is_some_and(|at| at <= now));
    before_end && after_start
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    const USER: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

    fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
            .unwrap_or_default()
    }

    #[test]
    fn only_what_was_signed_and_holds_now_names_a_user() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap_or_default();
        let keys = Keys::new(&"secret".into(), TimeDelta::days(30));
        let check = |token: &str, expected: Result<&str, JwtError>| {
            assert_eq!(
                keys.verify(token, now).map(|id| id.to_string()),
                expected.map(str::to_owned),
                "{token}"
            );
        };
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            check(&signed(algorithm, "secret", &json!({"sub": USER})), Ok(USER));
        }
        check(&signed(Algorithm::HS256, "other", &json!({"sub": USER})), Err(JwtError::Invalid));
        // {"alg":"none"} and no signature.
        check("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", Err(JwtError::Invalid));
        for (claims, expected) in [
            (json!({"sub": USER, "exp": 1_000_001, "nbf": 1_000_000, "aud": "x"}), Ok(USER)),
            (json!({"sub": USER, "exp": 1_000_000}), Err(JwtError::Invalid)),
            (json!({"sub": USER, "nbf": 1_000_000.5}), Err(JwtError::Invalid)),
            (json!({"sub": USER, "exp": "soon"}), Err(JwtError::Invalid)),
            (json!({"sub": "  "}), Err(JwtError::Claims)),
            (json!({"sub": 7}), Err(JwtError::Claims)),
            (json!({"sub": "somebody"}), Err(JwtError::Claims)),
            (json!({}), Err(JwtError::Claims)),
        ] {
            check(&signed(Algorithm::HS256, "secret", &claims), expected);
        }
        for nonsense in ["", "x", "a.b.c", "mat_0123"] {
            check(nonsense, Err(JwtError::Invalid));
        }
    }
}
