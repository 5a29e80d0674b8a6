//! Takes secrets out of what agents print, before it is stored or shown.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// The rules in order; each works on what the one before it left. White space is ASCII
/// (tab, LF, FF, CR, space) and word edges are ASCII, as clients of the wire expect.
const RULES: [(&str, &str); 11] = [
    (r"(?-u:\b)AKIA[0-9A-Z]{16}(?-u:\b)", "[REDACTED AWS KEY]"),
    (
        r"(?i:aws_secret_access_key|secret_?access_?key)[\t\n\f\r ]*[=:][\t\n\f\r ]*[A-Za-z0-9/+=]{40}",
        "[REDACTED AWS SECRET]",
    ),
    (
        r"(?s)-----BEGIN[A-Z\t\n\f\r ]*PRIVATE KEY-----.*?-----END[A-Z\t\n\f\r ]*PRIVATE KEY-----",
        "[REDACTED PRIVATE KEY]",
    ),
    (r"(?-u:\b)(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9_]{36,255}(?-u:\b)", "[REDACTED GITHUB TOKEN]"),
    (r"(?-u:\b)sk-[A-Za-z0-9_-]{20,}(?-u:\b)", "[REDACTED API KEY]"),
    (r"(?-u:\b)xox[bporas]-[A-Za-z0-9-]{10,}(?-u:\b)", "[REDACTED SLACK TOKEN]"),
    (r"(?-u:\b)glpat-[A-Za-z0-9_-]{20,}(?-u:\b)", "[REDACTED GITLAB TOKEN]"),
    (r"(?-u:\b)ey[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?-u:\b)", "[REDACTED JWT]"),
    (r"(?-u:\b)(?i:bearer)[\t\n\f\r ]+[A-Za-z0-9._~+/-]+=*(?-u:\b)", "Bearer [REDACTED]"),
    (
        r"(?i:postgres|mysql|mongodb|redis|amqp)(?i:ql)?://[^:\t\n\f\r ]+:[^@\t\n\f\r ]+@",
        "[REDACTED CONNECTION STRING]@",
    ),
    (
        r"(?i:API_KEY|API_SECRET|SECRET_KEY|SECRET|ACCESS_TOKEN|AUTH_TOKEN|PRIVATE_KEY|DATABASE_URL|DB_PASSWORD|DB_URL|REDIS_URL|PASSWORD|TOKEN)[\t\n\f\r ]*[=:][\t\n\f\r ]*[^\t\n\f\r ]+",
        "[REDACTED CREDENTIAL]",
    ),
];

static COMPILED: LazyLock<Vec<(Regex, &'static str)>> =
    LazyLock::new(|| RULES.iter().filter_map(|(rule, with)| Some((Regex::new(rule).ok()?, *with))).collect());

/// The gateway's own home directory and the form it is shown in.
static HOME: LazyLock<Option<(String, String)>> = LazyLock::new(|| {
    let home = std::env::var("HOME").ok().filter(|home| home.len() > 1)?;
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty() && home.contains(user.as_str()))?;
    let shown = home.replacen(&user, "****", 1);
    Some((home, shown))
});

/// The text without what looks like a secret.
pub fn text(text: &str) -> String {
    let mut out = std::borrow::Cow::Borrowed(text);
    for (regex, with) in COMPILED.iter() {
        if let std::borrow::Cow::Owned(replaced) = regex.replace_all(&out, regex::NoExpand(with)) {
            out = std::borrow::Cow::Owned(replaced);
        }
    }
    match HOME.as_ref() {
        Some((home, shown)) if out.contains(home.as_str()) => out.replace(home.as_str(), shown),
        _ => out.into_owned(),
    }
}

/// Redacts the top-level string values of a tool's input; nested values pass unchanged.
pub fn top_level(input: &mut Value) {
    if let Value::Object(map) = input {
        for value in map.values_mut() {
            if let Value::String(inner) = value {
                *inner = text(inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors_hold() {
        assert_eq!(COMPILED.len(), RULES.len(), "every rule compiles");
        for (given, expected) in [
            ("key AKIAIOSFODNN7EXAMPLE end", "key [REDACTED AWS KEY] end"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer [REDACTED]"),
            (
                "Authorization: Bearer eyJhbGciOiJI.eyJzdWIiOiIx.abcdefghijkl",
                "Authorization: Bearer [REDACTED JWT]",
            ),
            ("postgres://u:p@db/x", "[REDACTED CONNECTION STRING]@db/x"),
            ("DATABASE_URL=postgres://u:p@db/x", "[REDACTED CREDENTIAL] CONNECTION STRING]@db/x"),
            ("MULTICA_TOKEN=mul_abc next", "MULTICA_[REDACTED CREDENTIAL] next"),
            ("password: hunter2 ok", "[REDACTED CREDENTIAL] ok"),
            ("tokens: 5", "tokens: 5"),
            ("token count: 5", "token count: 5"),
            ("sk-short", "sk-short"),
        ] {
            assert_eq!(text(given), expected);
        }
    }

    mod laws {
        use proptest::prelude::*;

        use super::super::*;

        /// Something that each of the rules is for, and what must not be left of it.
        fn secret() -> impl Strategy<Value = (String, String)> {
            let whole = |pattern: &'static str| pattern.prop_map(|secret: String| (secret.clone(), secret));
            prop_oneof![
                whole("AKIA[0-9A-Z]{16}"),
                "[A-Za-z0-9/+=]{40}".prop_map(|key| (format!("aws_secret_access_key = {key}"), key)),
                "[A-Za-z0-9\\n]{20,60}".prop_map(|key| {
                    (format!("-----BEGIN RSA PRIVATE KEY-----\n{key}\n-----END RSA PRIVATE KEY-----"), key)
                }),
                whole("gh[pousr]_[A-Za-z0-9]{36,60}"),
                whole("sk-[A-Za-z0-9]{20,40}"),
                whole("xox[bporas]-[A-Za-z0-9]{10,20}"),
                whole("glpat-[A-Za-z0-9]{20,30}"),
                whole("ey[A-Za-z0-9]{10,20}[.][A-Za-z0-9]{10,20}[.][A-Za-z0-9]{10,20}"),
                "[A-Za-z0-9]{12,20}".prop_map(|token| (format!("BEARER {token}"), token)),
                "[A-Za-z0-9]{12,20}"
                    .prop_map(|word| (format!("postgresql://ann:{word}@db/x"), format!(":{word}@"))),
                ("(API_KEY|api_secret|Token|PASSWORD|Redis_Url)", "[A-Za-z0-9]{12,20}")
                    .prop_map(|(name, word)| (format!("{name}: {word}"), word)),
            ]
        }

        /// Text that nothing is to be taken out of.
        fn prose() -> impl Strategy<Value = String> {
            "[a-df-hjlnqruvwyzéß .,!?()\\n]{0,20}"
        }

        proptest! {
            /// A secret does not get through, whatever stands around it.
            #[test]
            fn no_secret_gets_through(before in prose(), (shown, hidden) in secret(), after in prose()) {
                let given = format!("{before} {shown} {after}");
                let left = text(&given);
                prop_assert!(!left.contains(&hidden), "{} became {}", given, left);
                prop_assert!(left.starts_with(&before) && left.ends_with(&after), "{} became {}", given, left);
            }

            /// Text without one is the same, byte for byte.
            #[test]
            fn other_text_is_left_alone(given in prose()) {
                prop_assert_eq!(text(&given), given);
            }

            /// In a document only what stands at the top is looked at, and names are names.
            #[test]
            fn a_documents_form_is_kept((shown, _) in secret(), given in prose()) {
                let document = serde_json::json!({"a": given, &shown: shown, "deep": {"a": shown}, "n": 1});
                let mut left = document.clone();
                top_level(&mut left);
                prop_assert_ne!(&left[&shown], &document[&shown]);
                left[&shown] = document[&shown].clone();
                prop_assert_eq!(left, document);
            }
        }
    }
}
