//! What the plugin tests share: the components of this repository, documents that name them,
//! and somebody who claims.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, World, id_of};

/// The three that every gateway has.
pub const BUILT_IN: &str = r#"
[[plugin]]
name = "repo-resolution"
source = "builtin:repo-resolution"

[[plugin]]
name = "mcp-overlay"
source = "builtin:mcp-overlay"

[[plugin]]
name = "squad-briefing"
source = "builtin:squad-briefing"
"#;

/// The path of a component that the host's build made.
pub fn component(guest: &str) -> String {
    format!("{}/{guest}.wasm", env!("SWITCHYARD_GUESTS"))
}

/// A `[[plugin]]` that runs a guest of this repository; `more` are further lines of it.
pub fn plugin(name: &str, guest: &str, more: &str) -> String {
    format!("\n[[plugin]]\nname = \"{name}\"\nsource = \"file:{}\"\n{more}\n", component(guest))
}

/// The built-in plugins and one more.
pub fn beside_built_in(guest: &str, more: &str) -> String {
    format!("{BUILT_IN}{}", plugin("extra", guest, more))
}

/// Somebody with an agent, whose tasks are seeded and claimed one after the other.
pub struct Scene<'a> {
    pub gateway: &'a Gateway,
    pub world: World,
}

impl<'a> Scene<'a> {
    pub async fn new(gateway: &'a Gateway) -> Self {
        Self { gateway, world: gateway.world().await }
    }

    /// The owner of the runtime, whose daemon it plays.
    pub fn daemon(&self) -> &Client {
        &self.world.a
    }

    pub async fn apply(&self, document: &str) -> Value {
        self.gateway.admin().apply(document).await.expect(200)
    }

    /// A task on a new issue, claimed; there must be an answer.
    pub async fn claimed(&self) -> Value {
        self.gateway.seed_issue_task(self.world.g1, json!({})).await;
        self.daemon().claim_one(self.world.r1).await
    }

    /// A claim that must give nothing, and the task it was about.
    pub async fn claim_for_nothing(&self) -> Uuid {
        let task = self.gateway.seed_issue_task(self.world.g1, json!({})).await;
        assert_eq!(self.daemon().claim(self.world.r1).await, None);
        task
    }

    /// Runs a claimed task to its end, so that the agent has room for the next.
    pub async fn end(&self, task: &Value) {
        let id = id_of(task);
        self.daemon().start(id).await;
        self.daemon().complete(id, json!({"output": "done"})).await;
    }

    /// What the plugin called `extra` did to the task.
    pub async fn step(&self, task: Uuid) -> Value {
        step(&self.gateway.admin().trace(task).await, "extra")
    }
}

/// What one plugin did, in a trace.
pub fn step(trace: &Value, plugin: &str) -> Value {
    let steps = trace["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["plugin"] == plugin);
    step.unwrap_or_else(|| panic!("{plugin} is not in {trace}")).clone()
}

pub fn instructions(task: &Value) -> &str {
    task["agent"]["instructions"].as_str().unwrap()
}

/// Waits for something that the gateway does on its own account, which nobody announces.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_mins(1);
    while !holds().await {
        assert!(tokio::time::Instant::now() < patience, "{what}: it never came to that");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
