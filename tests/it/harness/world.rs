//! The cast that most scenarios of the daemon plane share.

use serde_json::json;
use uuid::Uuid;

use super::{Client, Gateway};

/// Two workspaces that must not see each other: `a` and `b` are of the first, `c` of the second.
pub struct World {
    pub w1: Uuid,
    pub w2: Uuid,
    /// Owner of the first workspace and of `r1`.
    pub a: Client,
    /// Member of the first.
    pub b: Client,
    /// Owner of the second workspace and of `r2`.
    pub c: Client,
    /// A daemon confined to the first workspace, `dm-1`.
    pub m1: Client,
    /// A daemon confined to the second.
    pub m2: Client,
    /// An enabled profile of the first workspace: `My Claude`, command `my-claude`, family `claude`.
    pub p1: Uuid,
    /// A disabled one.
    pub p2: Uuid,
    /// An enabled one of the second workspace.
    pub p3: Uuid,
    pub r1: Uuid,
    pub r2: Uuid,
    /// An agent on `r1`, and one on `r2`.
    pub g1: Uuid,
    pub g2: Uuid,
    /// An issue of the first workspace, and one of the second.
    pub i1: Uuid,
    pub i2: Uuid,
}

impl Gateway {
    pub async fn world(&self) -> World {
        let a = self.user();
        let b = self.join("Bea", "member").await;
        let c = self.stranger("Cyn").await;
        let (w1, w2) = (self.workspace, c.workspace);
        let disabled = json!({"display_name": "Off", "enabled": false});
        let r1 = a.register("dm-1", "claude").await;
        let r2 = c.register("dm-2", "claude").await;
        World {
            w1,
            w2,
            m1: self.daemon(w1, "dm-1").await,
            m2: self.daemon(w2, "dm-2").await,
            p1: self.seed_profile(w1, json!({})).await,
            p2: self.seed_profile(w1, disabled).await,
            p3: self.seed_profile(w2, json!({})).await,
            g1: self.seed_agent(r1, "Gus", json!({})).await,
            g2: self.seed_agent(r2, "Gil", json!({})).await,
            i1: self.seed_issue(w1, "Fix the build", json!({})).await,
            i2: self.seed_issue(w2, "Elsewhere", json!({})).await,
            a,
            b,
            c,
            r1,
            r2,
        }
    }
}
