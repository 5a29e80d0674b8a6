//! With whom an agent is shared: what may be written, by whom, and how it reads.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, id_of, over};

const OWNER_ONLY: &str = "only the agent owner can change access (permission_mode / invocation_targets)";

async fn create(client: &Client, runtime: Uuid, more: Value) -> Value {
    let name = format!("agent {}", Uuid::new_v4());
    client.post("/api/agents", over(json!({"name": name, "runtime_id": runtime}), more)).await.expect(201)
}

async fn put(client: &Client, agent: &Value, body: Value) -> crate::harness::Reply {
    client.put(format!("/api/agents/{}", id_of(agent)), body).await
}

/// Mode, derived visibility, and targets.
#[track_caller]
fn check(agent: &Value, mode: &str, visibility: &str, targets: &Value) {
    assert_eq!(
        (&agent["permission_mode"], &agent["visibility"], &agent["invocation_targets"]),
        (&json!(mode), &json!(visibility), targets)
    );
}

/// Domain items 181, 182 and 183. Every row of the table that says what a caller's input means, on creation.
/// User items 69 and 70.
#[apply(on_both)]
async fn each_way_to_say_it_means_what_the_table_says(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let (user, team) = (Uuid::new_v4(), Uuid::new_v4());
    let everybody = json!([{"target_type": "workspace", "target_id": gateway.workspace}]);
    let member = json!({"target_type": "member", "target_id": user});
    for (sent, mode, visibility, targets) in [
        (json!({}), "private", "private", json!([])),
        (json!({"visibility": "workspace"}), "public_to", "workspace", everybody.clone()),
        (json!({"visibility": "private"}), "private", "private", json!([])),
        (json!({"visibility": ""}), "private", "private", json!([])),
        (
            json!({"visibility": "workspace", "permission_mode": null}),
            "public_to",
            "workspace",
            everybody.clone(),
        ),
        (json!({"visibility": "workspace", "permission_mode": ""}), "private", "private", json!([])),
        (json!({"visibility": "workspace", "permission_mode": "private"}), "private", "private", json!([])),
        (
            json!({"permission_mode": "private", "invocation_targets": [member]}),
            "private",
            "private",
            json!([]),
        ),
        (json!({"invocation_targets": [member]}), "private", "private", json!([])),
        (json!({"permission_mode": "public_to"}), "public_to", "workspace", everybody.clone()),
        (
            json!({"permission_mode": "public_to", "invocation_targets": []}),
            "public_to",
            "workspace",
            everybody.clone(),
        ),
        (
            json!({"permission_mode": "public_to", "invocation_targets": [{"target_type": "workspace", "target_id": user}]}),
            "public_to",
            "workspace",
            everybody.clone(),
        ),
        (
            json!({"permission_mode": "public_to", "invocation_targets": [member, member]}),
            "public_to",
            "private",
            json!([member]),
        ),
        (
            json!({"permission_mode": "public_to", "invocation_targets": [{"target_type": "workspace"},
            {"target_type": "team", "target_id": team}, member]}),
            "public_to",
            "workspace",
            json!([member, {"target_type": "team", "target_id": team}, everybody[0]]),
        ),
    ] {
        let agent = create(&ada, runtime, sent.clone()).await;
        println!("{sent}");
        check(&agent, mode, visibility, &targets);
        let stored = gateway.value("SELECT visibility FROM agent WHERE id = $1", json!([agent["id"]])).await;
        assert_eq!(stored, visibility, "{sent}");
    }
}

/// Domain item 181, for what is refused. What is no target is refused with the documented words, before the runtime is looked at.
#[apply(on_both)]
async fn what_is_no_target_is_refused(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let agent = create(&ada, runtime, json!({})).await;
    for (target, message) in [
        (json!({"target_type": "member"}), "member invocation target requires target_id"),
        (
            json!({"target_type": "member", "target_id": "x"}),
            "member invocation target_id is not a valid uuid",
        ),
        (json!({"target_type": "team", "target_id": null}), "team invocation target requires target_id"),
        (json!({"target_type": "team", "target_id": "x"}), "team invocation target_id is not a valid uuid"),
        (json!({"target_type": "all"}), "invocation target_type must be 'workspace', 'member', or 'team'"),
        (json!({}), "invocation target_type must be 'workspace', 'member', or 'team'"),
        (json!(5), "invalid request body"),
    ] {
        let sent = json!({"permission_mode": "public_to", "invocation_targets": [target]});
        let new = over(sent.clone(), json!({"name": "x", "runtime_id": Uuid::new_v4()}));
        ada.post("/api/agents", new).await.refused(400, message);
        put(&ada, &agent, sent).await.refused(400, message);
    }
    let crowd = vec![json!({"target_type": "member", "target_id": Uuid::new_v4()}); 1001];
    put(&ada, &agent, json!({"permission_mode": "public_to", "invocation_targets": crowd}))
        .await
        .refused(400, "invocation_targets may name at most 1000 targets");
    check(&ada.get(format!("/api/agents/{}", id_of(&agent))).await.ok(), "private", "private", &json!([]));
}

/// Domain item 188. The owner replaces the whole set; targets alone go with the mode there is.
#[apply(on_both)]
async fn the_owner_replaces_the_sharing(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let member = |id: Uuid| json!({"target_type": "member", "target_id": id});
    let everybody = json!({"target_type": "workspace", "target_id": gateway.workspace});
    let agent = create(&ada, runtime, json!({})).await;
    for (sent, mode, visibility, targets) in [
        // Targets on a private agent are ignored.
        (json!({"invocation_targets": [member(one)]}), "private", "private", json!([])),
        (
            json!({"permission_mode": "public_to", "invocation_targets": [member(one)]}),
            "public_to",
            "private",
            json!([member(one)]),
        ),
        (json!({"invocation_targets": [member(two)]}), "public_to", "private", json!([member(two)])),
        (json!({"name": "Else"}), "public_to", "private", json!([member(two)])),
        (json!({"visibility": "workspace"}), "public_to", "workspace", json!([everybody])),
        (json!({"permission_mode": null}), "private", "private", json!([])),
        (json!({"permission_mode": "public_to"}), "public_to", "workspace", json!([everybody])),
        (json!({"visibility": "private"}), "private", "private", json!([])),
    ] {
        println!("{sent}");
        check(&put(&ada, &agent, sent).await.expect(200), mode, visibility, &targets);
    }
}

/// Domain items 184, 185, 186 and 187. An admin who is not the owner may send back what is there, and changes nothing else.
/// User item 73.
#[apply(on_both)]
async fn an_admin_may_only_send_back_what_is_there(gateway: &Gateway) {
    let ada = gateway.user();
    let cat = gateway.join("Cat", "admin").await;
    let runtime = ada.register("dm", "claude").await;
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let member = |id: Uuid| json!({"target_type": "member", "target_id": id});
    let shared = json!({"permission_mode": "public_to", "invocation_targets": [member(one), member(two)]});
    let agent = create(&ada, runtime, shared.clone()).await;
    let targets = agent["invocation_targets"].clone();
    for sent in [
        shared,
        json!({"permission_mode": "public_to", "invocation_targets": [member(two), member(one)]}),
        // An older client was shown a private agent.
        json!({"visibility": "private"}),
        json!({"visibility": "nonsense"}),
        json!({"permission_mode": "nonsense"}),
        json!({"permission_mode": "public_to", "invocation_targets": [{"target_type": "x"}]}),
    ] {
        let renamed = over(sent, json!({"name": format!("agent {}", Uuid::new_v4())}));
        let name = renamed["name"].clone();
        let answer = put(&cat, &agent, renamed).await.expect(200);
        assert_eq!(answer["name"], name);
        check(&answer, "public_to", "private", &targets);
    }
    for sent in [
        json!({"visibility": "workspace"}),
        json!({"permission_mode": "private"}),
        json!({"permission_mode": null}),
        json!({"permission_mode": "public_to"}),
        json!({"permission_mode": "public_to", "invocation_targets": [member(one)]}),
        json!({"invocation_targets": [member(one)]}),
    ] {
        let renamed = over(sent, json!({"name": "never"}));
        put(&cat, &agent, renamed).await.refused(403, OWNER_ONLY);
    }
    let private = create(&ada, runtime, json!({})).await;
    put(&cat, &private, json!({"visibility": "workspace"})).await.refused(403, OWNER_ONLY);
    put(&cat, &private, json!({"visibility": "private"})).await.expect(200);
    put(&cat, &private, json!({"permission_mode": null})).await.expect(200);
    let never = gateway.rows("SELECT id FROM agent WHERE name = 'never'", json!([])).await;
    assert!(never.is_empty(), "{never:?}");
}
