//! Request bodies: decoded as the wire's clients expect, whatever their content type.
//!
//! A body struct has only `Option` fields (a missing member and `null` mean the same) or
//! [`Sent`] fields where a route tells `null` from absence. Numbers, texts and lists of a
//! wrong type make the whole body invalid.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::error::Error;
use crate::model::clean;

/// A JSON object. What follows the first value is ignored, top-level `null` is `{}`,
/// member names match in any case with the last one winning, and NUL characters and lone
/// surrogates are cleaned away.
pub struct Body<T>(pub T);

/// As [`Body`], on the routes where anything behind the first value makes it invalid.
pub struct StrictBody<T>(pub T);

/// As [`Body`], where a request may have no body at all.
pub struct OptionalBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let bytes = bytes(request, state).await?;
        decode(&bytes, false).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for StrictBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let bytes = bytes(request, state).await?;
        decode(&bytes, true).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for OptionalBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let bytes = bytes(request, state).await?;
        decode(if bytes.is_empty() { b"{}" } else { &bytes }, false).map(Self)
    }
}

/// The whole body, or why it could not be read.
pub async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Error> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Error::new(StatusCode::PAYLOAD_TOO_LARGE, "request body is too large; send less at once")
        } else {
            Error::bad_request("invalid request body")
        }
    })
}

/// Decodes an object; see [`Body`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8], strict: bool) -> Result<T, Error> {
    if let Some(decoded) = plain(bytes) {
        return Ok(decoded);
    }
    thorough(bytes, strict)
}

/// What most bodies are: an object with nothing in it to clean, to fold or to refuse. That is
/// decoded without being taken apart first; whatever else a body is, the thorough way decides.
fn plain<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    if is_plain(bytes) { serde_json::from_slice(bytes).ok() } else { None }
}

/// Whether it makes no difference if members that nobody asks for are passed over unread: they are
/// not deep, and have no number that is too large.
fn is_plain(bytes: &[u8]) -> bool {
    const DEEP: u32 = 32;
    const LONG: u32 = 18;
    let (mut in_text, mut depth, mut digits) = (false, 0, 0);
    for byte in bytes {
        match byte {
            0 | b'\\' | b'A'..=b'Z' | 0x80.. => return false,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'0'..=b'9' if digits == LONG => return false,
            b'0'..=b'9' => {
                digits += 1;
                continue;
            }
            b'.' => return false,
            b'e' if digits > 0 => return false,
            b'{' | b'[' if depth == DEEP => return false,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        digits = 0;
    }
    bytes.first() == Some(&b'{')
}

fn thorough<T: DeserializeOwned>(bytes: &[u8], strict: bool) -> Result<T, Error> {
    let invalid = || Error::bad_request("invalid request body");
    let map = object(bytes, strict).ok_or_else(invalid)?;
    serde_json::from_value(Value::Object(map)).map_err(|_| invalid())
}

fn object(bytes: &[u8], strict: bool) -> Option<Map<String, Value>> {
    let text = clean::json_text(bytes);
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let mut value = values.next()?.ok()?;
    if strict && !text[values.byte_offset()..].trim_matches([' ', '\t', '\n', '\r']).is_empty() {
        return None;
    }
    clean::value(&mut value);
    match value {
        Value::Null => Some(Map::new()),
        Value::Object(map) => Some(fold(map)),
        _ => None,
    }
}

/// Spells the members as the structs do. An exact spelling wins over another case.
fn fold(map: Map<String, Value>) -> Map<String, Value> {
    if map.keys().all(|key| !key.bytes().any(|byte| byte.is_ascii_uppercase())) {
        return map;
    }
    let (odd, mut folded): (Map<_, _>, Map<_, _>) =
        map.into_iter().partition(|(key, _)| key.bytes().any(|byte| byte.is_ascii_uppercase()));
    for (key, value) in odd {
        folded.entry(key.to_ascii_lowercase()).or_insert(value);
    }
    folded
}

/// A member on a route that tells three cases apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Sent<T> {
    /// The member is not there.
    #[default]
    Absent,
    Null,
    Value(T),
}

impl<T> Sent<T> {
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value, if one was sent.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }
}

/// Needs `#[serde(default)]` on the field.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Sent<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<T>::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop_assert_eq, proptest};
    use proptest::string::string_regex;

    use super::*;

    #[derive(Deserialize, PartialEq, Debug)]
    struct Sample {
        title: Option<String>,
        count: Option<i64>,
        #[serde(default)]
        parent: Sent<String>,
    }

    fn sample(body: &str) -> Option<Sample> {
        decode(body.as_bytes(), false).ok()
    }

    #[test]
    fn null_and_absence_are_alike_unless_a_field_asks() {
        assert_eq!(sample("null"), sample("{}"));
        assert_eq!(sample(r#"{"title":null}"#), sample("{}"));
        assert_eq!(sample(r#"{"parent":null}"#).map(|s| s.parent), Some(Sent::Null));
        assert_eq!(sample("{}").map(|s| s.parent), Some(Sent::Absent));
    }

    fn bodies() -> impl Strategy<Value = String> {
        const MEMBER: &str =
            r#""(title|Title|count|parent|x)":(null|1|1\.5|1e4|-0|1e400|"a"|"A"|"\\u0000"|\[1?\]|\{\}|true)"#;
        string_regex(&format!(r"\{{({MEMBER}(, ?{MEMBER}){{0,2}})?\}}x?")).unwrap()
    }

    proptest! {
        /// The short way is taken only where it comes to the same.
        #[test]
        fn both_ways_of_decoding_agree(body in bodies()) {
            if let Some(decoded) = plain::<Sample>(body.as_bytes()) {
                for strict in [false, true] {
                    let thorough = thorough::<Sample>(body.as_bytes(), strict).ok();
                    prop_assert_eq!(thorough.as_ref(), Some(&decoded));
                }
            }
        }
    }

    #[test]
    fn the_short_way_is_taken() {
        let decoded = plain::<Sample>(br#"{"title":"a","x":[1],"count":2,"parent":null}"#);
        let expected = Sample { title: Some("a".to_owned()), count: Some(2), parent: Sent::Null };
        assert_eq!(decoded, Some(expected));
        for left in [
            &br#"{"Title":"a"}"#[..],
            br#"{"title":"\u0000"}"#,
            b"[null,null]",
            b"null",
            "{\"ü\":1}".as_bytes(),
        ] {
            assert_eq!(plain::<Sample>(left), None);
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for body in [
            "",
            "[]",
            "1",
            "{",
            r#"{"count":1.0}"#,
            r#"{"count":1e2}"#,
            r#"{"title":5}"#,
            r#"{"count":1e400}"#,
            r#"{"x":1e400}"#,
            r#"{"x":[1.5e400]}"#,
        ] {
            assert_eq!(sample(body), None, "{body}");
        }
        assert_eq!(sample(&format!("{{\"x\":{}1{}}}", "[".repeat(5000), "]".repeat(5000))), None);
        assert_eq!(sample(&format!("{{\"x\":{}}}", "9".repeat(400))), None);
    }

    #[test]
    fn trailing_bytes_matter_only_where_they_are_told_to() {
        assert!(sample("{} x").is_some());
        assert!(decode::<Sample>(b"{} x", true).is_err());
        assert!(decode::<Sample>(b"{} \n", true).is_ok());
    }

    #[test]
    fn names_match_in_any_case() {
        assert_eq!(sample(r#"{"Title":"a"}"#).and_then(|s| s.title).as_deref(), Some("a"));
        assert_eq!(sample(r#"{"title":"b","TITLE":"a"}"#).and_then(|s| s.title).as_deref(), Some("b"));
    }
}
