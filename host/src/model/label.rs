//! Labels: coloured words on issues.

use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;

use super::ids::{LabelId, WorkspaceId};
use super::time::{Time, as_seconds};

/// The longest name, in Unicode scalar values.
const NAME_CHARS: usize = 32;

/// A row of `issue_label`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Label {
    pub id: LabelId,
    pub workspace_id: WorkspaceId,
    pub name: String,
    /// `#rrggbb`, in lower case.
    pub color: String,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum LabelError {
    #[error("name cannot contain tabs, newlines, or control characters")]
    Control,
    #[error("name is required")]
    NoName,
    #[error("name must be 32 characters or fewer")]
    LongName,
    #[error("color must be a 6-digit hex value like #3b82f6")]
    Color,
}

/// A name as it is kept: without white space around it.
pub fn name(sent: &str) -> Result<String, LabelError> {
    if sent.chars().any(char::is_control) {
        return Err(LabelError::Control);
    }
    let name = sent.trim();
    if name.is_empty() {
        return Err(LabelError::NoName);
    }
    if name.chars().count() > NAME_CHARS {
        return Err(LabelError::LongName);
    }
    Ok(name.to_owned())
}

/// What two names share that differ only in case.
pub fn name_key(name: &str) -> String {
    name.to_lowercase()
}

/// A colour as it is kept.
pub fn color(sent: &str) -> Result<String, LabelError> {
    let sent = sent.trim();
    let digits = sent.strip_prefix('#').unwrap_or(sent);
    let valid = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if valid { Ok(format!("#{}", digits.to_ascii_lowercase())) } else { Err(LabelError::Color) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_lines() {
        assert_eq!(name(" Bug ").as_deref(), Ok("Bug"));
        assert_eq!(name("a\tb"), Err(LabelError::Control));
        assert_eq!(name("bug\n"), Err(LabelError::Control));
        assert_eq!(name("  "), Err(LabelError::NoName));
        assert_eq!(name(&"é".repeat(32)), Ok("é".repeat(32)));
        assert_eq!(name(&"é".repeat(33)), Err(LabelError::LongName));
    }

    #[test]
    fn colours_are_six_digits() {
        assert_eq!(color("3B82F6").as_deref(), Ok("#3b82f6"));
        assert_eq!(color("#3b82f6").as_deref(), Ok("#3b82f6"));
        for wrong in ["", "#", "#fff", "##3b82f", "3b82f6a", "red", "é3b82"] {
            assert_eq!(color(wrong), Err(LabelError::Color), "{wrong}");
        }
    }
}
