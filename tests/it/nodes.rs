//! Several nodes over one PostgreSQL: a daemon or a person may talk to any of them, and what one
//! of them takes back is gone on all.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Engine, Gateway, World, ahead, id_of};
use crate::plugins_scene::eventually;

const BEAT: &str = "/api/daemon/heartbeat";

/// Two nodes, neither of which sweeps by itself.
async fn two() -> (Gateway, Gateway) {
    let one = Gateway::setup(Engine::Postgres).flag("--sweep-every=0").start().await;
    let two = one.second_node().await;
    (one, two)
}

/// The same caller, at another node.
fn at(node: &Gateway, client: &Client) -> Client {
    node.bearer(&client.token).in_workspace(client.workspace)
}

fn postgres(scenario: impl AsyncFnOnce(Gateway, Gateway)) {
    crate::harness::run_with(Engine::Postgres, async |_| {
        let (one, two) = two().await;
        scenario(one, two).await;
    });
}

/// Each call goes to another node than the one before.
#[test]
fn a_daemon_may_change_nodes_at_every_call() {
    postgres(async |one, two| {
        let world = one.world().await;
        let (here, there) = (&world.a, &at(&two, &world.a));
        for round in 0..4 {
            let (first, second) = if round % 2 == 0 { (here, there) } else { (there, here) };
            let issue = json!({
                "title": format!("Round {round}"), "assignee_type": "agent", "assignee_id": world.g1,
            });
            first.post("/api/issues", issue).await.expect(201);
            second.beat(world.r1).await;
            let task = id_of(&second.claim_one(world.r1).await);
            first.start(task).await;
            // Not a second time, wherever it is asked.
            for other in [first, second] {
                assert_eq!(other.post(format!("/api/daemon/tasks/{task}/start"), ()).await.status, 400);
            }
            let lines = json!({"messages": [{"seq": 1, "type": "text", "content": "Reading."}]});
            second.post(format!("/api/daemon/tasks/{task}/messages"), lines).await.expect(200);
            assert_eq!(first.status_of(task).await, "running");
            second.complete(task, json!({"output": format!("done {round}")})).await;
            assert_eq!(first.status_of(task).await, "completed");
            assert_eq!(first.claim(world.r1).await, None);
        }
        two.finish().await;
        one.finish().await;
    });
}

/// The node that was to note when a runtime was seen may be gone: the next one that hears it
/// does so soon, before a sweep could call it dead.
#[test]
fn a_runtime_that_beats_at_another_node_stays_online() {
    postgres(async |one, two| {
        let world = one.world().await;
        one.change("agent_runtime", world.r1, "last_seen_at", json!(ahead(-140))).await;
        at(&two, &world.a).beat(world.r1).await;
        const SEEN: &str = "SELECT last_seen_at FROM agent_runtime WHERE id = $1";
        eventually("the node that hears it says so", async || {
            one.value(SEEN, json!([world.r1])).await.as_str().unwrap() > ahead(-60).as_str()
        })
        .await;
        let swept = one.admin().post("/admin/sweep", ()).await.ok();
        assert_eq!(swept["runtimes_offline"], 0);
        two.finish().await;
        one.finish().await;
    });
}

/// What opens doors at a node: it is remembered there, and holds a socket of each kind.
struct Visitor {
    daemon: Client,
    daemon_socket: crate::harness::Socket,
    watching: Option<crate::harness::Socket>,
}

impl Visitor {
    async fn enter(client: &Client, runtime: Uuid, watches: bool) -> Self {
        client.beat(runtime).await;
        let mut daemon_socket = client.daemon_socket(&[runtime]).await;
        daemon_socket.beat(runtime).await;
        let watching = if watches { Some(client.watch().await) } else { None };
        Self { daemon: client.clone(), daemon_socket, watching }
    }

    /// Waits until it is refused, and its sockets are closed.
    async fn leaves(mut self, runtime: Uuid, status: u16) {
        eventually("it is refused", async || {
            self.daemon.post(BEAT, json!({"runtime_id": runtime})).await.status == status
        })
        .await;
        assert_eq!(self.daemon_socket.closed().await, Some(1008));
        if let Some(socket) = &mut self.watching {
            assert_eq!(socket.closed().await, Some(1008));
        }
    }
}

async fn personal_token(client: &Client) -> (Client, Uuid) {
    let made = client.post("/api/tokens", json!({"name": "laptop"})).await.expect(201);
    (client.with_token(made["token"].as_str().unwrap()), id_of(&made))
}

async fn membership(gateway: &Gateway, world: &World, client: &Client) -> String {
    let member = "SELECT id FROM member WHERE user_id = $1 AND workspace_id = $2";
    let member = gateway.value(member, json!([client.id, world.w1])).await;
    format!("/api/workspaces/{}/members/{}", world.w1, member.as_str().unwrap())
}

#[test]
fn a_token_that_is_revoked_on_one_node_dies_on_the_other() {
    postgres(async |one, two| {
        let world = one.world().await;
        let (token, id) = personal_token(&world.a).await;
        let here = Visitor::enter(&token, world.r1, true).await;
        let there = Visitor::enter(&at(&two, &token), world.r1, true).await;
        let mut untouched = at(&two, &world.a).daemon_socket(&[world.r1]).await;
        world.a.delete(format!("/api/tokens/{id}")).await.expect(204);
        token.post(BEAT, json!({"runtime_id": world.r1})).await.refused(401, "invalid token");
        here.leaves(world.r1, 401).await;
        there.leaves(world.r1, 401).await;
        assert_eq!(untouched.beat(world.r1).await["status"], "ok");
        two.finish().await;
        one.finish().await;
    });
}

#[test]
fn a_member_who_is_removed_on_one_node_leaves_of_the_other() {
    postgres(async |one, two| {
        let world = one.world().await;
        let own = world.b.register("dm-b", "claude").await;
        let daemon = one.daemon(world.w1, "dm-b").await;
        let member = Visitor::enter(&at(&two, &world.b), world.r1, true).await;
        let machine = Visitor::enter(&at(&two, &daemon), own, false).await;
        world.a.delete(membership(&one, &world, &world.b).await).await.expect(204);
        member.leaves(world.r1, 404).await;
        machine.leaves(own, 401).await;
        two.finish().await;
        one.finish().await;
    });
}

#[test]
fn a_workspace_that_is_deleted_on_one_node_is_closed_on_the_other() {
    postgres(async |one, two| {
        let world = one.world().await;
        let daemon = Visitor::enter(&at(&two, &world.m2), world.r2, false).await;
        let owner = Visitor::enter(&at(&two, &world.c), world.r2, true).await;
        world.c.delete(format!("/api/workspaces/{}", world.w2)).await.expect(204);
        daemon.leaves(world.r2, 401).await;
        owner.leaves(world.r2, 404).await;
        two.finish().await;
        one.finish().await;
    });
}

/// Takes every word out of the air, as a pooler in transaction mode does, and ends all
/// connections so that none is left from before.
async fn silence(gateway: &Gateway) {
    const SWALLOW: &str =
        "CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT'";
    const FIRST: &str = "DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database());
        END $$";
    const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'switchyard'";
    for sql in [SWALLOW, FIRST, END] {
        gateway.execute(sql, Value::Null).await;
    }
}

/// A yes is remembered for minutes; not while nobody could hear that it was taken back.
#[test]
fn a_node_that_hears_nothing_lets_nobody_in_who_was_shut_out() {
    postgres(async |one, two| {
        let world = one.world().await;
        let (token, id) = personal_token(&world.a).await;
        let (quiet, quiet_id) = personal_token(&world.a).await;
        silence(&one).await;
        let far = at(&two, &token);
        eventually("the node answers again", async || {
            far.post(BEAT, json!({"runtime_id": world.r1})).await.status == 200
        })
        .await;
        let quiet = at(&two, &quiet);
        quiet.beat(world.r1).await;
        let bearer = Visitor::enter(&far, world.r1, true).await;
        let member = Visitor::enter(&at(&two, &world.b), world.r1, true).await;
        let revoked = std::time::Instant::now();
        world.a.delete(format!("/api/tokens/{id}")).await.expect(204);
        world.a.delete(format!("/api/tokens/{quiet_id}")).await.expect(204);
        world.a.delete(membership(&one, &world, &world.b).await).await.expect(204);
        bearer.leaves(world.r1, 401).await;
        member.leaves(world.r1, 404).await;
        println!("recovery: a revocation that nobody heard, sockets {} ms", revoked.elapsed().as_millis());
        eventually("a token without a socket is refused", async || {
            quiet.post(BEAT, json!({"runtime_id": world.r1})).await.status == 401
        })
        .await;
        println!("recovery: a revocation that nobody heard, requests {} ms", revoked.elapsed().as_millis());
        two.finish_after_faults().await;
        one.finish_after_faults().await;
    });
}

/// What people are told is the same on every node, however long it is, and nobody is told what
/// is somebody else's business.
#[test]
fn people_hear_on_every_node_what_happens_on_any() {
    postgres(async |one, two| {
        let world = one.world().await;
        let (a, b) = (&world.a, at(&two, &world.b));
        let (mut near, mut far) = (a.watch().await, b.watch().await);
        let mut foreign = at(&two, &world.c).watch().await;
        // Nodes know of each other after a moment.
        let mut round = 0;
        eventually("events come over", async || {
            round += 1;
            a.post("/api/skills", json!({"name": format!("skill-{round}")})).await.expect(201);
            !far.heard().await.is_empty()
        })
        .await;
        let long = "ü\"\\ ".repeat(30_000);
        let issue = json!({"title": "Long", "description": long});
        let long_one = id_of(&a.post("/api/issues", issue).await.expect(201));
        a.put(format!("/api/issues/{long_one}"), json!({"status": "done"})).await.expect(200);
        // Of a prompt that comes to nothing, only who asked is told.
        let prompt = json!({"prompt": "p", "agent_id": world.g1});
        world.b.post("/api/issues/quick-create", prompt).await.expect(202);
        let task = a.run_one(world.r1).await;
        a.complete(task, json!({"output": "nothing"})).await;
        a.post("/api/issues", json!({"title": "Last"})).await.expect(201);
        let mut told = [Vec::new(), Vec::new()];
        for (socket, told) in [&mut near, &mut far].into_iter().zip(&mut told) {
            loop {
                let event = socket.next().await;
                let last = event["payload"]["issue"]["title"] == "Last";
                told.push(event);
                if last {
                    break;
                }
            }
        }
        let [mut here, mut there] = told;
        let since = |events: &[Value]| {
            events.iter().position(|event| event["payload"]["issue"]["title"] == "Long").unwrap()
        };
        here.drain(..since(&here));
        there.drain(..since(&there));
        assert_eq!(here[0]["payload"]["issue"]["description"], long);
        let own: Vec<Value> = there.extract_if(.., |event| event["type"] == "inbox:new").collect();
        assert_eq!(own.len(), 1, "{own:?}");
        // What happens side by side is told in either order.
        here.sort_by_key(Value::to_string);
        there.sort_by_key(Value::to_string);
        assert_eq!(here, there);
        assert_eq!(foreign.heard().await, Vec::<Value>::new());
        // And back, once that node knows of this one as well.
        eventually("events come back", async || {
            round += 1;
            b.post("/api/skills", json!({"name": format!("from-afar-{round}")})).await.expect(201);
            let is_from_afar = |event: &Value| {
                let name = event["payload"]["skill"]["name"].as_str().unwrap_or_default();
                event["type"] == "skill:created" && name.starts_with("from-afar-")
            };
            near.heard().await.iter().any(is_from_afar)
        })
        .await;
        two.finish().await;
        one.finish().await;
    });
}

/// What ends connections that nobody uses just now fails no call: whoever is the first to notice
/// asks again, and the others are not used before they were tried.
#[test]
fn connections_that_broke_while_idle_fail_no_call() {
    const END: &str = "SELECT count(pg_terminate_backend(pid, 20000)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'switchyard'";
    postgres(async |one, two| {
        let world = one.world().await;
        for round in 0..3 {
            let issue = json!({"title": format!("Round {round}")});
            let all = async || {
                let polls = (0..16).map(|_| world.a.get(format!("/api/issues/{}", world.i1)).into_future());
                let polls = futures_util::future::join_all(polls);
                let (polls, claim) = tokio::join!(polls, world.a.claiming(world.r1).into_future());
                polls.into_iter().chain([claim]).for_each(|reply| drop(reply.expect(200)));
            };
            all().await;
            one.value(END, json!([])).await;
            world.a.post("/api/issues", issue).await.expect(201);
            all().await;
        }
        two.finish_after_faults().await;
        one.finish_after_faults().await;
    });
}

/// A session that somebody left open holds an agent: the others on the same runtime go on, and
/// however many daemons ask for that one, there are connections for everybody else.
#[test]
fn an_agent_that_somebody_holds_stops_nobody_else() {
    postgres(async |one, two| {
        let world = one.world().await;
        let other = one.seed_agent(world.r1, "Other", json!({"max_concurrent_tasks": 50})).await;
        let mut waiting = Vec::new();
        for number in 0..20 {
            let runtime = world.a.register(&format!("machine-{number}"), "claude").await;
            let agent = one.seed_agent(runtime, &format!("Held {number}"), json!({})).await;
            one.seed_issue_task(agent, json!({})).await;
            waiting.push(runtime);
        }
        one.seed_issue_task(world.g1, json!({})).await;
        let held = one.hold("SELECT id FROM agent WHERE name <> 'Other' FOR UPDATE").await;
        let polls = waiting.iter().map(|runtime| world.a.claim(*runtime));
        let others = async {
            for _ in 0..5 {
                let task = one.seed_issue_task(other, json!({})).await;
                assert_eq!(id_of(&world.a.claim_one(world.r1).await), task);
            }
        };
        let (refused, ()) = tokio::join!(futures_util::future::join_all(polls), others);
        assert!(refused.iter().all(Option::is_none), "{refused:?}");
        drop(held);
        for runtime in waiting {
            eventually("it is handed out", async || world.a.claim(runtime).await.is_some()).await;
        }
        two.finish().await;
        one.finish().await;
    });
}
