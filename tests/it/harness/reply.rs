//! An answer, and what a test may say of it in one line.

use std::ops::Index;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// `null` when the text is no JSON.
    pub body: Value,
    /// What was asked, for messages.
    pub call: String,
}

impl Reply {
    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self}");
        self.body
    }

    /// The body, when the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        self.body
    }

    /// A refusal: this status, and a body with the one member `error`.
    #[track_caller]
    pub fn refused(&self, status: u16, error: &str) {
        assert_eq!((self.status, &self.body), (status, &json!({"error": error})), "{self}");
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Index<&str> for Reply {
    type Output = Value;

    fn index(&self, member: &str) -> &Value {
        &self.body[member]
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown: String = self.text.chars().take(2000).collect();
        write!(f, "{} was answered {}: {shown}", self.call, self.status)
    }
}

/// Every member of `expected` is in `body` with this value, `null` included.
#[track_caller]
pub fn check_values(body: &Value, expected: &Value) {
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(body.get(member), Some(value), "`{member}` in {body}");
    }
}

/// Every member of `expected` has this value in `body`; one that is `null` is absent.
#[track_caller]
pub fn check_members(body: &Value, expected: &Value) {
    for (member, value) in expected.as_object().unwrap() {
        let found = body.get(member);
        let holds = if value.is_null() { found.is_none() } else { found == Some(value) };
        assert!(holds, "`{member}` should be {value} in {body}");
    }
}
