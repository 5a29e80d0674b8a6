//! Whom a comment starts: the decision table from outside.

use macro_rules_attribute::apply;
use serde_json::json;
use uuid::Uuid;

use crate::comment_cast::{Cast, answer, at, say, speak, uuid};
use crate::harness::Gateway;

/// User items 124 and 125. Domain items 153 and 155: a person's comment is for the assignee, once while it waits.
#[apply(on_both)]
async fn a_comment_starts_the_assignee(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let issue = cast.issue("agent", cast.a).await;
    let comment = say(&cast.owner, issue, "the totals are off\nby one").await;
    let tasks = cast.tasks(issue).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0]["trigger_comment_id"], comment.to_string());
    assert_eq!(tasks[0]["trigger_summary"], "the totals are off by one");
    assert_eq!(tasks[0]["originator_user_id"], cast.owner.id.to_string());
    let shown = cast.owner.get(format!("/api/issues/{issue}/task-runs")).await.expect(200);
    assert_eq!(shown[0]["kind"], "comment");

    say(&cast.owner, issue, "more").await;
    assert_eq!(cast.started(issue).await, [cast.a], "one waits already");
    cast.at_work(cast.a).await;
    say(&cast.owner, issue, "and more").await;
    assert_eq!(cast.started(issue).await, [cast.a, cast.a], "what runs does not count");
}

/// User items 126 and 127. Domain items 143 to 146.
#[apply(on_both)]
async fn a_mention_is_for_whom_it_names(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let given = async |content: String| {
        let issue = cast.issue("agent", cast.a).await;
        say(&cast.owner, issue, &content).await;
        cast.started(issue).await
    };
    let (a, b) = (at("agent", cast.a), at("agent", cast.b));
    assert_eq!(given(b.clone()).await, [cast.b], "and not the assignee");
    assert_eq!(given(format!("{b} {a} {b}")).await, [cast.b, cast.a]);
    let upper = at("agent", &cast.b.to_string().to_uppercase());
    assert_eq!(given(format!("{upper} {b}")).await, [cast.b]);
    assert_eq!(given(format!("[@B [the builder]](mention://agent/{})", cast.b)).await, [cast.b]);
    assert_eq!(given("@Bo look".to_owned()).await, [cast.a], "a plain name is no mention");
    assert_eq!(given(format!("```\n{b}\n```")).await, [cast.b], "code is no refuge");
    let done = json!({"status": "done", "assignee_type": "agent", "assignee_id": cast.a});
    let done = gateway.seed_issue(gateway.workspace, "Over", done).await;
    say(&cast.owner, done, &b).await;
    assert_eq!(cast.started(done).await, [cast.b], "whatever the issue's status");
}

/// User item 129. Domain items 141 and 142.
#[apply(on_both)]
async fn notes_and_mentions_of_people_are_for_nobody(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let bea = gateway.join("Bea", "member").await;
    let issue = cast.issue("agent", cast.a).await;
    let b = at("agent", cast.b);
    for content in [
        "/note for later".to_owned(),
        format!("  /NOTE {b}"),
        at("member", bea.id),
        at("all", "all"),
        format!("{b} {}", at("all", "all")),
    ] {
        say(&cast.owner, issue, &content).await;
        assert!(cast.tasks(issue).await.is_empty(), "{content}");
    }
    say(&cast.owner, issue, &format!("/notes see {}", at("issue", issue))).await;
    assert_eq!(cast.started(issue).await, [cast.a]);
}

/// A mention that names nobody starts nobody, and nothing breaks.
#[apply(on_both)]
async fn a_mention_of_nobody_is_passed_over(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let cyn = gateway.stranger("Cyn").await;
    let far = gateway.seed_runtime(cyn.workspace, cyn.id, json!({})).await;
    let foreign = gateway.seed_agent(far, "Far", json!({})).await;
    let old = json!({"archived_at": crate::harness::ahead(-60)});
    let archived = gateway.seed_agent(cast.runtime, "Old", old).await;
    let issue = cast.issue("agent", cast.a).await;
    for id in ["abc", "all", "-", &*"f".repeat(4000)] {
        for kind in ["agent", "squad"] {
            say(&cast.owner, issue, &at(kind, id)).await;
        }
    }
    for id in [foreign, archived, Uuid::new_v4()] {
        say(&cast.owner, issue, &at("agent", id)).await;
        say(&cast.owner, issue, &at("squad", id)).await;
    }
    assert!(cast.tasks(issue).await.is_empty());
    let crowd: Vec<String> = (0..2000).map(|_| at("agent", Uuid::new_v4())).collect();
    say(&cast.owner, issue, &format!("{} {}", crowd.join(" "), at("agent", cast.b))).await;
    assert_eq!(cast.started(issue).await, [cast.b]);
}

/// User item 128. Domain items 147 and 148.
#[apply(on_both)]
async fn a_squad_is_called_through_its_leader(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let squad = cast.squad(cast.b).await;
    let issue = cast.issue("agent", cast.a).await;
    say(&cast.owner, issue, &at("squad", squad)).await;
    let tasks = cast.tasks(issue).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!(uuid(&tasks[0]["agent_id"]), cast.b);
    assert_eq!((&tasks[0]["is_leader_task"], uuid(&tasks[0]["squad_id"])), (&json!(true), squad));

    // The leader in its role does not call itself.
    let (leader, task) = cast.at_work(cast.b).await;
    let trigger = uuid(&tasks[0]["trigger_comment_id"]);
    answer(&leader, issue, trigger, &at("squad", squad)).await;
    assert_eq!(cast.started(issue).await, [cast.b]);
    cast.owner.complete(task, json!({})).await;

    // As a worker it may.
    say(&cast.owner, issue, &at("agent", cast.b)).await;
    let (worker, _) = cast.at_work(cast.b).await;
    let trigger = uuid(&cast.tasks(issue).await[1]["trigger_comment_id"]);
    answer(&worker, issue, trigger, &at("squad", squad)).await;
    let last = cast.tasks(issue).await.pop().unwrap();
    assert_eq!(
        (uuid(&last["agent_id"]), &last["is_leader_task"], &last["status"]),
        (cast.b, &json!(true), &json!("queued"))
    );
}

/// The first mention of an agent decides in which role it runs.
#[apply(on_both)]
async fn the_first_mention_gives_the_role(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let squad = cast.squad(cast.b).await;
    for (content, led) in [
        (format!("{} {}", at("squad", squad), at("agent", cast.b)), true),
        (format!("{} {}", at("agent", cast.b), at("squad", squad)), false),
    ] {
        let issue = cast.unassigned().await;
        say(&cast.owner, issue, &content).await;
        let tasks = cast.tasks(issue).await;
        assert_eq!(tasks.len(), 1, "{content}");
        assert_eq!(tasks[0]["is_leader_task"], led, "{content}");
    }
}

/// User item 130. Domain item 149.
#[apply(on_both)]
async fn an_agent_without_a_mention_reaches_only_a_squad(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let to_agent = cast.issue("agent", cast.a).await;
    let (worker, _, call) = cast.called(cast.b, to_agent).await;
    answer(&worker, to_agent, call, "done").await;
    assert_eq!(cast.started(to_agent).await, [cast.b]);

    let squad = cast.squad(cast.a).await;
    let to_squad = cast.issue("squad", squad).await;
    // Free on an issue that is not its task's.
    say(&worker, to_squad, "look at this").await;
    let tasks = cast.tasks(to_squad).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!((uuid(&tasks[0]["agent_id"]), &tasks[0]["is_leader_task"]), (cast.a, &json!(true)));
}

/// User item 131. Domain items 150, 151 and 152, but for who stands by.
#[apply(on_both)]
async fn a_reply_goes_on_with_whom_the_thread_is_about(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let c = gateway.seed_agent(cast.runtime, "Cy", json!({})).await;
    let issue = cast.issue("agent", c).await;
    let said = async |parent: Uuid| {
        let before = cast.started(issue).await.len();
        answer(&cast.owner, issue, parent, "and now?").await;
        cast.started(issue).await.split_off(before)
    };
    let theirs = gateway.seed_comment(issue, "agent", cast.b, "done", json!({})).await;
    assert_eq!(said(theirs).await, [cast.b], "to the agent that it answers");

    let private = json!({"permission_mode": "private", "owner_id": Uuid::new_v4()});
    let owner = gateway.seed_user("Pam").await;
    let private = crate::harness::over(private, json!({"owner_id": owner.id}));
    let closed = gateway.seed_agent(cast.runtime, "Pip", private).await;
    let theirs = gateway.seed_comment(issue, "agent", closed, "done", json!({})).await;
    assert!(said(theirs).await.is_empty(), "one that may not be started is not replaced");

    let other = cast.issue("agent", c).await;
    let root = format!("{} {}", at("agent", cast.a), at("agent", cast.b));
    let root = gateway.seed_comment(other, "member", cast.owner.id, &root, json!({})).await;
    answer(&cast.owner, other, root, "and now?").await;
    assert_eq!(cast.started(other).await, [cast.a], "to the first that the root called");

    let started = cast.unassigned().await;
    let root = gateway.seed_comment(started, "member", cast.owner.id, "hello", json!({})).await;
    let ended = json!({"issue_id": started, "trigger_comment_id": root, "status": "completed",
        "completed_at": crate::harness::ahead(0)});
    for agent in [cast.a, cast.b] {
        gateway.seed_task(agent, ended.clone()).await;
    }
    let reply = answer(&cast.owner, started, root, "and now?").await;
    let tasks = cast.tasks(started).await;
    let mut new: Vec<Uuid> = tasks
        .iter()
        .filter(|task| task["trigger_comment_id"] == reply.to_string())
        .map(|task| uuid(&task["agent_id"]))
        .collect();
    new.sort_unstable();
    let mut both = vec![cast.a, cast.b];
    both.sort_unstable();
    assert_eq!(new, both, "to all that the root started");
    assert!(tasks.iter().all(|task| task["status"] != "deferred"), "with two, nobody stands by");
}

/// User item 145. Domain item 154.
#[apply(on_both)]
async fn an_author_may_leave_agents_out(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let issue = cast.unassigned().await;
    let content = format!("{} {}", at("agent", cast.a), at("agent", cast.b));
    let body = json!({"content": content, "suppress_agent_ids": [cast.a]});
    speak(&cast.owner, issue, body).await;
    assert_eq!(cast.started(issue).await, [cast.b]);
}

/// User item 190. Domain item 178: what counts is the person at the top of the chain.
#[apply(on_both)]
async fn an_agent_acts_for_the_person_behind_it(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let bea = gateway.join("Bea", "member").await;
    let private = json!({"permission_mode": "private", "owner_id": bea.id});
    let hers = gateway.seed_agent(cast.runtime, "Hers", private).await;
    let issue = cast.issue("agent", cast.a).await;
    say(&cast.owner, issue, &at("agent", hers)).await;
    assert!(cast.tasks(issue).await.is_empty(), "the workspace's owner may not");

    let call = say(&cast.owner, issue, &at("agent", cast.a)).await;
    let (agent, task) = cast.at_work(cast.a).await;
    answer(&agent, issue, call, &at("agent", hers)).await;
    assert_eq!(cast.started(issue).await, [cast.a], "nor an agent that works for the owner");
    cast.owner.complete(task, json!({})).await;

    let call = say(&bea, issue, &at("agent", cast.a)).await;
    let (agent, _) = cast.at_work(cast.a).await;
    answer(&agent, issue, call, &at("agent", hers)).await;
    let last = cast.tasks(issue).await.pop().unwrap();
    assert_eq!(uuid(&last["agent_id"]), hers);
    assert_eq!(uuid(&last["originator_user_id"]), bea.id, "the chain begins with her");
}

/// Domain items 159 and 261: the chain holds at any depth, also over what an agent said at its end.
#[apply(on_both)]
async fn a_chain_of_agents_keeps_its_person(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let bea = gateway.join("Bea", "member").await;
    let shared = json!({"permission_mode": "private", "owner_id": bea.id});
    let mut agents = Vec::new();
    for name in ["One", "Two", "Three"] {
        agents.push(gateway.seed_agent(cast.runtime, name, shared.clone()).await);
    }
    let issue = cast.unassigned().await;
    let mut call = say(&bea, issue, &at("agent", agents[0])).await;
    for pair in agents.windows(2) {
        let (agent, task) = cast.at_work(pair[0]).await;
        call = answer(&agent, issue, call, &at("agent", pair[1])).await;
        let source = "SELECT source_task_id FROM comment WHERE id = $1";
        assert_eq!(gateway.value(source, json!([call])).await, task.to_string());
    }
    let tasks = cast.tasks(issue).await;
    assert_eq!(tasks.len(), 3);
    for task in tasks {
        assert_eq!(uuid(&task["originator_user_id"]), bea.id);
    }

    let (_, task) = cast.at_work(agents[2]).await;
    cast.owner.complete(task, json!({"output": "All is well."})).await;
    let said = "SELECT source_task_id FROM comment WHERE content = 'All is well.'";
    assert_eq!(gateway.value(said, json!([])).await, task.to_string());
}

/// User item 144: what the preview says is what happens.
#[apply(on_both)]
async fn a_preview_names_whom_a_comment_would_start(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let squad = cast.squad(cast.b).await;
    let issue = cast.issue("agent", cast.a).await;
    let preview = async |body: serde_json::Value| {
        let path = format!("/api/issues/{issue}/comments/trigger-preview");
        cast.owner.post(path, body).await
    };
    let check = async |body: serde_json::Value, agent: Uuid, name: &str, source: &str, reason: &str| {
        let found = preview(body).await.expect(200);
        let expected = json!({"id": agent, "name": name, "source": source, "reason": reason});
        assert_eq!(found, json!({"agents": [expected]}));
    };
    let assignee = "Current issue assignment will trigger this agent.";
    check(json!({"content": "hello"}), cast.a, "Abe", "issue_assignee", assignee).await;
    let mention = "This agent was mentioned in the comment.";
    check(json!({"content": at("agent", cast.b)}), cast.b, "Bo", "mention_agent", mention).await;
    let leader = "A mentioned squad will trigger its leader.";
    check(json!({"content": at("squad", squad)}), cast.b, "Bo", "mention_squad_leader", leader).await;
    let theirs = gateway.seed_comment(issue, "agent", cast.b, "done", json!({})).await;
    let parent = "This reply will trigger the parent comment's author.";
    let body = json!({"content": "and?", "parent_id": theirs});
    check(body, cast.b, "Bo", "thread_parent", parent).await;
    let root = gateway.seed_comment(issue, "member", cast.owner.id, &at("agent", cast.b), json!({})).await;
    let follow = "This follow-up will continue the recent agent conversation.";
    let body = json!({"content": "and?", "parent_id": root});
    check(body, cast.b, "Bo", "conversation_continuation", follow).await;

    assert_eq!(preview(json!({"content": ""})).await.expect(200), json!({"agents": []}));
    assert_eq!(preview(json!({"content": "/note"})).await.expect(200), json!({"agents": []}));
    assert!(cast.tasks(issue).await.is_empty(), "a preview starts nobody");

    // One that waits already is listed, for it is what the comment reaches.
    let mine = say(&cast.owner, issue, "hello").await;
    check(json!({"content": "hello"}), cast.a, "Abe", "issue_assignee", assignee).await;
    let editing = json!({"content": at("agent", cast.b), "editing_comment_id": mine});
    check(editing, cast.b, "Bo", "mention_agent", mention).await;

    let refused = async |body: serde_json::Value, error: &str| preview(body).await.refused(400, error);
    refused(json!({"content": 5}), "invalid request body").await;
    refused(json!({"content": "x", "editing_comment_id": "x"}), "invalid editing_comment_id").await;
    let unknown = Uuid::new_v4();
    refused(json!({"content": "x", "editing_comment_id": unknown}), "invalid editing comment").await;
    refused(json!({"content": "", "parent_id": "x"}), "invalid parent_id").await;
    refused(json!({"content": "x", "parent_id": unknown}), "invalid parent comment").await;
    let moved = json!({"content": "x", "parent_id": root, "editing_comment_id": mine});
    refused(moved, "parent_id does not match editing comment").await;
}
