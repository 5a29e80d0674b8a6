//! The user plane: customs that hold on every route, and paths that cross several nouns.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, check_members, id_of};

/// The client of an agent that runs a task of this kind, and its task.
async fn at_work(world_owner: &Client, gateway: &Gateway, runtime: Uuid) -> (Client, Value) {
    let task = world_owner.claim_one(runtime).await;
    world_owner.start(id_of(&task)).await;
    (gateway.bearer(task["auth_token"].as_str().unwrap()), task)
}

/// User items 1 and 2.
#[apply(on_both)]
async fn anybody_may_ask_how_it_does(gateway: &Gateway) {
    let nobody = gateway.anonymous();
    assert_eq!(nobody.get("/health").await.expect(200), json!({"status": "ok"}));
    for path in ["/readyz", "/healthz"] {
        let ready = nobody.get(path).await.expect(200);
        assert_eq!(ready, json!({"status": "ok", "checks": {"db": "ok", "migrations": "ok"}}), "{path}");
    }
}

/// User items 6, 7, 8, 9, 10, 11 and 12.
#[apply(on_both)]
async fn bodies_ids_and_times_are_read_and_written_alike(gateway: &Gateway) {
    let world = gateway.world().await;
    let a = &world.a;
    let refused = a.post("/api/issues", "").await;
    refused.refused(400, "invalid request body");
    assert_eq!(refused.header("content-type"), "application/json");
    assert!(refused.text.ends_with("}\n"));
    a.post("/api/labels", "").await.refused(400, "invalid request body");
    let wrong = json!({"title": "x", "stage": 1.0}).to_string();
    a.post("/api/issues", wrong).await.refused(400, "invalid request body");
    a.post("/api/tokens", r#"{"name":"x","expires_in_days":1e1}"#).await.refused(400, "invalid request body");

    let title = "a < b & c > d";
    let new = json!({
        "title": title, "Nobody_Knows": [1], "assignee_type": "agent", "assignee_id": world.g1,
    });
    let issue = a.post("/api/issues", new).await.expect(201);
    assert_eq!(issue["title"], title);
    let upper = format!("/api/issues/{}", id_of(&issue).to_string().to_uppercase());
    let read = a.get(&upper).await.expect(200);
    assert_eq!((&read["id"], &read["title"]), (&json!(id_of(&issue).to_string()), &json!(title)));
    let shape = regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$").unwrap();
    for object in [&issue, &a.get("/api/me").await.expect(200), &a.get("/api/agents").await.expect(200)[0]] {
        for time in ["created_at", "updated_at"] {
            assert!(shape.is_match(object[time].as_str().unwrap()), "{object}");
        }
    }

    a.post(format!("/api/issues/{}/rerun", id_of(&issue)), "null").await.expect(202);
    a.post(format!("/api/agents/{}/archive", world.g1), "null").await.expect(200);
}

/// User items 26 and 27.
#[apply(on_both)]
async fn who_writes_is_who_the_token_or_the_headers_say(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({"issue_id": world.i1})).await;
    let other = gateway.seed_agent(world.r1, "Hal", json!({})).await;
    let foreign = gateway.seed_issue_task(world.g2, json!({})).await;
    let creator = async |agent: Uuid, task: String| {
        let body = json!({"title": Uuid::new_v4()});
        let call = world.a.post("/api/issues", body).header("x-agent-id", &agent.to_string());
        let issue = call.header("x-task-id", &task).await.expect(201);
        (issue["creator_type"].as_str().unwrap().to_owned(), issue["creator_id"].as_str().unwrap().to_owned())
    };
    let (agent, member) =
        (("agent".to_owned(), world.g1.to_string()), ("member".to_owned(), world.a.id.to_string()));
    assert_eq!(creator(world.g1, task.to_string()).await, agent);
    assert_eq!(creator(world.g1, foreign.to_string()).await, member);
    assert_eq!(creator(other, task.to_string()).await, member);
    assert_eq!(creator(world.g2, foreign.to_string()).await, member, "an agent of another workspace");
    assert_eq!(creator(world.g1, "x".to_owned()).await, member);

    let (worker, _) = at_work(&world.a, gateway, world.r1).await;
    let issue = worker.post("/api/issues", json!({"title": "By an agent"})).await.expect(201);
    check_members(&issue, &json!({"creator_type": "agent", "creator_id": world.g1}));
}

/// User item 43.
#[apply(on_both)]
async fn another_prefix_renames_every_issue(gateway: &Gateway) {
    let a = gateway.user();
    let issue = a.post("/api/issues", json!({"title": "x"})).await.expect(201);
    assert_eq!(issue["identifier"], "ACM-1");
    let path = format!("/api/workspaces/{}", gateway.workspace);
    a.patch(&path, json!({"issue_prefix": "zed"})).await.expect(200);
    assert_eq!(a.get(format!("/api/issues/{}", id_of(&issue))).await.expect(200)["identifier"], "ZED-1");
    assert_eq!(a.get("/api/issues").await.expect(200)["issues"][0]["identifier"], "ZED-1");
}

/// User items 54, 55 and 57: what is asked of a runtime waits for it, and its disk is its owner's.
#[apply(on_both)]
async fn a_runtime_is_asked_by_those_who_may(gateway: &Gateway) {
    let world = gateway.world().await;
    let (a, on) = (&world.a, |what: &str| format!("/api/runtimes/{}/{what}", world.r1));
    let update = a.post(on("update"), json!({"target_version": "1.2.3"})).await.expect(200);
    assert_eq!(update["status"], "pending");
    let id = update["id"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{update}");
    a.post(on("update"), json!({"target_version": "1.2.3"})).await.expect(409);
    let models = a.post(on("models"), ()).await.expect(200);
    assert_eq!(models["status"], "pending");
    let report = json!({"status": "completed", "models": [{"id": "m", "label": "M"}]});
    a.beat(world.r1).await;
    let result =
        format!("/api/daemon/runtimes/{}/models/{}/result", world.r1, models["id"].as_str().unwrap());
    a.post(result, report).await.expect(200);
    let done = a.get(on(&format!("models/{}", models["id"].as_str().unwrap()))).await.expect(200);
    assert_eq!((&done["status"], &done["models"][0]["id"]), (&json!("completed"), &json!("m")));

    let admin = gateway.join("Adi", "admin").await;
    admin.post(on("local-skills"), ()).await.refused(403, "insufficient permissions");
    let import = admin.post(on("local-skills/import"), json!({"skill_key": "k"})).await;
    import.refused(403, "insufficient permissions");
}

/// User item 150. User item 181.
#[apply(on_both)]
async fn the_end_of_a_task_is_told(gateway: &Gateway) {
    let world = gateway.world().await;
    let a = &world.a;
    gateway.seed_issue_task(world.g1, json!({"issue_id": world.i1})).await;
    let task = a.run_one(world.r1).await;
    let mut socket = a.watch().await;
    a.complete(task, json!({"output": "done"})).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let event = socket.next().await;
        if ["task:completed", "agent:status"].contains(&event["type"].as_str().unwrap()) {
            told.push(event["type"].as_str().unwrap().to_owned());
        }
    }
    told.sort();
    assert_eq!(told, ["agent:status", "task:completed"]);

    let chat = id_of(&a.post("/api/chat/sessions", json!({"agent_id": world.g1})).await.expect(201));
    let sent = json!({"content": "Hi"});
    a.post(format!("/api/chat/sessions/{chat}/messages"), sent).await.expect(201);
    let turn = a.run_one(world.r1).await;
    a.complete(turn, json!({"output": "Hello"})).await;
    let done = socket.wait_for("chat:done").await;
    assert_eq!((&done["chat_session_id"], &done["task_id"]), (&json!(chat), &json!(turn)));
    let said = a.get(format!("/api/chat/sessions/{chat}/messages")).await.expect(200);
    check_members(&said[1], &json!({"role": "assistant", "content": "Hello", "task_id": turn}));
}

/// User item 176, its last part: whoever says nothing is shut out after a while.
#[apply(on_both)]
async fn a_socket_that_says_nothing_is_shut_out(gateway: &Gateway) {
    let path = format!("/ws?workspace_id={}", gateway.workspace);
    let mut silent = gateway.anonymous().socket(path).await;
    assert_eq!(silent.next().await, json!({"error": "auth timeout or read error"}));
    silent.closed().await;
}

/// User item 184, by what the CLI sends; files and chats have tests of their own.
#[apply(on_both)]
async fn an_agent_at_work_does_its_work(gateway: &Gateway) {
    let world = gateway.world().await;
    let a = &world.a;
    let path = format!("/api/issues/{}", world.i1);
    let mention = format!("[@Gus](mention://agent/{}) please", world.g1);
    let trigger = id_of(&a.post(format!("{path}/comments"), json!({"content": mention})).await.expect(201));
    let (worker, task) = at_work(a, gateway, world.r1).await;
    assert_eq!(task["trigger_comment_id"], json!(trigger));
    assert_eq!(worker.get(&path).await.expect(200)["id"], json!(world.i1));
    worker.put(&path, json!({"status": "in_progress"})).await.expect(200);
    let answer = json!({"content": "On it", "parent_id": trigger});
    let said = worker.post(format!("{path}/comments"), answer).await.expect(201);
    check_members(
        &said,
        &json!({"author_type": "agent", "author_id": world.g1, "source_task_id": task["id"]}),
    );
    let child = json!({"title": "Part", "parent_issue_id": world.i1});
    assert_eq!(worker.post("/api/issues", child).await.expect(201)["creator_type"], "agent");
    let kept =
        worker.put(format!("{path}/metadata/pr_url"), json!({"value": "https://h/1"})).await.expect(200);
    assert_eq!(kept, json!({"metadata": {"pr_url": "https://h/1"}}));
    assert_eq!(worker.get("/api/agents").await.expect(200).as_array().unwrap().len(), 1);
    assert_eq!(worker.get("/api/chat/history").await.status, 400, "this task has no chat");
}

/// User item 186, its attachments.
#[apply(on_both)]
async fn a_prompts_files_go_on_the_issue_that_comes_of_it(gateway: &Gateway) {
    let world = gateway.world().await;
    let file = id_of(&world.a.upload("a.txt", "x", &[]).await);
    let prompt = json!({"prompt": "write it down", "agent_id": world.g1, "attachment_ids": [file]});
    world.a.post("/api/issues/quick-create", prompt).await.expect(202);
    let (worker, task) = at_work(&world.a, gateway, world.r1).await;
    assert_eq!(task["quick_create_attachment_ids"], json!([file]));
    let body = json!({
        "title": "Written", "origin_type": "quick_create", "origin_id": task["id"],
        "attachment_ids": task["quick_create_attachment_ids"],
    });
    let issue = worker.post("/api/issues", body).await.expect(201);
    assert_eq!(id_of(&issue["attachments"][0]), file);
}

/// An issue has no pull requests without an integration; projects are found by what they say.
#[apply(on_both)]
async fn pull_requests_are_none_and_projects_are_found(gateway: &Gateway) {
    let world = gateway.world().await;
    let a = &world.a;
    let path = format!("/api/issues/{}/pull-requests", world.i1);
    assert_eq!(a.get(&path).await.expect(200), json!({"pull_requests": []}));
    world.c.get(&path).await.refused(404, "issue not found");

    for (title, more) in [
        ("Billing", json!({})),
        ("Big billing plan", json!({"description": "x"})),
        ("Other", json!({"description": "about billing and more"})),
        ("Billing, old", json!({"status": "completed"})),
        ("Nothing", json!({})),
    ] {
        gateway.seed_project(world.w1, title, more).await;
    }
    gateway.seed_project(world.w2, "Billing", json!({})).await;
    let search = async |query: &str| {
        let reply = a.get(format!("/api/projects/search?{query}")).await;
        let total = reply.header("x-total-count").to_owned();
        let found = reply.expect(200);
        assert_eq!(found["total"].to_string(), total);
        let hits = found["projects"].as_array().unwrap().iter();
        let hits = hits.map(|hit| (hit["title"].as_str().unwrap().to_owned(), hit["match_source"].clone()));
        (hits.collect::<Vec<_>>(), found)
    };
    let hit = |title: &str, source: &str| (title.to_owned(), json!(source));
    let (hits, found) = search("q=BILLING").await;
    let expected = [hit("Billing", "title"), hit("Big billing plan", "title"), hit("Other", "description")];
    assert_eq!(hits, expected);
    assert_eq!(found["projects"][2]["matched_snippet"], "about billing and more");
    let (hits, found) = search("q=billing&include_closed=true&limit=2&offset=1").await;
    assert_eq!((hits.len(), &found["total"]), (2, &json!(4)));
    assert_eq!(search("q=100%25").await.0, []);
    a.get("/api/projects/search?q=%20").await.refused(400, "q parameter is required");
}
