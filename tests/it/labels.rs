//! Labels, metadata, followers, reactions: what is kept with an issue and starts nobody.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::comment_cast::{Cast, at, say};
use crate::harness::{Client, Gateway, id_of};

async fn make(client: &Client, name: &str, color: &str) -> Value {
    client.post("/api/labels", json!({"name": name, "color": color})).await.expect(201)
}

fn names(body: &Value) -> Vec<&str> {
    body["labels"].as_array().unwrap().iter().map(|label| label["name"].as_str().unwrap()).collect()
}

#[apply(on_both)]
async fn labels_are_the_workspaces(gateway: &Gateway) {
    let user = gateway.user();
    let cyn = gateway.stranger("Cyn").await;
    let bug = make(&user, " Bug ", "#3B82F6").await;
    let expected = json!({"id": bug["id"], "workspace_id": gateway.workspace, "name": "Bug", "color": "#3b82f6",
        "created_at": bug["created_at"], "updated_at": bug["updated_at"]});
    assert_eq!(bug, expected);
    make(&user, "äpfel", "ffffff").await;
    make(&user, "api", "000000").await;
    make(&cyn, "bug", "000000").await;
    let list = user.get("/api/labels/").await.expect(200);
    assert_eq!((names(&list), &list["total"]), (vec!["api", "Bug", "äpfel"], &json!(3)));

    for (body, error) in [
        (json!({"name": "a\tb", "color": "x"}), "name cannot contain tabs, newlines, or control characters"),
        (json!({"color": "x"}), "name is required"),
        (json!({"name": "n".repeat(33), "color": "x"}), "name must be 32 characters or fewer"),
        (json!({"name": "new", "color": "blue"}), "color must be a 6-digit hex value like #3b82f6"),
        (json!({"name": 5}), "invalid request body"),
    ] {
        user.post("/api/labels", body).await.refused(400, error);
    }
    let taken = "a label with that name already exists";
    user.post("/api/labels", json!({"name": "bUG", "color": "000000"})).await.refused(409, taken);
    user.post("/api/labels", json!({"name": "ÄPFEL", "color": "000000"})).await.refused(409, taken);

    let path = format!("/api/labels/{}", id_of(&bug));
    assert_eq!(user.get(&path).await.expect(200), bug);
    let changed = user.put(&path, json!({"color": "#123456"})).await.expect(200);
    assert_eq!((&changed["name"], &changed["color"]), (&json!("Bug"), &json!("#123456")));
    user.put(&path, json!({"name": "API"})).await.refused(409, taken);
    user.put(&path, json!({"name": ""})).await.refused(400, "name is required");
    assert_eq!(
        user.put(&path, json!({"name": "BUG"})).await.expect(200)["name"],
        "BUG",
        "its own name is free"
    );
    cyn.get(&path).await.refused(404, "label not found");
    user.get("/api/labels/x").await.refused(400, "invalid label id");
    assert_eq!(user.delete(&path).await.status, 204);
    user.delete(&path).await.refused(404, "label not found");
    gateway.anonymous().get("/api/labels/x/y").await.refused(401, "missing authorization");
}

#[apply(on_both)]
async fn an_issue_wears_labels(gateway: &Gateway) {
    let user = gateway.user();
    let issue = gateway.seed_issue(gateway.workspace, "Fix the build", json!({})).await;
    let path = format!("/api/issues/{issue}/labels");
    assert_eq!(user.get(&path).await.expect(200), json!({"labels": []}));
    let (bug, api) = (make(&user, "bug", "000000").await, make(&user, "api", "000000").await);
    for _ in 0..2 {
        let worn = user.post(&path, json!({"label_id": bug["id"]})).await.expect(200);
        assert_eq!(names(&worn), ["bug"]);
    }
    let worn = user.post(&path, json!({"label_id": api["id"]})).await.expect(200);
    assert_eq!(names(&worn), ["api", "bug"]);
    let number = gateway.value("SELECT number FROM issue WHERE id = $1", json!([issue])).await;
    let by_number = user.get(format!("/api/issues/ANY-{number}/labels")).await.expect(200);
    assert_eq!(by_number, worn);

    user.post(&path, json!({})).await.refused(400, "label_id is required");
    user.post(&path, json!({"label_id": "x"})).await.refused(400, "invalid label_id");
    let cyn = gateway.stranger("Cyn").await;
    let foreign = make(&cyn, "bug", "000000").await;
    user.post(&path, json!({"label_id": foreign["id"]})).await.refused(404, "label not found");
    user.delete(format!("{path}/x")).await.refused(400, "invalid label id");
    user.delete(format!("{path}/{}", Uuid::new_v4())).await.refused(404, "label not found");
    for _ in 0..2 {
        let worn = user.delete(format!("{path}/{}", id_of(&bug))).await.expect(200);
        assert_eq!(names(&worn), ["api"]);
    }
    user.delete(format!("/api/labels/{}", id_of(&api))).await;
    assert_eq!(user.get(&path).await.expect(200), json!({"labels": []}), "off every issue");
    user.get("/api/issues/nope/labels").await.refused(404, "issue not found");
}

#[apply(on_both)]
async fn metadata_is_a_small_document(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let user = &cast.owner;
    let issue = cast.issue("agent", cast.a).await;
    let path = format!("/api/issues/{issue}/metadata");
    assert_eq!(user.get(&path).await.expect(200), json!({"metadata": {}}));
    for (key, value) in [("z.url", json!("https://x")), ("_n", json!(1.5)), ("b-1", json!(true))] {
        user.put(format!("{path}/{key}"), json!({"value": value})).await.expect(200);
    }
    let whole = json!({"metadata": {"_n": 1.5, "b-1": true, "z.url": "https://x"}});
    assert_eq!(user.get(&path).await.expect(200), whole);

    let put = async |key: &str, body: &str, status: u16, error: &str| {
        user.put(format!("{path}/{key}"), body).await.refused(status, error);
    };
    let pattern = "key must match ^[a-zA-Z_][a-zA-Z0-9_.-]{0,63}$";
    put("9a", "{", 400, pattern).await;
    put("a%20b", "{", 400, pattern).await;
    put("%FF", "{}", 400, pattern).await;
    put(&"k".repeat(65), "{}", 400, pattern).await;
    put("k", "{", 400, "invalid request body").await;
    put("k", "{}", 400, "value is required").await;
    put("k", r#"{"value":null}"#, 400, "value cannot be null (use DELETE to remove a key)").await;
    for structure in ["[]", "{}", r#"["a"]"#] {
        let body = format!(r#"{{"value":{structure}}}"#);
        put("k", &body, 400, "value must be a primitive: string, number, or bool").await;
    }
    let elsewhere = format!("/api/issues/{}/metadata", Uuid::new_v4());
    user.put(format!("{elsewhere}/9"), "{").await.refused(400, pattern);
    user.put(format!("{elsewhere}/k"), json!({"value": []}))
        .await
        .refused(400, "value must be a primitive: string, number, or bool");
    user.put(format!("{elsewhere}/k"), json!({"value": 1})).await.refused(404, "issue not found");
    user.delete(format!("{elsewhere}/k")).await.refused(404, "issue not found");

    user.put(format!("{path}/long"), json!({"value": "x".repeat(4000)})).await.expect(200);
    let long = json!({"value": "x".repeat(9000)});
    user.put(format!("{path}/long"), long).await.refused(400, "metadata exceeds the 8KB size limit");
    for _ in 0..2 {
        user.delete(format!("{path}/long")).await.expect(200);
    }
    assert_eq!(user.get(&path).await.expect(200), whole);
    for n in 3..50 {
        user.put(format!("{path}/k{n}"), json!({"value": n})).await.expect(200);
    }
    user.put(format!("{path}/more"), json!({"value": 1}))
        .await
        .refused(400, "metadata cannot exceed 50 keys");
    user.put(format!("{path}/k3"), json!({"value": "another"})).await.expect(200);
    assert!(cast.tasks(issue).await.is_empty(), "nobody is started");
}

/// Two who write at once lose nothing of each other.
#[apply(on_both)]
async fn metadata_written_at_once_is_all_kept(gateway: &Gateway) {
    let user = gateway.user();
    let issue = gateway.seed_issue(gateway.workspace, "Fix the build", json!({})).await;
    let path = format!("/api/issues/{issue}/metadata");
    let calls = (0..20).map(|n| {
        let call = user.put(format!("{path}/k{n}"), json!({"value": n}));
        async move { call.await.expect(200) }
    });
    futures_util::future::join_all(calls).await;
    let whole = user.get(&path).await.expect(200);
    assert_eq!(whole["metadata"].as_object().unwrap().len(), 20);
}

#[apply(on_both)]
async fn people_and_agents_follow_an_issue(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let user = &cast.owner;
    let bea = gateway.join("Bea", "member").await;
    let issue = cast.unassigned().await;
    let path = format!("/api/issues/{issue}");
    let list = async || {
        let list = user.get(format!("{path}/subscribers")).await.expect(200);
        let shown = list.as_array().unwrap().iter().map(|entry| {
            (
                entry["user_id"].as_str().unwrap().parse::<Uuid>().unwrap(),
                entry["reason"].as_str().unwrap().to_owned(),
            )
        });
        shown.collect::<Vec<_>>()
    };
    let on = json!({"subscribed": true});
    for body in ["", "{", "null", r#"{"user_id":5}"#, r#"{"user_id":""}"#] {
        assert_eq!(user.post(format!("{path}/subscribe"), body).await.expect(200), on);
    }
    user.post(format!("{path}/subscribe"), json!({"user_id": bea.id})).await.expect(200);
    let agent = json!({"user_id": cast.a, "user_type": "agent"});
    user.post(format!("{path}/subscribe"), agent).await.expect(200);
    let manual = |id: Uuid| (id, "manual".to_owned());
    assert_eq!(list().await, [manual(user.id), manual(bea.id), manual(cast.a)]);

    let stranger = "target user is not a member of this workspace";
    for body in [
        json!({"user_id": Uuid::new_v4()}),
        json!({"user_id": "x"}),
        json!({"user_id": cast.a}),
        json!({"user_id": bea.id, "user_type": "agent"}),
        json!({"user_id": bea.id, "user_type": "squad"}),
    ] {
        for verb in ["subscribe", "unsubscribe"] {
            user.post(format!("{path}/{verb}"), body.clone()).await.refused(403, stranger);
        }
    }
    for _ in 0..2 {
        let off = bea.post(format!("{path}/unsubscribe"), ()).await.expect(200);
        assert_eq!(off, json!({"subscribed": false}));
    }
    assert_eq!(list().await, [manual(user.id), manual(cast.a)]);

    // Whoever speaks follows; whoever is spoken of may yet.
    say(&bea, issue, &format!("/note {}", at("agent", cast.b))).await;
    assert_eq!(list().await.split_off(2), [(bea.id, "commenter".to_owned())]);
}

#[apply(on_both)]
async fn a_reaction_is_put_once(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let user = &cast.owner;
    let bea = gateway.join("Bea", "member").await;
    let issue = cast.unassigned().await;
    let comment = say(user, issue, "hello").await;
    for (path, of) in [
        (format!("/api/issues/{issue}/reactions"), "issue_id"),
        (format!("/api/comments/{comment}/reactions"), "comment_id"),
    ] {
        let table = if of == "issue_id" { "issue_reaction" } else { "comment_reaction" };
        let count = async || gateway.value(&format!("SELECT count(*) AS n FROM {table}"), json!([])).await;
        let first = user.post(&path, json!({"emoji": "👍"})).await.expect(201);
        assert_eq!(user.post(&path, json!({"emoji": "👍"})).await.expect(201), first);
        assert_eq!((&first["emoji"], &first["actor_type"]), (&json!("👍"), &json!("member")));
        assert!(first[of].is_string());
        bea.post(&path, json!({"emoji": "👍"})).await.expect(201);
        user.post(&path, json!({"emoji": "🎉"})).await.expect(201);
        assert_eq!(count().await, 3);
        for body in [json!({}), json!({"emoji": ""})] {
            user.post(&path, body).await.refused(400, "emoji is required");
        }
        let long = user.post(&path, json!({"emoji": "x".repeat(65)})).await;
        assert_eq!(long.status, 400, "{long}");
        for _ in 0..2 {
            let gone = user.call(reqwest::Method::DELETE, &path, json!({"emoji": "👍"})).await;
            assert_eq!((gone.status, gone.text.as_str()), (204, ""));
        }
        assert_eq!(count().await, 2, "one's own alone");
    }
}
