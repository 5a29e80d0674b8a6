//! Comments: written, changed, taken away, settled.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::comment_cast::{Cast, answer, at, say, speak, uuid};
use crate::harness::{Client, Gateway, Reply, id_of};

async fn try_to_say(client: &Client, issue: impl ToString, body: Value) -> Reply {
    client.post(format!("/api/issues/{}/comments", issue.to_string()), body).await
}

/// The comment has all members, in the shapes that clients know.
#[apply(on_both)]
async fn a_comment_has_its_shape(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let issue = cast.unassigned().await;
    let made = speak(&cast.owner, issue, json!({"content": " a\u{0}b <c> ", "Type": ""})).await;
    let id = id_of(&made);
    let created_at = made["created_at"].as_str().unwrap();
    let expected = json!({
        "id": id, "issue_id": issue, "author_type": "member", "author_id": cast.owner.id,
        "content": " ab <c> ", "type": "comment", "parent_id": null, "created_at": created_at,
        "updated_at": created_at, "resolved_at": null, "resolved_by_type": null, "resolved_by_id": null,
        "reactions": [], "attachments": [],
    });
    assert_eq!(made, expected);
    assert_eq!(created_at.len(), "2026-01-31T08:09:10Z".len());
    let listed = cast.owner.get(format!("/api/issues/{issue}/comments")).await.expect(200);
    assert_eq!(listed, json!([expected]));
    let reply =
        speak(&cast.owner, issue, json!({"content": "x", "parent_id": id, "type": "progress_update"}));
    let reply = reply.await;
    assert_eq!((&reply["parent_id"], &reply["type"]), (&json!(id), &json!("progress_update")));
    let deep = answer(&cast.owner, issue, id_of(&reply), "y").await;
    let parent = gateway.value("SELECT parent_id FROM comment WHERE id = $1", json!([deep])).await;
    assert_eq!(parent, reply["id"], "the very comment that was answered");
}

/// User item 134, and the refusals in their order.
#[apply(on_both)]
async fn what_is_wrong_with_a_comment_is_said(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let issue = cast.unassigned().await;
    let elsewhere = cast.unassigned().await;
    let foreign = say(&cast.owner, elsewhere, "x").await;
    let owner = &cast.owner;
    try_to_say(owner, "nope", json!({})).await.refused(404, "issue not found");
    let path = format!("/api/issues/{issue}/comments");
    for body in ["", "[]", r#"{"content":5}"#, r#"{"content":"x","attachment_ids":"y"}"#] {
        owner.post(&path, body).await.refused(400, "invalid request body");
    }
    for (body, error) in [
        (json!(null), "content is required"),
        (json!({"content": "", "parent_id": "x"}), "content is required"),
        (json!({"content": "x", "parent_id": "", "attachment_ids": ["y"]}), "invalid parent_id"),
        (json!({"content": "x", "parent_id": foreign, "attachment_ids": ["y"]}), "invalid parent comment"),
        (
            json!({"content": "x", "attachment_ids": ["y"], "suppress_agent_ids": ["z"]}),
            "invalid attachment_ids",
        ),
        (json!({"content": "x", "suppress_agent_ids": ["z"]}), "invalid suppress_agent_ids"),
    ] {
        try_to_say(owner, issue, body).await.refused(400, error);
    }
    let odd = try_to_say(owner, issue, json!({"content": "x", "type": "shout"})).await;
    assert_eq!(odd.status, 400, "{odd}");
    assert!(cast.owner.get(&path).await.expect(200).as_array().unwrap().is_empty());

    let id = say(owner, issue, "x").await;
    for (method_path, error) in [("nope", 400), (&Uuid::new_v4().to_string(), 404)] {
        let message = if error == 400 { "invalid comment id" } else { "comment not found" };
        let comment = format!("/api/comments/{method_path}");
        owner.put(&comment, json!({"content": "y"})).await.refused(error, message);
        owner.delete(&comment).await.refused(error, message);
        owner.post(format!("{comment}/resolve"), ()).await.refused(error, message);
    }
    let cyn = gateway.stranger("Cyn").await;
    cyn.put(format!("/api/comments/{id}"), json!({"content": "y"})).await.refused(404, "comment not found");
    cyn.get(&path).await.refused(404, "issue not found");
    gateway.anonymous().get("/api/comments/x/y").await.refused(401, "missing authorization");
}

/// User item 132. Domain item 157: an agent that a comment started answers that comment.
#[apply(on_both)]
async fn an_agent_answers_the_comment_that_started_it(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let issue = cast.unassigned().await;
    let (agent, task, call) = cast.called(cast.a, issue).await;
    let wrong = format!("parent_id must equal this task's trigger comment id ({call})");
    let other = say(&cast.owner, issue, "/note").await;
    try_to_say(&agent, issue, json!({"content": "x"})).await.refused(409, &wrong);
    try_to_say(&agent, issue, json!({"content": "x", "parent_id": other})).await.refused(409, &wrong);
    let said = speak(&agent, issue, json!({"content": "x", "parent_id": call})).await;
    assert_eq!((&said["author_type"], uuid(&said["author_id"])), (&json!("agent"), cast.a));
    assert_eq!(uuid(&said["source_task_id"]), task);
    // Elsewhere it is free, as is an agent that no comment started.
    say(&agent, cast.unassigned().await, "x").await;
    let assigned = cast.unassigned().await;
    gateway.seed_task(cast.b, json!({"issue_id": assigned})).await;
    let (free, _) = cast.at_work(cast.b).await;
    say(&free, assigned, "x").await;
}

/// User item 133. Domain item 158; what a leader records is read in `squad_evaluation`.
#[apply(on_both)]
async fn a_leader_that_chose_silence_is_silent(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let squad = cast.squad(cast.a).await;
    let issue = cast.issue("squad", squad).await;
    let call = say(&cast.owner, issue, "anything to do?").await;
    let (leader, task) = cast.at_work(cast.a).await;
    let path = format!("/api/issues/{issue}/squad-evaluated");
    leader.post(&path, json!({"outcome": "action"})).await.expect(201);
    answer(&leader, issue, call, "on it").await;
    leader.post(&path, json!({"outcome": "no_action", "reason": "all done"})).await.expect(201);
    let body = json!({"content": "x", "parent_id": call});
    let silent = "squad leader recorded no_action; comments are not allowed for this task";
    try_to_say(&leader, issue, body).await.refused(409, silent);
    say(&leader, cast.unassigned().await, "elsewhere").await;
    cast.owner.complete(task, json!({"output": "Nothing to do."})).await;
    let said = "SELECT count(*) AS n FROM comment WHERE issue_id = $1 AND content = 'Nothing to do.'";
    assert_eq!(gateway.value(said, json!([issue])).await, 0, "its end is silent too");
}

/// User item 141. Domain item 156: another text stops whom the old one started and starts whom it is for.
#[apply(on_both)]
async fn an_edit_starts_anew(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let bea = gateway.join("Bea", "member").await;
    let max = gateway.join("Max", "admin").await;
    let issue = cast.issue("agent", cast.a).await;
    let comment = say(&bea, issue, "hello").await;
    let path = format!("/api/comments/{comment}");
    let states = async || {
        let tasks = cast.tasks(issue).await;
        let shown = tasks.iter().map(|task| (uuid(&task["agent_id"]), task["status"].clone()));
        shown.collect::<Vec<_>>()
    };
    let cancelled = (cast.a, json!("cancelled"));

    // The same text changes nothing.
    bea.put(&path, json!({"content": "hello"})).await.expect(200);
    assert_eq!(states().await, [(cast.a, json!("queued"))]);

    let carl = gateway.join("Carl", "member").await;
    let text = at("agent", cast.b);
    carl.put(&path, json!({"content": text})).await.refused(403, "only comment author or admin can edit");
    carl.delete(&path).await.refused(403, "only comment author or admin can delete");
    bea.put(&path, "{").await.refused(400, "invalid request body");
    bea.put(&path, json!({"content": ""})).await.refused(400, "content is required");
    let odd = json!({"content": "x", "attachment_ids": ["y"], "suppress_agent_ids": ["z"]});
    bea.put(&path, odd).await.refused(400, "invalid attachment_ids");
    let odd = json!({"content": "x", "suppress_agent_ids": ["z"]});
    bea.put(&path, odd).await.refused(400, "invalid suppress_agent_ids");

    let edited = max.put(&path, json!({"content": text})).await.expect(200);
    assert_eq!((&edited["content"], uuid(&edited["author_id"])), (&json!(text), bea.id));
    assert_eq!(states().await, [cancelled.clone(), (cast.b, json!("queued"))]);
    let tasks = cast.tasks(issue).await;
    assert_eq!(uuid(&tasks[1]["originator_user_id"]), bea.id, "it is still her doing");

    // What runs already is stopped too, and its token with it.
    let (agent, _) = cast.at_work(cast.b).await;
    max.put(&path, json!({"content": "/note never mind"})).await.expect(200);
    assert_eq!(states().await, [cancelled.clone(), (cast.b, json!("cancelled"))]);
    agent.get("/api/me").await.refused(401, "invalid token");

    bea.put(&path, json!({"content": text, "suppress_agent_ids": [cast.b]})).await.expect(200);
    assert_eq!(states().await.len(), 2);
}

/// An administrator's hand does not start what the author could not, nor the author's what the
/// administrator could not.
#[apply(on_both)]
async fn an_edit_needs_both_to_be_allowed(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let bea = gateway.join("Bea", "member").await;
    let private = |owner: Uuid| json!({"permission_mode": "private", "owner_id": owner});
    let hers = gateway.seed_agent(cast.runtime, "Hers", private(bea.id)).await;
    let his = gateway.seed_agent(cast.runtime, "His", private(cast.owner.id)).await;
    let issue = cast.unassigned().await;
    let comment = say(&bea, issue, "hello").await;
    let path = format!("/api/comments/{comment}");
    let text = format!("{} {} {}", at("agent", hers), at("agent", his), at("agent", cast.a));
    let preview = json!({"content": text, "editing_comment_id": comment});
    let preview = cast.owner.post(format!("/api/issues/{issue}/comments/trigger-preview"), preview).await;
    assert_eq!(preview.expect(200)["agents"].as_array().unwrap().len(), 1);
    cast.owner.put(&path, json!({"content": text})).await.expect(200);
    assert_eq!(cast.started(issue).await, [cast.a]);
    bea.put(&path, json!({"content": format!("{text} ")})).await.expect(200);
    assert_eq!(cast.started(issue).await, [hers, cast.a]);
}

/// User item 142. Domain item 23.
#[apply(on_both)]
async fn a_deleted_comment_takes_its_answers_and_tasks_along(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let issue = cast.issue("agent", cast.a).await;
    let comment = say(&cast.owner, issue, "hello").await;
    let reply = answer(&cast.owner, issue, comment, "/note more").await;
    let deep = answer(&cast.owner, issue, reply, "/note and more").await;
    cast.owner.post(format!("/api/comments/{deep}/reactions"), json!({"emoji": "👍"})).await.expect(201);
    let gone = cast.owner.delete(format!("/api/comments/{comment}/")).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert!(
        cast.owner.get(format!("/api/issues/{issue}/comments")).await.ok().as_array().unwrap().is_empty()
    );
    let tasks = cast.tasks(issue).await;
    assert_eq!((&tasks[0]["status"], &tasks[0]["trigger_comment_id"]), (&json!("cancelled"), &Value::Null));
    assert_eq!(tasks[0]["trigger_summary"], "hello", "what it was about is still known");
    cast.owner.delete(format!("/api/comments/{comment}")).await.refused(404, "comment not found");
}

/// User item 143: a thread is settled by one comment at most, and a reply opens it again.
#[apply(on_both)]
async fn a_thread_is_settled_by_one_comment(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let issue = cast.unassigned().await;
    let root = say(&cast.owner, issue, "a question").await;
    let reply = answer(&cast.owner, issue, root, "an answer").await;
    let deep = answer(&cast.owner, issue, reply, "a better one").await;
    let other = say(&cast.owner, issue, "another question").await;
    let resolved = async || {
        let sql = "SELECT id FROM comment WHERE resolved_at IS NOT NULL ORDER BY created_at";
        let rows = gateway.rows(sql, json!([])).await;
        rows.iter().map(id_of).collect::<Vec<_>>()
    };
    let resolve =
        async |id: Uuid| cast.owner.post(format!("/api/comments/{id}/resolve"), ()).await.expect(200);
    let first = resolve(deep).await;
    assert_eq!(
        (&first["resolved_by_type"], uuid(&first["resolved_by_id"])),
        (&json!("member"), cast.owner.id)
    );
    assert_eq!(resolve(deep).await, first, "again changes nothing");
    resolve(other).await;
    assert_eq!(resolved().await, [deep, other]);
    resolve(reply).await;
    assert_eq!(resolved().await, [reply, other]);
    resolve(root).await;
    assert_eq!(resolved().await, [root, other]);
    answer(&cast.owner, issue, deep, "I see it differently").await;
    assert_eq!(resolved().await, [other]);

    let path = format!("/api/comments/{other}/resolve");
    for _ in 0..2 {
        let open = cast.owner.delete(&path).await.expect(200);
        assert_eq!(
            (&open["resolved_at"], &open["resolved_by_type"], &open["resolved_by_id"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
    }
    assert!(resolved().await.is_empty());

    // An agent may settle as well.
    let (agent, _, call) = cast.called(cast.a, issue).await;
    let settled = agent.post(format!("/api/comments/{call}/resolve"), ()).await.expect(200);
    assert_eq!((&settled["resolved_by_type"], uuid(&settled["resolved_by_id"])), (&json!("agent"), cast.a));
}

/// Domain items 79 and 159, for what an agent said at its end: it opens a resolved thread, as any
/// reply does.
#[apply(on_both)]
async fn the_word_at_a_runs_end_is_a_reply(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let issue = cast.unassigned().await;
    let (_, task, call) = cast.called(cast.a, issue).await;
    cast.owner.post(format!("/api/comments/{call}/resolve"), ()).await.expect(200);
    cast.owner.complete(task, json!({"output": "It was the cache."})).await;
    let path = format!("/api/issues/{issue}/comments");
    let comments = cast.owner.get(&path).await.expect(200);
    assert_eq!(comments[0]["resolved_at"], Value::Null);
    let last = &comments[1];
    assert_eq!((&last["content"], uuid(&last["parent_id"])), (&json!("It was the cache."), call));
    assert_eq!(uuid(&last["source_task_id"]), task);
}

/// Two people who settle a thread at once settle it once.
#[apply(on_both)]
async fn two_who_settle_at_once_agree(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let issue = cast.unassigned().await;
    for _ in 0..10 {
        let root = say(&cast.owner, issue, "a question").await;
        let mut all = vec![root];
        for _ in 0..3 {
            all.push(answer(&cast.owner, issue, root, "an answer").await);
        }
        let calls = all.iter().map(|id| {
            let call = cast.owner.post(format!("/api/comments/{id}/resolve"), ());
            async move { call.await.expect(200) }
        });
        futures_util::future::join_all(calls).await;
        let sql =
            "SELECT count(*) AS n FROM comment WHERE resolved_at IS NOT NULL AND (id = $1 OR parent_id = $1)";
        assert_eq!(gateway.value(sql, json!([root])).await, 1);
    }
}
