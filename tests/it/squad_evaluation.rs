//! What a squad's leader makes of a turn.

use macro_rules_attribute::apply;
use serde_json::json;
use uuid::Uuid;

use crate::comment_cast::{Cast, at, say, uuid};
use crate::harness::Gateway;

#[apply(on_both)]
async fn a_leader_records_what_it_made_of_a_turn(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let squad = cast.squad(cast.a).await;
    let issue = cast.issue("squad", squad).await;
    say(&cast.owner, issue, "anything to do?").await;
    let (leader, task) = cast.at_work(cast.a).await;
    let path = format!("/api/issues/{issue}/squad-evaluated");
    let body = json!({"outcome": "failed", "reason": "no access"});
    let recorded = leader.post(&path, body).await.expect(201);
    let keys: Vec<&String> = recorded.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["action", "created_at", "id"]);
    assert_eq!(recorded["action"], "squad_leader_evaluated");
    let sql = "SELECT actor_type, actor_id, action, details FROM activity_log WHERE id = $1";
    let row = gateway.row(sql, json!([recorded["id"]])).await;
    assert_eq!((&row["actor_type"], uuid(&row["actor_id"])), (&json!("agent"), cast.a));
    let details = json!({"squad_id": squad, "task_id": task, "outcome": "failed", "reason": "no access"});
    assert_eq!(row["details"], details);
    let timeline = cast.owner.get(format!("/api/issues/{issue}/timeline")).await.expect(200);
    let [said, done] = timeline.as_array().unwrap().as_slice() else { panic!("{timeline}") };
    assert_eq!((&said["type"], &said["content"]), (&json!("comment"), &json!("anything to do?")));
    assert_eq!((&done["type"], &done["action"]), (&json!("activity"), &json!("squad_leader_evaluated")));
    assert_eq!((&done["details"], &done["id"]), (&details, &recorded["id"]));
    let page = cast.owner.get(format!("/api/issues/{issue}/timeline?around={}", uuid(&said["id"])));
    let page = page.await.expect(200);
    assert_eq!((&page["entries"], &page["target_index"]), (&json!([done, said]), &json!(1)));

    leader.post("/api/issues/nope/squad-evaluated", "{").await.refused(404, "issue not found");
    leader.post(&path, "{").await.refused(400, "invalid request body");
    let outcomes = "outcome must be 'action', 'no_action', or 'failed'";
    leader.post(&path, json!({"outcome": "maybe"})).await.refused(400, outcomes);
    leader.post(&path, json!({})).await.refused(400, outcomes);

    let action = json!({"outcome": "action"});
    let others = "only the squad leader agent can record evaluations";
    cast.owner.post(&path, action.clone()).await.refused(403, others);
    let (worker, _, _) = cast.called(cast.b, cast.unassigned().await).await;
    worker.post(&path, action.clone()).await.refused(403, others);

    let plain = format!("/api/issues/{}/squad-evaluated", cast.unassigned().await);
    leader.post(&plain, action.clone()).await.refused(400, "issue is not assigned to a squad");
    let other = format!("/api/issues/{}/squad-evaluated", cast.issue("squad", squad).await);
    leader.post(&other, action.clone()).await.refused(400, "task does not belong to issue");
    let lost = format!("/api/issues/{}/squad-evaluated", cast.issue("squad", Uuid::new_v4()).await);
    leader.post(&lost, action).await.refused(404, "squad not found");
}

/// Domain item 266: what counts is the squad that the task is for.
#[apply(on_both)]
async fn a_leader_called_to_an_agents_issue_records_too(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let squad = cast.squad(cast.a).await;
    let issue = cast.issue("agent", cast.b).await;
    say(&cast.owner, issue, &at("squad", squad)).await;
    let (leader, _) = cast.at_work(cast.a).await;
    let path = format!("/api/issues/{issue}/squad-evaluated");
    leader.post(&path, json!({"outcome": "no_action"})).await.expect(201);
}
