//! `/api/squads`: who leads, who is in, what they do.

use macro_rules_attribute::apply;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, Reply, ahead, id_of};

async fn create(client: &Client, leader: Uuid) -> Value {
    client.post("/api/squads", json!({"name": "Core", "leader_id": leader})).await.expect(201)
}

fn path(squad: &Value) -> String {
    format!("/api/squads/{}", id_of(squad))
}

fn member(kind: &str, id: Uuid) -> Value {
    json!({"member_type": kind, "member_id": id})
}

async fn remove(client: &Client, squad: &Value, body: Value) -> Reply {
    client.call(Method::DELETE, format!("{}/members", path(squad)), body).await
}

/// A squad begins with its leader as the only member, first in every preview.
/// User item 88.
#[apply(on_both)]
async fn a_squad_begins_with_its_leader(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let leader = gateway.seed_agent(runtime, "Lea", json!({})).await;
    let sent = json!({"name": "Core", "leader_id": leader, "description": "d", "avatar_url": "a", "instructions": "ignored"});
    let squad = ada.post("/api/squads", sent).await.expect(201);
    assert_eq!(
        squad,
        json!({
            "id": squad["id"], "workspace_id": gateway.workspace, "name": "Core", "description": "d",
            "instructions": "", "avatar_url": "a", "leader_id": leader, "creator_id": ada.id,
            "created_at": squad["created_at"], "updated_at": squad["updated_at"],
            "archived_at": null, "archived_by": null, "member_count": 1,
            "member_preview": [{"member_type": "agent", "member_id": leader, "role": "leader"}],
        })
    );
    assert_eq!(ada.get(path(&squad)).await.expect(200), squad);
    create(&ada, leader).await;
    let list = ada.get("/api/squads").await.expect(200);
    assert_eq!((list.as_array().unwrap().len(), &list[0]), (2, &squad));
    let members = ada.get(format!("{}/members", path(&squad))).await.expect(200);
    assert_eq!((members.as_array().unwrap().len(), &members[0]["squad_id"]), (1, &squad["id"]));
}

/// Only admins write; the rest of what a creation refuses, in order.
/// User item 88.
#[apply(on_both)]
async fn a_squad_is_made_by_admins_with_an_agent_of_the_workspace(gateway: &Gateway) {
    let ada = gateway.user();
    let bea = gateway.join("Bea", "member").await;
    let cyn = gateway.stranger("Cyn").await;
    let runtime = ada.register("dm", "claude").await;
    let leader = gateway.seed_agent(runtime, "Lea", json!({})).await;
    let elsewhere = cyn.register("dm-2", "claude").await;
    let foreign = gateway.seed_agent(elsewhere, "Far", json!({})).await;
    let squad = create(&ada, leader).await;
    for (body, message) in [
        (json!({"name": 1}), "invalid request body"),
        (json!({"leader_id": "x"}), "name is required"),
        (json!({"name": "x"}), "leader_id is required"),
        (json!({"name": "x", "leader_id": "x"}), "invalid leader_id"),
        (json!({"name": "x", "leader_id": Uuid::new_v4()}), "leader must be a valid agent in this workspace"),
        (json!({"name": "x", "leader_id": foreign}), "leader must be a valid agent in this workspace"),
    ] {
        ada.post("/api/squads", body).await.refused(400, message);
    }
    ada.put(path(&squad), json!({"leader_id": "x"})).await.refused(400, "invalid leader_id");
    let update = ada.put(path(&squad), json!({"leader_id": foreign, "name": "never"})).await;
    update.refused(400, "leader must be a valid agent in this workspace");
    assert_eq!(ada.get(path(&squad)).await.expect(200), squad);
    let forbidden = "insufficient permissions";
    bea.post("/api/squads", "no body").await.refused(403, forbidden);
    bea.put("/api/squads/x", json!({})).await.refused(403, forbidden);
    bea.delete("/api/squads/x").await.refused(403, forbidden);
    bea.post("/api/squads/x/members", json!({})).await.refused(403, forbidden);
    remove(&bea, &squad, json!({})).await.refused(403, forbidden);
    bea.patch("/api/squads/x/members/role", json!({})).await.refused(403, forbidden);
    bea.get(path(&squad)).await.expect(200);
    ada.get("/api/squads/x").await.refused(400, "invalid squad id");
    cyn.get(path(&squad)).await.refused(404, "squad not found");
}

/// A new leader joins; the old one stays, as what it was.
/// User item 90.
#[apply(on_both)]
async fn a_new_leader_joins_and_the_old_one_stays(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let old = gateway.seed_agent(runtime, "Old", json!({})).await;
    let new = gateway.seed_agent(runtime, "New", json!({})).await;
    let squad = create(&ada, old).await;
    let members = format!("{}/members", path(&squad));
    ada.post(&members, member("member", ada.id)).await.expect(201);
    let changed = ada
        .put(path(&squad), json!({"leader_id": new, "name": "Else", "instructions": "i"}))
        .await
        .expect(200);
    assert_eq!(
        (&changed["leader_id"], &changed["name"], &changed["instructions"], &changed["member_count"]),
        (&json!(new), &json!("Else"), &json!("i"), &json!(3))
    );
    assert_eq!(
        changed["member_preview"],
        json!([
            {"member_type": "agent", "member_id": new, "role": "leader"},
            {"member_type": "agent", "member_id": old, "role": "leader"},
            {"member_type": "member", "member_id": ada.id, "role": ""},
        ])
    );
    let back = ada.put(path(&squad), json!({"leader_id": old})).await.expect(200);
    assert_eq!((&back["member_count"], &back["member_preview"][0]["member_id"]), (&json!(3), &json!(old)));
}

/// Members come, change their role, and go; the leader stays.
/// User item 89.
#[apply(on_both)]
async fn members_come_and_go_and_the_leader_stays(gateway: &Gateway) {
    let ada = gateway.user();
    let bea = gateway.join("Bea", "member").await;
    let cyn = gateway.stranger("Cyn").await;
    let runtime = ada.register("dm", "claude").await;
    let leader = gateway.seed_agent(runtime, "Lea", json!({})).await;
    let squad = create(&ada, leader).await;
    let members = format!("{}/members", path(&squad));
    for (body, message) in [
        (json!({"member_type": "team"}), "member_type must be 'agent' or 'member'"),
        (json!({"member_type": "agent"}), "member_id is required"),
        (json!({"member_type": "agent", "member_id": "x"}), "invalid member_id"),
        (member("agent", Uuid::new_v4()), "agent not found in this workspace"),
        (member("member", cyn.id), "member not found in this workspace"),
        (member("agent", bea.id), "agent not found in this workspace"),
        (json!(null), "member_type must be 'agent' or 'member'"),
    ] {
        ada.post(&members, body).await.refused(400, message);
    }
    let added = ada
        .post(&members, json!({"member_type": "member", "member_id": bea.id, "role": "qa"}))
        .await
        .expect(201);
    assert_eq!((&added["role"], &added["squad_id"]), (&json!("qa"), &squad["id"]));
    ada.post(&members, member("member", bea.id)).await.refused(409, "member already in squad");
    ada.post(&members, member("agent", leader)).await.refused(409, "member already in squad");
    let role = format!("{members}/role");
    let sent = json!({"member_type": "member", "member_id": bea.id, "role": "lead qa"});
    assert_eq!(ada.patch(&role, sent).await.expect(200)["role"], "lead qa");
    ada.patch(&role, member("member", ada.id)).await.refused(404, "squad member not found");
    ada.patch(&role, json!({"member_type": "member"})).await.refused(400, "invalid member_id");
    let stays = "cannot remove the squad leader; change leader first";
    remove(&ada, &squad, member("agent", leader)).await.refused(400, stays);
    remove(&ada, &squad, json!({"member_type": "agent", "member_id": "x"}))
        .await
        .refused(400, "invalid member_id");
    remove(&ada, &squad, member("member", ada.id)).await.refused(404, "squad member not found");
    assert_eq!(remove(&ada, &squad, member("member", bea.id)).await.status, 204);
    remove(&ada, &squad, member("member", bea.id)).await.refused(404, "squad member not found");
    assert_eq!(ada.get(&members).await.expect(200).as_array().unwrap().len(), 1);
}

/// Archiving gives what the squad was assigned to its leader and starts nothing.
/// User item 91.
#[apply(on_both)]
async fn archiving_hands_the_work_to_the_leader(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let leader = gateway.seed_agent(runtime, "Lea", json!({})).await;
    let squad = create(&ada, leader).await;
    let other = create(&ada, leader).await;
    let to = |squad: &Value| json!({"assignee_type": "squad", "assignee_id": squad["id"]});
    let mine = gateway.seed_issue(gateway.workspace, "mine", to(&squad)).await;
    let others = gateway.seed_issue(gateway.workspace, "others", to(&other)).await;
    let autopilot = gateway
        .seed(
            "autopilot",
            json!({"workspace_id": gateway.workspace, "title": "t",
        "created_by_type": "member", "created_by_id": ada.id}),
            to(&squad),
        )
        .await;
    assert_eq!(ada.delete(path(&squad)).await.status, 204);
    ada.delete(path(&squad)).await.refused(400, "squad is already archived");
    for (table, id, kind, who) in [
        ("issue", mine, "agent", json!(leader)),
        ("issue", others, "squad", other["id"].clone()),
        ("autopilot", autopilot, "agent", json!(leader)),
    ] {
        let sql = format!("SELECT assignee_type, assignee_id FROM {table} WHERE id = $1");
        let row = gateway.row(&sql, json!([id])).await;
        assert_eq!(row, json!({"assignee_type": kind, "assignee_id": who}), "{table}");
    }
    gateway.assert_settled().await;
    let list = ada.get("/api/squads").await.expect(200);
    assert_eq!((list.as_array().unwrap().len(), &list[0]["id"]), (1, &other["id"]));
    let found = ada.get(path(&squad)).await.expect(200);
    assert!(found["archived_at"].is_string() && found["archived_by"] == json!(ada.id), "{found}");
}

/// What members are doing: people nothing that is known, agents by the first match.
#[apply(on_both)]
async fn what_members_are_doing_is_derived(gateway: &Gateway) {
    let ada = gateway.user();
    let here = ada.register("dm", "claude").await;
    let lost = |seconds: i64, daemon: &str| json!({"status": "offline", "daemon_id": daemon, "last_seen_at": ahead(seconds)});
    let shaky = gateway.seed_runtime(gateway.workspace, ada.id, lost(-60, "shaky")).await;
    let gone = gateway.seed_runtime(gateway.workspace, ada.id, lost(-3600, "gone")).await;
    let leader = gateway.seed_agent(here, "Lea", json!({})).await;
    let squad = create(&ada, leader).await;
    let members = format!("{}/members", path(&squad));
    let busy = gateway.seed_agent(here, "Busy", json!({})).await;
    let unstable = gateway.seed_agent(shaky, "Shaky", json!({})).await;
    let offline = gateway.seed_agent(gone, "Gone", json!({})).await;
    let archived = gateway.seed_agent(here, "Archived", json!({"archived_at": ahead(0)})).await;
    for agent in [busy, unstable, offline, archived] {
        ada.post(&members, member("agent", agent)).await.expect(201);
    }
    ada.post(&members, member("member", ada.id)).await.expect(201);
    let issue = gateway.seed_issue(gateway.workspace, "Fix it", json!({})).await;
    gateway.seed_task(busy, json!({"issue_id": issue})).await;
    ada.run_one(here).await;

    let found = ada.get(format!("{members}/status")).await.expect(200);
    let found = found["members"].as_array().unwrap();
    let statuses: Vec<&Value> = found.iter().map(|member| &member["status"]).collect();
    assert_eq!(
        statuses,
        [
            &json!("idle"),
            &json!("working"),
            &json!("unstable"),
            &json!("offline"),
            &json!("archived"),
            &Value::Null
        ]
    );
    let row = gateway
        .row(
            "SELECT i.number, w.issue_prefix FROM issue i JOIN workspace w ON w.id = i.workspace_id
        WHERE i.id = $1",
            json!([issue]),
        )
        .await;
    let identifier = format!("{}-{}", row["issue_prefix"].as_str().unwrap(), row["number"]);
    assert_eq!(
        found[1]["active_issues"],
        json!([
            {"issue_id": issue, "identifier": identifier, "title": "Fix it", "issue_status": "todo"},
        ])
    );
    assert!(found[1]["last_active_at"].is_string() && found[0]["last_active_at"].is_null(), "{found:?}");
    assert_eq!(
        found[5],
        json!({"member_type": "member", "member_id": ada.id, "status": null,
        "active_issues": [], "last_active_at": null})
    );
}
