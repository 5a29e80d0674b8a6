//! What operators do.

use serde_json::Value;
use uuid::Uuid;

use super::client::{Call, Client};

impl Client {
    /// Applies a whole plugin document, as TOML.
    pub fn apply(&self, document: &str) -> Call {
        self.put("/admin/plugins", document).header("content-type", "application/toml")
    }

    /// The running generation.
    pub async fn plugins(&self) -> Value {
        self.get("/admin/plugins").await.expect(200)
    }

    /// What plugins did to a task.
    pub async fn trace(&self, task: Uuid) -> Value {
        self.get(format!("/admin/tasks/{task}/enrichment")).await.expect(200)
    }
}
