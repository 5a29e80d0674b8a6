//! `/api/inbox`: what a person was told, read and put away.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, ahead, check_values, id_of};

async fn tell(gateway: &Gateway, to: &Client, more: Value) -> Uuid {
    let row = json!({
        "workspace_id": gateway.workspace, "recipient_type": "member", "recipient_id": to.id, "type": "comment",
        "title": "T", "details": {"a": 1},
    });
    gateway.seed("inbox_item", row, more).await
}

async fn listed(client: &Client) -> Vec<Uuid> {
    let list = client.get("/api/inbox").await.expect(200);
    list.as_array().unwrap().iter().map(id_of).collect()
}

/// Items are one's own: nobody else lists, reads or archives them, or hears of it.
#[apply(on_both)]
async fn an_inbox_is_its_owners(gateway: &Gateway) {
    let world = gateway.world().await;
    let (a, b) = (&world.a, &world.b);
    let first = json!({"issue_id": world.i1, "created_at": ahead(-20)});
    let first = tell(gateway, b, first).await;
    let second = tell(gateway, b, json!({"issue_id": world.i1, "created_at": ahead(-10)})).await;
    let lone = tell(gateway, b, json!({"body": "B", "severity": "attention", "created_at": ahead(-5)})).await;
    tell(gateway, a, json!({})).await;
    assert_eq!(listed(b).await, [lone, second, first]);
    let list = b.get("/api/inbox/").await.expect(200);
    check_values(
        &list[1],
        &json!({
            "workspace_id": world.w1, "recipient_type": "member", "recipient_id": b.id, "type": "comment",
            "severity": "info", "issue_id": world.i1, "title": "T", "body": null, "read": false,
            "archived": false, "issue_status": "todo", "actor_type": null, "actor_id": null,
            "details": {"a": 1},
        }),
    );
    assert_eq!(b.get("/api/inbox/unread-count").await.expect(200), json!({"count": 3}));
    let summary = json!([{"workspace_id": world.w1, "count": 2}]);
    assert_eq!(b.get("/api/inbox/unread-summary").await.expect(200), summary, "an issue counts once");

    let (mut others, mut own) = (a.watch().await, b.watch().await);
    for what in ["read", "archive"] {
        a.post(format!("/api/inbox/{first}/{what}"), ()).await.refused(404, "inbox item not found");
        b.post(format!("/api/inbox/x/{what}"), ()).await.refused(400, "invalid inbox item id");
        world.c.post(format!("/api/inbox/{first}/{what}"), ()).await.refused(404, "inbox item not found");
    }
    let read = b.post(format!("/api/inbox/{second}/read"), ()).await.expect(200);
    assert_eq!((&read["read"], &read["issue_status"]), (&json!(true), &json!("todo")));
    assert_eq!(own.expect("inbox:read").await, json!({"item_id": second, "recipient_id": b.id}));
    // The newest item of the issue is read, and so is the issue.
    let summary = json!([{"workspace_id": world.w1, "count": 1}]);
    assert_eq!(b.get("/api/inbox/unread-summary").await.expect(200), summary);
    assert_eq!(b.get("/api/inbox/unread-count").await.expect(200), json!({"count": 2}));

    let archived = b.post(format!("/api/inbox/{first}/archive"), ()).await.expect(200);
    assert_eq!(archived["archived"], true);
    let told = json!({"item_id": first, "issue_id": world.i1, "recipient_id": b.id});
    assert_eq!(own.expect("inbox:archived").await, told);
    assert_eq!(listed(b).await, [lone], "all that was about the issue");
    others.send(json!({"type": "ping"})).await;
    assert_eq!(others.next().await, json!({"type": "pong"}), "nothing of it");
    gateway.anonymous().get("/api/inbox").await.refused(401, "missing authorization");
}

/// Many items at once, and only those that are meant.
#[apply(on_both)]
async fn an_inbox_is_swept(gateway: &Gateway) {
    let world = gateway.world().await;
    let b = &world.b;
    let over_issue = gateway.seed_issue(world.w1, "Over", json!({"status": "done"})).await;
    let about = |issue: Uuid| json!({"issue_id": issue});
    tell(gateway, b, about(over_issue)).await;
    let open = tell(gateway, b, about(world.i1)).await;
    let read = tell(gateway, b, json!({"read": true})).await;
    let other = tell(gateway, &world.a, about(over_issue)).await;
    let mut own = b.watch().await;
    let mut sweep = async |what: &str, event: &str, count: i64| {
        let answer = b.post(format!("/api/inbox/{what}"), ()).await.expect(200);
        assert_eq!(answer, json!({"count": count}), "{what}");
        assert_eq!(own.expect(event).await, json!({"recipient_id": b.id, "count": count}), "{what}");
    };
    sweep("archive-completed", "inbox:batch-archived", 1).await;
    let mut left = vec![open, read];
    left.sort_unstable();
    let mut found = listed(b).await;
    found.sort_unstable();
    assert_eq!(found, left);
    sweep("archive-all-read", "inbox:batch-archived", 1).await;
    assert_eq!(listed(b).await, [open]);
    sweep("mark-all-read", "inbox:batch-read", 1).await;
    sweep("mark-all-read", "inbox:batch-read", 0).await;
    assert_eq!(listed(b).await, [open]);
    sweep("archive-all", "inbox:batch-archived", 1).await;
    assert!(listed(b).await.is_empty());
    assert_eq!(listed(&world.a).await, [other]);
}
