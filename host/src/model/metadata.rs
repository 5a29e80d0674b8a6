//! What scripts keep with an issue: names, each with a text, a number or a truth value.

use serde_json::{Map, Value};
use thiserror::Error;

/// How many names an issue may have.
const KEYS: usize = 50;
/// How long the whole document may be.
const BYTES: usize = 8192;
/// How long a name may be.
const KEY_CHARS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum MetadataError {
    #[error("metadata cannot exceed 50 keys")]
    Keys,
    #[error("metadata exceeds the 8KB size limit")]
    Bytes,
}

/// `^[a-zA-Z_][a-zA-Z0-9_.-]{0,63}$`
pub fn is_key(text: &str) -> bool {
    let start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.len() <= KEY_CHARS && text.bytes().next().is_some_and(start) && text.bytes().skip(1).all(rest)
}

/// Neither `null` nor a structure.
pub fn is_value(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

/// The document with one value more, or another one.
pub fn with(stored: Value, key: &str, value: Value) -> Result<Map<String, Value>, MetadataError> {
    let mut document = document(stored);
    document.insert(key.to_owned(), value);
    if document.len() > KEYS {
        return Err(MetadataError::Keys);
    }
    if serde_json::to_vec(&document).map_or(usize::MAX, |text| text.len()) > BYTES {
        return Err(MetadataError::Bytes);
    }
    Ok(document)
}

/// What is stored, as the object it always is.
pub fn document(stored: Value) -> Map<String, Value> {
    match stored {
        Value::Object(document) => document,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_names() {
        for key in ["a", "_", "A.b-c_9", &"k".repeat(64)] {
            assert!(is_key(key), "{key}");
        }
        for other in ["", "9a", ".a", "-", "a b", "a/b", "é", &"k".repeat(65)] {
            assert!(!is_key(other), "{other}");
        }
    }

    #[test]
    fn a_document_is_bounded() {
        let full: Map<String, Value> = (0..50).map(|n| (format!("k{n}"), json!(n))).collect();
        assert!(with(Value::Object(full.clone()), "k1", json!(true)).is_ok());
        assert_eq!(with(Value::Object(full), "more", json!(1)), Err(MetadataError::Keys));
        assert!(with(json!({}), "a", json!("x".repeat(8000))).is_ok());
        assert_eq!(with(json!({}), "a", json!("x".repeat(8192))), Err(MetadataError::Bytes));
        assert_eq!(with(json!(null), "a", json!(1)).map(Value::Object), Ok(json!({"a": 1})));
    }
}
