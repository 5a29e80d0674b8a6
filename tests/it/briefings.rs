//! The briefing of a squad's leader in a claim: when it comes, of which squad, and that what
//! it says of the roster can be used as it stands.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::comment_cast::{Cast, at, say};
use crate::harness::{Gateway, check_members, id_of};
use crate::plugins_scene::instructions;

const PROTOCOL: &str = "## Squad Operating Protocol\n";

/// Domain items 214, 215 and 225: three parts behind the agent's own words, or two from the
/// first character on.
#[apply(on_both)]
async fn a_leader_is_briefed_behind_its_own_words(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let squad = cast.squad(cast.a).await;
    gateway.change("agent", cast.a, "instructions", json!(" Be brief.\n")).await;
    gateway.change("squad", squad, "instructions", json!("\nShip small.\n")).await;
    let claim = async || {
        let leads = json!({"is_leader_task": true, "squad_id": squad});
        gateway.seed_issue_task(cast.a, leads).await;
        instructions(&cast.owner.claim_one(cast.runtime).await).to_owned()
    };
    let text = claim().await;
    let briefing = text.strip_prefix(" Be brief.\n\n\n").unwrap_or_else(|| panic!("{text:?}"));
    let places: Vec<usize> =
        [PROTOCOL, "\n\n## Squad Roster\n\n", "\n\n## Squad Instructions (Core)\n\nShip small."]
            .iter()
            .map(|heading| briefing.find(heading).unwrap_or_else(|| panic!("{heading} in {briefing}")))
            .collect();
    assert_eq!(places[0], 0);
    assert!(places.is_sorted(), "{places:?}");
    assert!(briefing.ends_with("Ship small."), "{briefing}");
    gateway.change("agent", cast.a, "instructions", json!(" \n")).await;
    gateway.change("squad", squad, "instructions", json!(" \n")).await;
    let text = claim().await;
    assert!(text.starts_with(PROTOCOL), "{text}");
    assert!(!text.contains("## Squad Instructions"), "{text}");
}

/// Domain items 216, 217, 218 and 219: the role is the task's, whatever the issue's assignee,
/// and lives on in a retry.
#[apply(on_both)]
async fn the_role_is_the_tasks(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let squad = cast.squad(cast.a).await;
    let issue = cast.issue("agent", cast.b).await;
    say(&cast.owner, issue, &at("squad", squad)).await;
    let led = cast.owner.claim_one(cast.runtime).await;
    assert_eq!(led["agent"]["id"], json!(cast.a));
    assert!(instructions(&led).starts_with(PROTOCOL));
    let lost = json!({"error": "gone", "failure_reason": "runtime_recovery"});
    cast.owner.fail(id_of(&led), lost.clone()).await;
    let again = cast.owner.claim_one(cast.runtime).await;
    assert_eq!(again["parent_task_id"], led["id"]);
    assert_eq!(instructions(&again), instructions(&led));
    cast.owner.start(id_of(&again)).await;
    cast.owner.complete(id_of(&again), json!({})).await;

    say(&cast.owner, issue, &at("agent", cast.a)).await;
    let works = cast.owner.claim_one(cast.runtime).await;
    assert_eq!((&works["agent"]["id"], instructions(&works)), (&json!(cast.a), ""));
    cast.owner.start(id_of(&works)).await;
    cast.owner.complete(id_of(&works), json!({})).await;

    // Another leads since, or nobody at all.
    for change in [
        "UPDATE squad SET leader_id = $2 WHERE id = $1",
        "DELETE FROM squad WHERE id = $1 AND leader_id = $2",
    ] {
        let leads = json!({"is_leader_task": true, "squad_id": squad});
        gateway.seed_issue_task(cast.a, leads).await;
        gateway.execute(change, json!([squad, cast.b])).await;
        assert_eq!(instructions(&cast.owner.claim_one(cast.runtime).await), "", "{change}");
    }
}

/// Domain item 220.
#[apply(on_both)]
async fn who_leads_two_squads_is_briefed_for_one(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let named = async |name: &str| {
        let words = json!({"instructions": format!("We are {name}.")});
        gateway.seed_squad(gateway.workspace, name, cast.a, words).await
    };
    let (core, web) = (named("Core").await, named("Web").await);
    for (squad, own, other) in [(web, "Web", "Core"), (core, "Core", "Web")] {
        say(&cast.owner, cast.unassigned().await, &at("squad", squad)).await;
        let claimed = cast.owner.claim_one(cast.runtime).await;
        let text = instructions(&claimed);
        assert!(text.ends_with(&format!("## Squad Instructions ({own})\n\nWe are {own}.")), "{text}");
        assert!(!text.contains(other), "{text}");
    }
}

/// Domain item 221, to the byte, and 222: who is archived or leads has no row.
#[apply(on_both)]
async fn the_roster_is_written_by_its_grammar(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let squad = cast.squad(cast.a).await;
    let gone = json!({"archived_at": crate::harness::ahead(-60)});
    let gone = gateway.seed_agent(cast.runtime, "Gone", gone).await;
    let idle = gateway.seed_agent(cast.runtime, "Idle", json!({})).await;
    for skill in ["sql", "rust"] {
        gateway.seed_skill(cast.b, skill, "How to.", &[]).await;
    }
    let (ann, bob) = (gateway.join("Ann", "member").await, gateway.join("Bob", "member").await);
    for (kind, member, role) in [
        ("agent", gone, "ghost"),
        ("agent", cast.b, " back end "),
        ("agent", idle, " "),
        ("member", ann.id, "PM"),
        ("member", bob.id, ""),
        ("member", Uuid::new_v4(), "nobody"),
    ] {
        gateway.seed_squad_member(squad, kind, member, role).await;
    }
    let claim = async || {
        gateway.seed_issue_task(cast.a, json!({"is_leader_task": true, "squad_id": squad})).await;
        let claimed = cast.owner.claim_one(cast.runtime).await;
        let (_, roster) = instructions(&claimed).split_once("## Squad Roster\n\n").unwrap();
        roster.to_owned()
    };
    let leader = format!("Leader (you):\n- Abe — agent — `[@Abe](mention://agent/{})`\n\n", cast.a);
    let expected = format!(
        "{leader}Members:\n\
         - Bo — agent, role: \"back end\" — skills: rust, sql — `[@Bo](mention://agent/{})`\n\
         - Idle — agent — no skills assigned — `[@Idle](mention://agent/{idle})`\n\
         - Ann — member (human), role: \"PM\" — `[@Ann](mention://member/{})`\n\
         - Bob — member (human) — `[@Bob](mention://member/{})`\n",
        cast.b, ann.id, bob.id,
    );
    assert_eq!(claim().await, expected);
    let sql = "DELETE FROM squad_member WHERE squad_id = $1 AND member_id NOT IN ($2, $3)";
    gateway.execute(sql, json!([squad, cast.a, gone])).await;
    let alone = "Members: (none — you are the only member of this squad)\n";
    assert_eq!(claim().await, format!("{leader}{alone}"));
}

/// Domain item 224: a row's mention, copied as it stands, starts whom it names.
#[apply(on_both)]
async fn a_rosters_mentions_can_be_used(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let squad = cast.squad(cast.a).await;
    let mut members = Vec::new();
    for name in ["Plain", "[Square] ] brackets [", "Ünï — code", "back`tick", "@at (round)"] {
        let member = gateway.seed_agent(cast.runtime, name, json!({})).await;
        gateway.seed_squad_member(squad, "agent", member, "").await;
        members.push(member);
    }
    gateway.seed_issue_task(cast.a, json!({"is_leader_task": true, "squad_id": squad})).await;
    let claimed = cast.owner.claim_one(cast.runtime).await;
    let (_, rows) = instructions(&claimed).split_once("Members:\n").unwrap();
    assert_eq!(rows.lines().count(), members.len(), "{rows}");
    for (row, member) in rows.lines().zip(members) {
        let (_, mention) = row.split_once(" — `").unwrap();
        let mention = mention.strip_suffix('`').unwrap();
        let issue = cast.unassigned().await;
        say(&cast.owner, issue, mention).await;
        assert_eq!(cast.started(issue).await, [member], "{mention}");
    }
}

/// Domain item 226.
#[apply(on_both)]
async fn only_a_prompt_names_its_squad(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let squad = cast.squad(cast.a).await;
    let ask = async |body: Value| {
        cast.owner.post("/api/issues/quick-create", body).await.expect(202);
        let claimed = cast.owner.claim_one(cast.runtime).await;
        cast.owner.fail(id_of(&claimed), json!({"failure_reason": "agent_blocked"})).await;
        claimed
    };
    let led = ask(json!({"prompt": "p", "squad_id": squad})).await;
    check_members(&led, &json!({"squad_id": squad, "squad_name": "Core"}));
    assert!(instructions(&led).starts_with(PROTOCOL));
    let plain = ask(json!({"prompt": "p", "agent_id": cast.a})).await;
    check_members(&plain, &json!({"squad_id": null, "squad_name": null}));
    assert_eq!(instructions(&plain), "");
    gateway.seed_issue_task(cast.a, json!({"is_leader_task": true, "squad_id": squad})).await;
    let on_issue = cast.owner.claim_one(cast.runtime).await;
    check_members(&on_issue, &json!({"squad_id": null, "squad_name": null}));
    assert!(instructions(&on_issue).starts_with(PROTOCOL));
}
