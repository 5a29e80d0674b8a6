//! Where both planes meet: tokens that end, members who leave, what an agent at work may
//! enter, and how a task gets into the queue by itself.

use std::collections::BTreeSet;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, ahead, check_members, id_of};

const BEAT: &str = "/api/daemon/heartbeat";

/// Daemon item 7.
#[apply(on_both)]
async fn a_revoked_token_ends_at_once(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let made = user.post("/api/tokens", json!({"name": "laptop"})).await.expect(201);
    let token = gateway.bearer(made["token"].as_str().unwrap());
    token.beat(runtime).await;
    user.delete(format!("/api/tokens/{}", id_of(&made))).await.expect(204);
    token.post(BEAT, json!({"runtime_id": runtime})).await.refused(401, "invalid token");
    token.get("/api/me").await.refused(401, "invalid token");
}

/// Daemon item 214: a token that was renewed lives past the end it had.
#[apply(on_both)]
async fn a_renewed_token_outlives_its_first_end(gateway: &Gateway) {
    const RENEW: &str = "/api/tokens/current/renew";
    const DAY: i64 = 86_400;
    let user = gateway.user();
    let until = ahead(30 * DAY);
    let far = gateway.seed_personal_token(user.id, json!({"expires_at": until})).await;
    let kept = gateway.bearer(&far).post(RENEW, json!({})).await.expect(200);
    assert_eq!(kept, json!({"expires_at": format!("{}Z", &until[..19]), "renewed": false}));
    let soon = gateway.seed_personal_token(user.id, json!({"expires_at": ahead(3 * DAY)})).await;
    let renewed = gateway.bearer(&soon).post(RENEW, json!({})).await.expect(200);
    assert_eq!(renewed["renewed"], json!(true));
    let until: DateTime<Utc> = renewed["expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!((until - Utc::now()).num_hours(), 90 * 24 - 1);
    let end = ahead(2);
    let last = gateway.seed_personal_token(user.id, json!({"expires_at": end})).await;
    let last = gateway.bearer(&last);
    assert_eq!(last.post(RENEW, json!({})).await.expect(200)["renewed"], json!(true));
    let end: DateTime<Utc> = end.parse().unwrap();
    loop {
        let over = DateTime::<Utc>::from(SystemTime::now()) > end;
        last.get("/api/me").await.expect(200);
        if over {
            break;
        }
    }
}

/// Daemon item 215: only a personal token is renewed, and only while it is one.
#[apply(on_both)]
async fn what_is_no_personal_token_is_not_renewed(gateway: &Gateway) {
    const RENEW: &str = "/api/tokens/current/renew";
    let user = gateway.user();
    let login = user.post("/api/cli-token", ()).await.expect(200)["token"].as_str().unwrap().to_owned();
    let login = gateway.bearer(&login).post(RENEW, json!({})).await;
    login.refused(400, "only personal access tokens can be renewed");
    let made = user.post("/api/tokens", json!({"name": "laptop"})).await.expect(201);
    let token = gateway.bearer(made["token"].as_str().unwrap());
    token.post(RENEW, json!({})).await.expect(200);
    user.delete(format!("/api/tokens/{}", id_of(&made))).await.expect(204);
    token.post(RENEW, json!({})).await.refused(401, "invalid token");
}

/// Daemon items 20 and 21.
#[apply(on_both)]
async fn the_user_plane_takes_no_daemons_token(gateway: &Gateway) {
    let daemon = gateway.daemon(gateway.workspace, "dm-1").await;
    daemon.get("/api/workspaces").await.refused(401, "invalid token");
    gateway.anonymous().get("/api/workspaces").await.refused(401, "missing authorization");
}

/// Daemon item 36.
#[apply(on_both)]
async fn a_member_who_was_removed_has_no_runtimes_any_more(gateway: &Gateway) {
    let world = gateway.world().await;
    world.b.beat(world.r1).await;
    let member = "SELECT id FROM member WHERE user_id = $1";
    let member = gateway.value(member, json!([world.b.id])).await;
    let path = format!("/api/workspaces/{}/members/{}", world.w1, member.as_str().unwrap());
    world.a.delete(path).await.expect(204);
    world.b.post(BEAT, json!({"runtime_id": world.r1})).await.refused(404, "not found");
    world.b.claiming(world.r1).await.refused(404, "not found");
}

/// Daemon item 117.
#[apply(on_both)]
async fn an_agents_token_acts_for_the_owner_in_one_workspace(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.seed_member(world.w2, world.a.id, "member").await;
    gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let claimed = world.a.claim_one(world.r1).await;
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    assert_eq!(id_of(&agent.get("/api/me").await.expect(200)), world.a.id);
    let elsewhere = agent.get(format!("/api/workspaces/{}/members", world.w2)).await;
    elsewhere.refused(403, "task token is bound to a different workspace");
    // Whatever workspace it names, it is in its own.
    let named = agent.in_workspace(world.w2).get(format!("/api/issues/{}", world.i1)).await;
    assert_eq!(id_of(&named.expect(200)), world.i1);
}

/// Daemon item 129.
#[apply(on_both)]
async fn what_is_queued_right_after_an_empty_claim_is_claimed_next(gateway: &Gateway) {
    let world = gateway.world().await;
    for round in 0..5 {
        assert_eq!(world.a.claim(world.r1).await, None);
        let issue =
            json!({"title": format!("Round {round}"), "assignee_type": "agent", "assignee_id": world.g1});
        let issue = id_of(&world.a.post("/api/issues", issue).await.expect(201));
        let claimed = world.a.claim_one(world.r1).await;
        assert_eq!(claimed["issue_id"], issue.to_string());
        world.a.start(id_of(&claimed)).await;
        world.a.complete(id_of(&claimed), json!({})).await;
    }
}

/// Daemon item 174.
#[apply(on_both)]
async fn an_agents_token_ends_with_its_task(gateway: &Gateway) {
    let world = gateway.world().await;
    for verb in ["complete", "fail"] {
        let task = gateway.seed_issue_task(world.g1, json!({})).await;
        let claimed = world.a.claim_one(world.r1).await;
        let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
        world.a.start(task).await;
        agent.get("/api/me").await.expect(200);
        world.a.post(format!("/api/daemon/tasks/{task}/{verb}"), json!({})).await.expect(200);
        agent.get("/api/me").await.refused(401, "invalid token");
    }
}

/// Daemon item 164.
#[apply(on_both)]
async fn deleting_an_issue_takes_its_tasks(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    world.a.run_one(world.r1).await;
    world.a.delete(format!("/api/issues/{}", world.i1)).await.expect(204);
    world.a.get(format!("/api/daemon/tasks/{task}/status")).await.refused(404, "task not found");
}

/// Daemon items 185 and 222: usage as people see it.
#[apply(on_both)]
async fn usage_is_summed_for_an_issue(gateway: &Gateway) {
    let world = gateway.world().await;
    let path = format!("/api/issues/{}/usage", world.i1);
    let sums = |input: i64, output: i64, read: i64, write: i64, tasks: i64| {
        json!({
            "total_input_tokens": input, "total_output_tokens": output, "total_cache_read_tokens": read,
            "total_cache_write_tokens": write, "task_count": tasks,
        })
    };
    assert_eq!(world.a.get(&path).await.expect(200), sums(0, 0, 0, 0, 0));
    for round in 1..=2 {
        let more =
            json!({"issue_id": world.i1, "status": "completed", "completed_at": "2026-01-01T00:00:00Z"});
        let task = gateway.seed_task(world.g1, more).await;
        for count in [1, 10 * round] {
            let entry = json!({
                "provider": "Claude", "model": "m", "input_tokens": count, "output_tokens": count + 1,
                "cache_read_tokens": count + 2, "cache_write_tokens": count + 3,
            });
            let body = json!({"usage": [entry]});
            world.a.post(format!("/api/daemon/tasks/{task}/usage"), body).await.expect(200);
        }
    }
    assert_eq!(world.a.get(&path).await.expect(200), sums(30, 32, 34, 36, 2));
}

/// Daemon item 213.
#[apply(on_both)]
async fn a_person_is_shown_the_workspaces_they_belong_to(gateway: &Gateway) {
    let world = gateway.world().await;
    let listed = world.b.in_workspace(Uuid::nil()).get("/api/workspaces").await.expect(200);
    let ids: Vec<Uuid> = listed.as_array().unwrap().iter().map(id_of).collect();
    assert_eq!(ids, [world.w1]);
    let expected = json!({
        "id": world.w1, "name": "acme", "slug": "acme", "description": null, "context": null, "settings": {},
        "repos": [], "issue_prefix": listed[0]["issue_prefix"], "avatar_url": null,
        "created_at": listed[0]["created_at"], "updated_at": listed[0]["updated_at"],
    });
    assert_eq!(listed[0], expected);
    let nobody = gateway.seed_user("Dot").await.in_workspace(Uuid::nil());
    assert_eq!(nobody.get("/api/workspaces").await.expect(200), json!([]));
}

/// Daemon item 217.
#[apply(on_both)]
async fn health_asks_for_nothing(gateway: &Gateway) {
    let body = gateway.anonymous().get("/health").await.expect(200);
    assert_eq!(body, json!({"status": "ok"}));
    gateway.anonymous().get("/readyz").await.expect(200);
}

/// What a task always has; whatever a claim adds is for its daemon alone.
const BASE: [&str; 16] = [
    "agent_id",
    "attempt",
    "completed_at",
    "created_at",
    "dispatched_at",
    "error",
    "id",
    "issue_id",
    "kind",
    "max_attempts",
    "priority",
    "result",
    "runtime_id",
    "started_at",
    "status",
    "workspace_id",
];

/// Daemon items 218, 220 and 224.
#[apply(on_both)]
async fn an_issues_runs_are_listed_newest_first(gateway: &Gateway) {
    let world = gateway.world().await;
    let mut tasks = Vec::new();
    let statuses =
        ["completed", "failed", "cancelled", "running", "waiting_local_directory", "dispatched", "queued"];
    for (age, status) in statuses.into_iter().enumerate() {
        // One agent each: an agent runs on an issue once at a time.
        let agent = gateway.seed_agent(world.r1, status, json!({})).await;
        let now = ahead(i64::try_from(age).unwrap() - 60);
        let over = matches!(status, "completed" | "failed" | "cancelled");
        let more = json!({
            "issue_id": world.i1, "status": status, "created_at": now,
            "started_at": (status == "running").then_some(&now), "completed_at": over.then_some(&now),
        });
        tasks.push(gateway.seed_task(agent, more).await);
    }
    tasks.reverse();
    let ids = |list: &Value| list.as_array().unwrap().iter().map(id_of).collect::<Vec<_>>();
    let active = world.a.get(format!("/api/issues/{}/active-task", world.i1)).await.expect(200);
    assert_eq!(ids(&active["tasks"]), tasks[..4]);
    let runs = world.a.get(format!("/api/issues/{}/task-runs", world.i1)).await.expect(200);
    assert_eq!(ids(&runs), tasks);
    for list in [&active["tasks"], &runs] {
        for task in list.as_array().unwrap() {
            let members: BTreeSet<&str> = task.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, BTreeSet::from(BASE), "{task}");
        }
    }
    for what in ["active-task", "task-runs", "usage"] {
        let foreign = world.a.get(format!("/api/issues/{}/{what}", world.i2)).await;
        foreign.refused(404, "issue not found");
    }
}

/// Daemon item 219.
#[apply(on_both)]
async fn a_task_is_cancelled_through_its_own_issue(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let other = gateway.seed_issue(world.w1, "Another", json!({})).await;
    let path = |issue: Uuid, task: String| format!("/api/issues/{issue}/tasks/{task}/cancel");
    world.a.post(path(other, task.to_string()), ()).await.refused(404, "task not found");
    world.a.post(path(world.i1, "xyz".to_owned()), ()).await.refused(404, "task not found");
    world.a.post(path(world.i2, task.to_string()), ()).await.refused(404, "issue not found");
    assert_eq!(world.a.status_of(task).await, "queued");
    let first = world.a.post(path(world.i1, task.to_string()), ()).await.expect(200);
    check_members(&first, &json!({"status": "cancelled"}));
    let again = world.a.post(path(world.i1, task.to_string()), ()).await.expect(200);
    assert_eq!(again, first);
}

/// Daemon item 221.
#[apply(on_both)]
async fn people_read_what_an_agent_says(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let batch = json!({"messages": [{"seq": 1}, {"seq": 2}, {"seq": 3}]});
    world.a.post(format!("/api/daemon/tasks/{task}/messages"), batch).await.expect(200);
    let path = format!("/api/tasks/{task}/messages");
    for (query, count) in [("", 3), ("?since=1", 2), ("?since=3", 0), ("?since=", 3)] {
        let listed = world.b.get(format!("{path}{query}")).await.expect(200);
        assert_eq!(listed.as_array().map(Vec::len), Some(count), "{query}");
    }
    world.b.get(format!("{path}?since=x")).await.refused(400, "invalid since parameter");
    world.b.get("/api/tasks/xyz/messages").await.refused(400, "invalid task_id");
    world.c.get(&path).await.refused(404, "task not found");
    world.b.get(format!("/api/tasks/{}/messages", Uuid::new_v4())).await.refused(404, "task not found");
}

/// Daemon item 223.
#[apply(on_both)]
async fn a_workspace_must_be_named(gateway: &Gateway) {
    let user = gateway.user();
    let nowhere = user.in_workspace(Uuid::nil());
    let path = "/api/agents";
    let required = "workspace_id or workspace_slug is required";
    nowhere.get(path).await.refused(400, required);
    nowhere.get(path).header("x-workspace-slug", "nope").await.refused(404, "workspace not found");
    nowhere.get(format!("{path}?workspace_id=xyz")).await.refused(400, "invalid workspace_id");
    let unknown = format!("{path}?workspace_id={}", Uuid::new_v4());
    nowhere.get(unknown).await.refused(404, "workspace not found");
    // The slug in the query wins over everything else.
    user.get(format!("{path}?workspace_slug=nope")).await.refused(404, "workspace not found");
    nowhere.get(format!("{path}?workspace_slug=acme")).await.expect(200);
    nowhere.get(path).header("x-workspace-slug", "acme").await.expect(200);
}

/// Daemon item 224.
#[apply(on_both)]
async fn a_work_directory_is_shown_without_the_account(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let short = &task.simple().to_string()[..8];
    let below = format!("/var/x/{}/{short}/workdir", world.w1);
    let windows = format!("C:\\Users\\ada\\x\\{}\\{short}\\workdir", world.w1);
    let suffix = json!(format!("{}/{short}/workdir", world.w1));
    let cases = [
        ("/home/ada/work/x", json!("work/x")),
        ("/Users/ada/work", json!("work")),
        ("C:\\Users\\ada\\work\\x", json!("work/x")),
        ("/home/ada", Value::Null),
        ("/srv/builds/x/", json!("x")),
        (below.as_str(), suffix.clone()),
        (windows.as_str(), suffix),
    ];
    for (stored, shown) in cases {
        gateway.change("agent_task_queue", task, "work_dir", json!(stored)).await;
        let runs = world.a.get(format!("/api/issues/{}/task-runs", world.i1)).await.expect(200);
        check_members(&runs[0], &json!({"work_dir": stored, "relative_work_dir": shown}));
    }
}
