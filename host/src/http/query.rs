//! Query strings, decoded as the wire's clients expect: of a name that comes twice the
//! first counts, an empty value is none, and NUL characters are cleaned away.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::Error;
use crate::model::clean;
use crate::model::ids::parse_uuid;
use uuid::Uuid;

/// The parameters of a route. `T` has only `Option<String>` fields; whatever else is sent
/// is ignored.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        decode(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn decode<T: DeserializeOwned>(query: &str) -> Result<T, Error> {
    let mut found = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let mut value = value.into_owned();
        clean::string(&mut value);
        found.entry(name.into_owned()).or_insert(Value::String(value));
    }
    found.retain(|_, value| value != "");
    serde_json::from_value(Value::Object(found)).map_err(|_| Error::bad_request("invalid query"))
}

/// The id that a parameter holds, if it was sent; 400 `invalid <name>` when it is none.
pub fn id(name: &str, sent: Option<&str>) -> Result<Option<Uuid>, Error> {
    sent.map(|text| parse_uuid(text).ok_or_else(|| Error::bad_request(format!("invalid {name}")))).transpose()
}

/// The ids of a comma-separated list; 400 `invalid <name>` when one of them is none.
pub fn ids(name: &str, sent: Option<&str>) -> Result<Option<Vec<Uuid>>, Error> {
    let invalid = || Error::bad_request(format!("invalid {name}"));
    sent.map(|list| list.split(',').map(|text| parse_uuid(text.trim()).ok_or_else(invalid)).collect())
        .transpose()
}

/// How many to give: what was asked for, at most `most`; `default` when that makes no sense.
pub fn limit(sent: Option<&str>, default: i64, most: i64) -> i64 {
    let asked = sent.and_then(|text| text.parse::<i64>().ok()).filter(|number| *number > 0);
    asked.unwrap_or(default).min(most)
}

/// How many to leave out; 0 when what was asked for makes no sense.
pub fn offset(sent: Option<&str>) -> i64 {
    sent.and_then(|text| text.parse::<i64>().ok()).filter(|number| *number > 0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, PartialEq, Debug)]
    struct Sample {
        a: Option<String>,
        b: Option<String>,
    }

    #[test]
    fn the_first_counts_and_an_empty_one_is_none() {
        let sample: Sample = decode("a=1&a=2&b=&c=%FF").unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(sample, Sample { a: Some("1".to_owned()), b: None });
        let sample: Sample = decode("a=x%00y&b=%2B").unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(sample, Sample { a: Some("xy".to_owned()), b: Some("+".to_owned()) });
    }

    #[test]
    fn senseless_pages_fall_back() {
        for (sent, expected) in [
            (None, 20),
            (Some("x"), 20),
            (Some("0"), 20),
            (Some("-1"), 20),
            (Some("7"), 7),
            (Some("1000"), 50),
        ] {
            assert_eq!(limit(sent, 20, 50), expected, "{sent:?}");
        }
        assert_eq!((offset(Some("-3")), offset(Some("3")), offset(Some("99999999999999999999"))), (0, 3, 0));
    }
}
