//! People in a workspace: invited, joining, given a role, going.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, ahead, id_of};

fn members(gateway: &Gateway) -> String {
    format!("/api/workspaces/{}/members", gateway.workspace)
}

/// The id of the client's membership in the gateway's workspace.
async fn membership(gateway: &Gateway, client: &Client) -> Uuid {
    let listed = gateway.user().get(members(gateway)).await.expect(200);
    let found = listed.as_array().unwrap().iter().find(|member| member["user_id"] == json!(client.id));
    id_of(found.expect("the client is a member"))
}

/// User items 44, 45 and 46.
#[apply(on_both)]
async fn an_invited_person_becomes_a_member_by_saying_yes(gateway: &Gateway) {
    let owner = gateway.user();
    let (guest, other) = (gateway.seed_user("Guest").await, gateway.seed_user("Other").await);
    let check = |body: Value, status: u16, error: &'static str| async move {
        gateway.user().post(members(gateway), body).await.refused(status, error);
    };
    check(json!({"email": "  "}), 400, "email is required").await;
    check(json!({"email": "a@b.c", "role": "king"}), 400, "invalid member role").await;
    check(json!({"email": "a@b.c", "role": "owner"}), 400, "cannot invite as owner").await;
    check(json!({"email": owner.email}), 409, "user is already a member").await;

    let reply = owner.post(members(gateway), json!({"email": " GUEST@example.com ", "role": "admin"})).await;
    let invitation = reply.expect(201);
    assert_eq!(invitation["invitee_email"], json!("guest@example.com"));
    assert_eq!(invitation["invitee_user_id"], json!(guest.id));
    assert_eq!((&invitation["role"], &invitation["status"]), (&json!("admin"), &json!("pending")));
    assert_eq!(invitation.get("inviter_name"), None);
    check(json!({"email": "guest@example.com"}), 409, "invitation already pending for this email").await;
    let listed = owner.get(members(gateway)).await.expect(200);
    assert_eq!(listed.as_array().unwrap().len(), 1);

    let id = id_of(&invitation);
    let mine = guest.get("/api/invitations").await.expect(200);
    assert_eq!(mine.as_array().unwrap().len(), 1);
    assert_eq!(mine[0]["inviter_email"], json!(owner.email));
    assert!(mine[0]["workspace_name"].is_string() && mine[0]["inviter_name"].is_string());
    assert_eq!(guest.get(format!("/api/invitations/{id}")).await.expect(200)["id"], json!(id));
    other.get(format!("/api/invitations/{id}")).await.refused(403, "invitation does not belong to you");
    guest.get(format!("/api/invitations/{}", Uuid::new_v4())).await.refused(404, "invitation not found");
    let accept = |client: &Client| client.post(format!("/api/invitations/{id}/accept"), ());
    accept(&other).await.refused(403, "invitation does not belong to you");
    let joined = accept(&guest).await.expect(200);
    assert_eq!((&joined["user_id"], &joined["role"]), (&json!(guest.id), &json!("admin")));
    assert_eq!(joined["workspace_id"], json!(gateway.workspace));
    accept(&guest).await.refused(400, "invitation is not pending");
    assert!(guest.get("/api/me").await.expect(200)["onboarded_at"].is_string());
    assert_eq!(guest.get("/api/invitations").await.expect(200), json!([]));
    guest.get(members(gateway)).await.expect(200);
}

#[apply(on_both)]
async fn an_invitation_is_declined_revoked_or_grows_old(gateway: &Gateway) {
    let (owner, guest) = (gateway.user(), gateway.seed_user("Guest").await);
    let member = gateway.join("Bea", "member").await;
    let invite = async || {
        let made = owner.post(members(gateway), json!({"email": "guest@example.com"})).await;
        id_of(&made.expect(201))
    };
    member.post(members(gateway), json!({"email": "a@b.c"})).await.refused(403, "insufficient permissions");
    let declined = invite().await;
    assert_eq!(guest.post(format!("/api/invitations/{declined}/decline"), ()).await.status, 204);
    let again = guest.post(format!("/api/invitations/{declined}/decline"), ()).await;
    again.refused(400, "invitation is not pending");

    let revoked = invite().await;
    let all = format!("/api/workspaces/{}/invitations", gateway.workspace);
    assert_eq!(member.get(&all).await.expect(200).as_array().unwrap().len(), 1);
    let one = format!("{all}/{revoked}");
    member.delete(&one).await.refused(403, "insufficient permissions");
    owner.delete(format!("{all}/x")).await.refused(400, "invalid invitation id");
    assert_eq!(owner.delete(&one).await.status, 204);
    owner.delete(&one).await.refused(404, "invitation not found");
    guest.post(format!("/api/invitations/{revoked}/accept"), ()).await.refused(404, "invitation not found");

    let old = invite().await;
    gateway.change("workspace_invitation", old, "expires_at", json!(ahead(-1))).await;
    assert_eq!(owner.get(&all).await.expect(200), json!([]));
    guest.post(format!("/api/invitations/{old}/accept"), ()).await.refused(410, "invitation has expired");
    let shown = guest.get(format!("/api/invitations/{old}")).await.expect(200);
    assert_eq!(shown["status"], json!("expired"));
    // It no longer stands in the way of another.
    let fresh = invite().await;
    gateway.seed_member(gateway.workspace, guest.id, "member").await;
    let twice = guest.post(format!("/api/invitations/{fresh}/accept"), ()).await;
    twice.refused(409, "you are already a member of this workspace");
}

/// User item 47, and who may give which role.
#[apply(on_both)]
async fn a_workspace_keeps_an_owner(gateway: &Gateway) {
    let owner = gateway.user();
    let (admin, member) = (gateway.join("Adi", "admin").await, gateway.join("Bea", "member").await);
    let own = format!("{}/{}", members(gateway), membership(gateway, &owner).await);
    let theirs = format!("{}/{}", members(gateway), membership(gateway, &member).await);
    let leave = format!("/api/workspaces/{}/leave", gateway.workspace);
    let role = |role: &str| json!({"role": role});

    member.patch(&theirs, role("admin")).await.refused(403, "insufficient permissions");
    owner.patch(format!("{}/x", members(gateway)), role("admin")).await.refused(400, "invalid member id");
    let nobody = format!("{}/{}", members(gateway), Uuid::new_v4());
    owner.patch(&nobody, role("admin")).await.refused(404, "member not found");
    owner.delete(&nobody).await.refused(404, "member not found");
    owner.patch(&theirs, json!({})).await.refused(400, "role is required");
    owner.patch(&theirs, role("king")).await.refused(400, "invalid member role");
    admin.patch(&theirs, role("owner")).await.refused(403, "insufficient permissions");
    admin.patch(&own, role("member")).await.refused(403, "insufficient permissions");
    admin.delete(&own).await.refused(403, "insufficient permissions");
    const LAST: &str = "workspace must have at least one owner";
    owner.patch(&own, role("admin")).await.refused(400, LAST);
    owner.delete(&own).await.refused(400, LAST);
    owner.post(&leave, ()).await.refused(400, LAST);

    let changed = owner.patch(&theirs, role("owner")).await.expect(200);
    assert_eq!((&changed["role"], &changed["email"]), (&json!("owner"), &json!(member.email)));
    // Both step down at once: one of them stays.
    let (one, two) = tokio::join!(owner.post(&leave, ()), member.post(&leave, ()));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 400], "{one} {two}");
    let owners = "SELECT count(*) AS n FROM member WHERE workspace_id = $1 AND role = 'owner'";
    assert_eq!(gateway.value(owners, json!([gateway.workspace])).await, json!(1));
    assert_eq!(admin.post(&leave, ()).await.status, 204);
    admin.get(members(gateway)).await.refused(404, "workspace not found");
}

/// User item 48. Daemon item 36.
#[apply(on_both)]
async fn a_member_who_goes_takes_their_machines_along(gateway: &Gateway) {
    let owner = gateway.user();
    let (member, other) = (gateway.join("Bea", "member").await, gateway.join("Dan", "member").await);
    let runtime = member.register("bea-mac", "claude").await;
    let daemon = gateway.daemon(gateway.workspace, "bea-mac").await;
    let kept = gateway.daemon(gateway.workspace, "another").await;
    let theirs = gateway.seed_agent(runtime, "Gus", json!({"mcp_config": {"mcpServers": {}}})).await;
    // An agent that works elsewhere, with a task that is still on this runtime, and shared with the member.
    let elsewhere = owner.register("dm-1", "claude").await;
    let moved = gateway.seed_agent(elsewhere, "Gil", json!({})).await;
    let target = json!({"agent_id": moved, "target_type": "member", "target_id": member.id});
    gateway.seed("agent_invocation_target", target, json!({})).await;
    let running = gateway.seed_issue_task(theirs, json!({})).await;
    let deferred =
        gateway.seed_issue_task(theirs, json!({"status": "deferred", "fire_at": ahead(3600)})).await;
    let left_behind = gateway.seed_issue_task(moved, json!({"runtime_id": runtime})).await;
    let untouched = gateway.seed_issue_task(moved, json!({})).await;
    let claimed = daemon.claim_one(runtime).await;
    let agent_token = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    member.beat(runtime).await;
    kept.post("/api/daemon/heartbeat", json!({"runtime_id": elsewhere})).await.expect(200);

    let path = format!("{}/{}", members(gateway), membership(gateway, &member).await);
    other.delete(&path).await.refused(403, "insufficient permissions");
    assert_eq!(owner.delete(&path).await.status, 204);

    let beat = json!({"runtime_id": runtime});
    member.post("/api/daemon/heartbeat", beat.clone()).await.refused(404, "not found");
    daemon.post("/api/daemon/heartbeat", beat).await.refused(401, "invalid daemon token");
    kept.post("/api/daemon/heartbeat", json!({"runtime_id": elsewhere})).await.expect(200);
    member.get(members(gateway)).await.refused(404, "workspace not found");
    assert_eq!(agent_token.get("/api/me").await.status, 401);
    for task in [running, deferred, left_behind] {
        let row = gateway
            .row("SELECT status, completed_at FROM agent_task_queue WHERE id = $1", json!([task]))
            .await;
        assert_eq!(row["status"], json!("cancelled"));
        assert!(row["completed_at"].is_string());
    }
    let status = "SELECT status FROM agent_task_queue WHERE id = $1";
    assert_eq!(gateway.value(status, json!([untouched])).await, json!("queued"));
    let runtimes = owner.get("/api/runtimes").await.expect(200);
    let offline = runtimes.as_array().unwrap().iter().find(|row| row["id"] == json!(runtime)).unwrap();
    assert_eq!(offline["status"], json!("offline"));
    let archived =
        gateway.row("SELECT archived_at, archived_by FROM agent WHERE id = $1", json!([theirs])).await;
    assert!(archived["archived_at"].is_string());
    assert_eq!(archived["archived_by"], json!(owner.id));
    let shared = "SELECT count(*) AS n FROM agent_invocation_target WHERE target_id = $1";
    assert_eq!(gateway.value(shared, json!([member.id])).await, json!(0));
    let active = "SELECT archived_at FROM agent WHERE id = $1";
    assert_eq!(gateway.value(active, json!([moved])).await, Value::Null);
}
