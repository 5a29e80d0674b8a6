//! Text on its way in: what no database or client can hold is taken out, so that the
//! call succeeds and nothing downstream has to care.

use std::borrow::Cow;

use serde_json::Value;

/// Makes a request body parseable: invalid UTF-8 and escapes of lone surrogates become
/// U+FFFD.
pub fn json_text(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if !text.contains("\\u") {
        return text;
    }
    Cow::Owned(without_lone_surrogates(&text))
}

/// Takes NUL characters out of every string and key.
pub fn value(value: &mut Value) {
    match value {
        Value::String(text) => string(text),
        Value::Array(items) => items.iter_mut().for_each(self::value),
        Value::Object(map) => {
            if map.keys().any(|key| key.contains('\0')) {
                *map = std::mem::take(map)
                    .into_iter()
                    .map(|(key, value)| (key.replace('\0', ""), value))
                    .collect();
            }
            map.values_mut().for_each(self::value);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Takes NUL characters out.
pub fn string(text: &mut String) {
    if text.contains('\0') {
        text.retain(|c| c != '\0');
    }
}

fn without_lone_surrogates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let taken = match unit(escape) {
            Some(0xD800..=0xDBFF) => match unit(escape.get(6..).unwrap_or_default()) {
                Some(0xDC00..=0xDFFF) => {
                    out.push_str(&escape[..12]);
                    12
                }
                _ => {
                    out.push_str("\\ufffd");
                    6
                }
            },
            Some(0xDC00..=0xDFFF) => {
                out.push_str("\\ufffd");
                6
            }
            _ => {
                // Any other escape: keep it with the character it escapes, so that `\\u`
                // is not read as the start of a `\u`.
                let end = escape.char_indices().nth(2).map_or(escape.len(), |(index, _)| index);
                out.push_str(&escape[..end]);
                end
            }
        };
        rest = &escape[taken..];
    }
    out.push_str(rest);
    out
}

/// The UTF-16 unit that a `\uXXXX` at the start of `text` stands for.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_become_the_replacement_character_and_pairs_stay() {
        for (given, expected) in [
            (r#""a\ud800b""#, "a\u{fffd}b"),
            (r#""\udc00""#, "\u{fffd}"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\\ud800""#, "\\ud800"),
            (r#""\ud800""#, "\u{fffd}"),
            (r#""é\ud800""#, "é\u{fffd}"),
        ] {
            let parsed: Value = serde_json::from_str(&json_text(given.as_bytes())).unwrap_or_default();
            assert_eq!(parsed, Value::from(expected), "{given}");
        }
    }

    #[test]
    fn nul_characters_vanish_from_keys_and_values() {
        let mut given = serde_json::json!({"a\0": ["x\0y", {"\0": "\0"}]});
        value(&mut given);
        assert_eq!(given, serde_json::json!({"a": ["xy", {"": ""}]}));
    }
}
