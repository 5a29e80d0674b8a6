//! How a plugin says that it could not answer.

use crate::Failure;

impl Failure {
    /// A failure with a stable, short code for programs (`bad-config`) and a message that
    /// tells people what was wrong and what to do about it.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), attributes: Vec::new() }
    }
}
