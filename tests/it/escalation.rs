//! Somebody stands by for an agent that does not react.

use chrono::{DateTime, Utc};
use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::comment_cast::{Cast, answer, at, say, uuid};
use crate::harness::{Gateway, ahead};

/// An issue given to `b`, on which `a` has said something.
async fn waiting(cast: &Cast<'_>) -> (Uuid, Uuid) {
    let issue = cast.issue("agent", cast.b).await;
    let said = cast.gateway.seed_comment(issue, "agent", cast.a, "done", json!({})).await;
    (issue, said)
}

/// The tasks of one agent on the issue, and their states.
async fn states(cast: &Cast<'_>, issue: Uuid, agent: Uuid) -> Vec<String> {
    let tasks = cast.tasks(issue).await;
    let theirs = tasks.iter().filter(|task| uuid(&task["agent_id"]) == agent);
    theirs.map(|task| task["status"].as_str().unwrap().to_owned()).collect()
}

fn seconds(task: &Value) -> i64 {
    let time = |name: &str| task[name].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    (time("fire_at") - time("created_at")).num_seconds()
}

async fn let_time_pass(cast: &Cast<'_>) {
    let sql = "UPDATE agent_task_queue SET fire_at = $1 WHERE status = 'deferred'";
    cast.gateway.execute(sql, json!([ahead(-1)])).await;
}

/// How often watchers were told of a fallback's agent.
fn told_of(events: &[Value], agent: Uuid) -> usize {
    events.iter().filter(|event| event["payload"]["agent_id"] == agent.to_string()).count()
}

/// Domain items 120 and 127.
#[apply(on_both)]
async fn the_assignee_stands_by_for_the_agent_that_is_asked(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let (issue, said) = waiting(&cast).await;
    let mut watcher = cast.owner.watch().await;
    let reply = answer(&cast.owner, issue, said, "and now?").await;
    let tasks = cast.tasks(issue).await;
    let [primary, fallback] = tasks.as_slice() else { panic!("{tasks:?}") };
    assert_eq!((uuid(&primary["agent_id"]), &primary["status"]), (cast.a, &json!("queued")));
    assert_eq!((uuid(&fallback["agent_id"]), &fallback["status"]), (cast.b, &json!("deferred")));
    assert_eq!(fallback["escalation_for_task_id"], primary["id"]);
    assert_eq!(fallback["trigger_comment_id"], reply.to_string());
    assert_eq!(fallback["trigger_summary"], "and now?");
    assert_eq!(seconds(fallback), 300);
    assert_eq!(fallback["originator_user_id"], Value::Null);
    const BARE: &str = "SELECT runtime_mcp_overlay, runtime_connected_apps, context FROM agent_task_queue
        WHERE status = 'deferred'";
    let nothing = json!({"runtime_mcp_overlay": null, "runtime_connected_apps": null, "context": null});
    assert_eq!(gateway.row(BARE, json!([])).await, nothing);
    // It is nobody's to claim before its time, and nobody hears of it.
    cast.owner.claim_one(cast.runtime).await;
    assert!(cast.owner.claim(cast.runtime).await.is_none());
    let events = watcher.heard().await;
    assert!(told_of(&events, cast.a) > 0, "{events:?}");
    assert_eq!(told_of(&events, cast.b), 0, "{events:?}");
    let_time_pass(&cast).await;
    cast.owner.claim_one(cast.runtime).await;
    assert_eq!(watcher.wait_for("task:queued").await["agent_id"], cast.b.to_string());
}

/// Domain item 121.
#[apply(on_both)]
async fn a_start_ends_the_stand_by(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let (issue, said) = waiting(&cast).await;
    answer(&cast.owner, issue, said, "and now?").await;
    let mut watcher = cast.owner.watch().await;
    cast.owner.run_one(cast.runtime).await;
    assert_eq!(states(&cast, issue, cast.b).await, ["cancelled"]);
    let events = watcher.heard().await;
    assert_eq!(told_of(&events, cast.b), 0, "nobody was told of it, nobody hears of its end: {events:?}");
    let_time_pass(&cast).await;
    assert!(cast.owner.claim(cast.runtime).await.is_none());
}

/// Domain item 122: a word of the agent on that issue is a reaction, under whatever task it speaks.
#[apply(on_both)]
async fn a_word_ends_the_stand_by(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let (issue, said) = waiting(&cast).await;
    let elsewhere = cast.unassigned().await;
    let (agent, _, _) = cast.called(cast.a, elsewhere).await;
    answer(&cast.owner, issue, said, "and now?").await;
    assert_eq!(states(&cast, issue, cast.b).await, ["deferred"]);
    let mut watcher = cast.owner.watch().await;
    say(&agent, cast.unassigned().await, "busy").await;
    assert_eq!(states(&cast, issue, cast.b).await, ["deferred"], "on another issue it does not count");
    say(&agent, issue, "I am on it").await;
    assert_eq!(states(&cast, issue, cast.a).await, ["queued"]);
    assert_eq!(states(&cast, issue, cast.b).await, ["cancelled"]);
    assert_eq!(told_of(&watcher.heard().await, cast.b), 0);
}

/// Domain item 123: however far the fallback has come, unless it runs.
#[apply(on_both)]
async fn a_fallback_that_does_not_run_yet_stands_down(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let far = cast.owner.register("dm-2", "claude").await;
    let c = gateway.seed_agent(far, "Cy", json!({})).await;
    for (reached, expected) in [("queued", "cancelled"), ("dispatched", "cancelled"), ("running", "running")]
    {
        let issue = cast.issue("agent", c).await;
        let said = gateway.seed_comment(issue, "agent", cast.a, "done", json!({})).await;
        answer(&cast.owner, issue, said, "and now?").await;
        let_time_pass(&cast).await;
        if reached == "queued" {
            // Promoted by a claim that has no room for it.
            gateway.execute("UPDATE agent SET max_concurrent_tasks = 0 WHERE id = $1", json!([c])).await;
            assert!(cast.owner.claim(far).await.is_none());
            gateway.execute("UPDATE agent SET max_concurrent_tasks = 6 WHERE id = $1", json!([c])).await;
        } else {
            let claim = cast.owner.claim_one(far).await;
            if reached == "running" {
                cast.owner.start(crate::harness::id_of(&claim)).await;
            }
        }
        assert_eq!(states(&cast, issue, c).await, [reached]);
        let primary = cast.owner.run_one(cast.runtime).await;
        assert_eq!(states(&cast, issue, c).await, [expected]);
        cast.owner.complete(primary, json!({})).await;
    }
}

/// A primary that is lost before it starts is tried again; the start of the second try counts.
#[apply(on_both)]
async fn a_retry_that_starts_ends_the_stand_by(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let far = cast.owner.register("dm-2", "claude").await;
    let c = gateway.seed_agent(far, "Cy", json!({})).await;
    let issue = cast.issue("agent", c).await;
    let said = gateway.seed_comment(issue, "agent", cast.a, "done", json!({})).await;
    answer(&cast.owner, issue, said, "and now?").await;
    let primary = crate::harness::id_of(&cast.owner.claim_one(cast.runtime).await);
    cast.owner.fail(primary, json!({"error": "gone", "failure_reason": "runtime_recovery"})).await;
    assert_eq!(states(&cast, issue, cast.a).await, ["failed", "queued"]);
    assert_eq!(states(&cast, issue, c).await, ["deferred"]);
    cast.owner.run_one(cast.runtime).await;
    assert_eq!(states(&cast, issue, c).await, ["cancelled"]);
}

/// A fallback whose time has come runs like any other task.
#[apply(on_both)]
async fn a_fallback_runs_when_nobody_reacts(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let far = cast.owner.register("dm-2", "claude").await;
    let leader = gateway.seed_agent(far, "Lea", json!({})).await;
    let squad = cast.squad(leader).await;
    let issue = cast.issue("squad", squad).await;
    let said = gateway.seed_comment(issue, "agent", cast.a, "done", json!({})).await;
    let reply = answer(&cast.owner, issue, said, "and now?").await;
    assert!(cast.owner.claim(far).await.is_none());
    let_time_pass(&cast).await;
    let claim = cast.owner.claim_one(far).await;
    assert_eq!(claim["agent"]["id"], leader.to_string());
    assert_eq!(claim["trigger_comment_id"], reply.to_string());
    let fallback = cast.tasks(issue).await.pop().unwrap();
    assert_eq!((&fallback["is_leader_task"], uuid(&fallback["squad_id"])), (&json!(true), squad));
    assert_eq!(states(&cast, issue, cast.a).await, ["queued"]);
}

/// Domain item 124.
#[apply(on_both)]
async fn the_workspace_says_how_long_to_wait(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let sql = "UPDATE workspace SET settings = $1 WHERE id = $2";
    for (setting, expected) in [
        (json!(60), Some(60)),
        (json!(0), None),
        (json!(-5), None),
        (json!("soon"), Some(300)),
        (json!(i64::MAX), Some(315_360_000)),
    ] {
        let settings = json!({"comment_routing": {"escalation_seconds": setting}});
        gateway.execute(sql, json!([settings, gateway.workspace])).await;
        let (issue, said) = waiting(&cast).await;
        answer(&cast.owner, issue, said, "and now?").await;
        let tasks = cast.tasks(issue).await;
        assert_eq!(uuid(&tasks[0]["agent_id"]), cast.a);
        assert_eq!(tasks.get(1).map(seconds), expected, "{setting}");
    }
}

/// Domain items 125 and 126, and who else has nobody to stand by.
#[apply(on_both)]
async fn nobody_stands_by_without_need(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let (issue, said) = waiting(&cast).await;
    answer(&cast.owner, issue, said, "one").await;
    answer(&cast.owner, issue, said, "two").await;
    assert_eq!(cast.tasks(issue).await.len(), 2, "the first reply's two");

    let own = cast.issue("agent", cast.a).await;
    let said = gateway.seed_comment(own, "agent", cast.a, "done", json!({})).await;
    answer(&cast.owner, own, said, "one").await;
    assert_eq!(states(&cast, own, cast.a).await, ["queued"]);

    let (left_out, said) = waiting(&cast).await;
    let body = json!({"content": "x", "parent_id": said, "suppress_agent_ids": [cast.b]});
    crate::comment_cast::speak(&cast.owner, left_out, body).await;
    assert_eq!(cast.tasks(left_out).await.len(), 1);

    let called = cast.issue("agent", cast.b).await;
    say(&cast.owner, called, &at("agent", cast.a)).await;
    assert_eq!(cast.tasks(called).await.len(), 1, "a call is for whom it names");
}

/// With what a reply asked gone, nobody has to stand by.
#[apply(on_both)]
async fn a_deleted_reply_takes_the_stand_by_along(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let (issue, said) = waiting(&cast).await;
    let reply = answer(&cast.owner, issue, said, "and now?").await;
    assert_eq!(cast.owner.delete(format!("/api/comments/{reply}")).await.status, 204);
    assert_eq!(states(&cast, issue, cast.a).await, ["cancelled"]);
    assert_eq!(states(&cast, issue, cast.b).await, ["cancelled"]);
}

/// Domain item 262: one that has no place in the queue does not hold up the other.
#[apply(on_both)]
async fn a_fallback_without_a_place_ends(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let far = cast.owner.register("dm-2", "claude").await;
    let c = gateway.seed_agent(far, "Cy", json!({"max_concurrent_tasks": 1})).await;
    let mut issues = Vec::new();
    for _ in 0..2 {
        let issue = cast.issue("agent", c).await;
        let said = gateway.seed_comment(issue, "agent", cast.a, "done", json!({})).await;
        answer(&cast.owner, issue, said, "and now?").await;
        issues.push(issue);
    }
    // It waits to work on the first of the issues already.
    say(&cast.owner, issues[0], &at("agent", c)).await;
    let_time_pass(&cast).await;
    cast.owner.claim_one(far).await;
    // The one that was promoted has waited for longer than the call.
    assert_eq!(states(&cast, issues[0], c).await, ["cancelled", "queued"]);
    assert_eq!(states(&cast, issues[1], c).await, ["dispatched"]);
}
