//! Nodes that share a Redis: what goes by it, and that nobody notices when it is away.

use std::cell::Cell;
use std::time::Instant;

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, Redis, Setup, Socket, World, ahead, command, id_of};
use crate::metrics::{scrape, value};
use crate::plugins_scene::eventually;

fn with(engine: Engine, redis: &Redis) -> Setup {
    Gateway::setup(engine).flag("--redis-url").flag(&redis.url)
}

/// Two nodes that share a database and a Redis, once they have found it.
async fn two_nodes(redis: &Redis) -> (Gateway, Gateway) {
    let one = with(Engine::Postgres, redis).start().await;
    let two = one.second_node().await;
    for node in [&one, &two] {
        is_up(node, true).await;
    }
    (one, two)
}

async fn is_up(node: &Gateway, up: bool) {
    let text = if up { "switchyard_redis_up 1\n" } else { "switchyard_redis_up 0\n" };
    eventually(text, async || scrape(node).await.contains(text)).await;
}

async fn hints(node: &Gateway, direction: &str, transport: &str) -> f64 {
    let labels = [("direction", direction), ("transport", transport)];
    value(&scrape(node).await, "switchyard_bus_hints_total", &labels)
}

/// The key that says that the runtime is alive, if it is there.
async fn key(redis: &Redis, runtime: Uuid) -> Option<String> {
    let mut found: Vec<String> = redis.ask("KEYS", format!("switchyard:*:alive:{runtime}")).await;
    assert!(found.len() < 2, "{found:?}");
    found.pop()
}

/// Waits for the key.
async fn alive(redis: &Redis, runtime: Uuid) -> String {
    eventually("the runtime is alive in Redis", async || key(redis, runtime).await.is_some()).await;
    key(redis, runtime).await.unwrap()
}

/// Makes the row look as if nobody had heard the runtime for long, and sweeps.
async fn sweep_with_an_old_row(gateway: &Gateway, node: &Gateway, runtime: Uuid) -> Value {
    gateway.change("agent_runtime", runtime, "last_seen_at", json!(ahead(-500))).await;
    let report = node.admin().post("/admin/sweep", ()).await.expect(200);
    assert_eq!(report["failed_steps"], json!([]), "{report}");
    gateway.value("SELECT status FROM agent_runtime WHERE id = $1", json!([runtime])).await
}

/// A word of one node for a daemon at another: a profile that is changed again and again.
struct Bell<'a> {
    at: &'a Gateway,
    daemon: Socket,
    runtime: Uuid,
    path: String,
}

impl<'a> Bell<'a> {
    /// Rings at `at` and is heard at `world`'s node.
    async fn new(at: &'a Gateway, world: &World) -> Self {
        let mut daemon = world.a.daemon_socket(&[world.r1]).await;
        daemon.beat(world.r1).await;
        let path = format!("/api/workspaces/{}/runtime-profiles/{}", world.w1, world.p1);
        Self { at, daemon, runtime: world.r1, path }
    }

    /// Rings; the daemon must hear it, and nothing else.
    async fn ring(&mut self) {
        self.at.user().patch(&self.path, json!({"enabled": true})).await.expect(200);
        self.daemon.expect("daemon:runtime_profiles_changed").await;
        self.daemon.beat(self.runtime).await;
    }

    /// Rings until words go by this way alone.
    async fn ring_until_by(&mut self, transport: &str) {
        let before = hints(self.at, "sent", transport).await;
        let begun = Instant::now();
        while hints(self.at, "sent", transport).await <= before {
            assert!(begun.elapsed().as_secs() < 60, "words never went by {transport}");
            self.ring().await;
        }
    }
}

#[test]
fn words_go_by_redis_once_every_node_hears_it_there() {
    crate::harness::run_with(Engine::Postgres, async |_| {
        let redis = Redis::start();
        let (one, two) = two_nodes(&redis).await;
        let world = one.world().await;
        let mut bell = Bell::new(&two, &world).await;
        // At first words go by both ways, and each is still heard once.
        bell.ring_until_by("redis").await;
        let (before, by_postgres) =
            (hints(&one, "heard", "redis").await, hints(&two, "sent", "postgres").await);
        for round in 0..5 {
            let issue = json!({
                "title": format!("Round {round}"), "assignee_type": "agent", "assignee_id": world.g1,
            });
            two.user().post("/api/issues", issue).await.expect(201);
            let woken = bell.daemon.expect("daemon:task_available").await;
            let claimed = world.a.claim_one(world.r1).await;
            assert_eq!(claimed["id"], woken["task_id"]);
        }
        bell.daemon.beat(world.r1).await;
        assert!(hints(&one, "heard", "redis").await >= before + 5.0);
        assert_eq!(hints(&two, "sent", "postgres").await, by_postgres);
        two.finish().await;
        one.finish().await;
    });
}

/// One node was told of Redis and one was not, as while a setting is rolled out.
#[test]
fn a_node_without_redis_hears_the_others() {
    crate::harness::run_with(Engine::Postgres, async |_| {
        let redis = Redis::start();
        let one = with(Engine::Postgres, &redis).start().await;
        is_up(&one, true).await;
        let two = one.second_node_with(Gateway::setup(Engine::Postgres)).await;
        let world = two.world().await;
        let mut bell = Bell::new(&one, &world).await;
        // Longer than a node counts as new: after that it is heard because it is counted.
        let begun = Instant::now();
        while begun.elapsed().as_secs() < 8 {
            bell.ring().await;
        }
        assert_eq!(hints(&one, "sent", "redis").await, 0.0);
        two.finish().await;
        one.finish().await;
    });
}

#[test]
fn a_beat_on_one_node_keeps_a_runtime_online_when_another_sweeps() {
    crate::harness::run_with(Engine::Postgres, async |_| {
        let redis = Redis::start();
        let (one, two) = two_nodes(&redis).await;
        let world = one.world().await;
        world.a.beat(world.r1).await;
        let name = alive(&redis, world.r1).await;
        let left: i64 = redis.ask("TTL", &name).await;
        assert!((1..=90).contains(&left), "{left}");
        let memory: usize = redis.ask("MEMORY", &["USAGE", &name]).await;
        println!("a living runtime takes {memory} bytes of Redis");
        assert_eq!(sweep_with_an_old_row(&one, &two, world.r1).await, "online");
        // Every beat makes it live anew.
        let _: i64 = redis.ask("EXPIRE", &[name.as_str(), "20"]).await;
        world.a.beat(world.r1).await;
        eventually("it lives anew", async || redis.ask::<i64>("TTL", &name).await > 20).await;
        // Without the key only the row speaks at the other node.
        let _: i64 = redis.ask("DEL", &name).await;
        assert_eq!(sweep_with_an_old_row(&one, &two, world.r1).await, "offline");
        // Whoever comes back is seen at once, and whoever says goodbye is forgotten.
        one.change("agent_runtime", world.r1, "status", json!("offline")).await;
        world.a.beat(world.r1).await;
        alive(&redis, world.r1).await;
        world.a.post("/api/daemon/deregister", json!({"runtime_ids": [world.r1]})).await.expect(200);
        eventually("it is forgotten", async || key(&redis, world.r1).await.is_none()).await;
        two.finish().await;
        one.finish().await;
    });
}

/// A gateway that starts again has heard nobody yet; Redis has.
#[test]
fn with_sqlite_it_outlives_the_gateway() {
    crate::harness::run_with(Engine::Sqlite, async |engine| {
        let redis = Redis::start();
        let gateway = with(engine, &redis).start().await;
        is_up(&gateway, true).await;
        let world = gateway.world().await;
        world.a.beat(world.r1).await;
        let name = alive(&redis, world.r1).await;
        gateway.crash();
        is_up(&gateway, true).await;
        assert_eq!(sweep_with_an_old_row(&gateway, &gateway, world.r1).await, "online");
        let _: i64 = redis.ask("DEL", &name).await;
        assert_eq!(sweep_with_an_old_row(&gateway, &gateway, world.r1).await, "offline");
        gateway.finish().await;
    });
}

#[test]
fn nobody_notices_when_redis_is_killed_under_work() {
    crate::harness::run_with(Engine::Postgres, async |_| {
        let mut redis = Redis::start();
        let (one, two) = two_nodes(&redis).await;
        let world = one.world().await;
        let agent = one.seed_agent(world.r1, "Busy", json!({"max_concurrent_tasks": 50})).await;
        let mut bell = Bell::new(&two, &world).await;
        let (done, beats, claims) = (Cell::new(false), Cell::new(0), Cell::new(0));
        let work = async || {
            while !done.get() {
                world.a.beat(world.r1).await;
                beats.set(beats.get() + 1);
                one.seed_issue_task(agent, json!({})).await;
                if let Some(task) = world.a.claim(world.r1).await {
                    world.a.start(id_of(&task)).await;
                    world.a.complete(id_of(&task), json!({"output": "done"})).await;
                    claims.set(claims.get() + 1);
                }
            }
        };
        let outage = async {
            bell.ring_until_by("redis").await;
            alive(&redis, world.r1).await;
            redis.kill();
            // Nobody has noticed yet, perhaps.
            bell.ring().await;
            is_up(&one, false).await;
            is_up(&two, false).await;
            let before = (beats.get(), claims.get());
            bell.ring_until_by("postgres").await;
            for node in [&one, &two] {
                let report = node.admin().post("/admin/sweep", ()).await.expect(200);
                assert_eq!((&report["runtimes_offline"], &report["failed_steps"]), (&json!(0), &json!([])));
            }
            eventually("work goes on", async || beats.get() > before.0 + 5 && claims.get() > before.1 + 5)
                .await;
            let back = Instant::now();
            redis.restart();
            is_up(&one, true).await;
            is_up(&two, true).await;
            let connected = back.elapsed();
            alive(&redis, world.r1).await;
            let lives = back.elapsed();
            bell.ring_until_by("redis").await;
            println!(
                "Redis was back: both nodes connected after {connected:?}, the first beat was there after \
                 {lives:?}, words went by it after {:?}",
                back.elapsed()
            );
            done.set(true);
        };
        tokio::join!(work(), outage);
        println!("{} beats and {} claims meanwhile", beats.get(), claims.get());
        two.finish().await;
        one.finish().await;
    });
}

/// It holds its connections and answers nothing, which is the worst that it can do.
#[test]
fn nobody_waits_for_a_redis_that_hangs() {
    crate::harness::run_with(Engine::Postgres, async |_| {
        let redis = Redis::start();
        let (one, two) = two_nodes(&redis).await;
        let world = one.world().await;
        let mut bell = Bell::new(&two, &world).await;
        bell.ring_until_by("redis").await;
        redis.freeze();
        bell.ring().await;
        assert_eq!(world.a.beat(world.r1).await["status"], "ok");
        let report = two.admin().post("/admin/sweep", ()).await.expect(200);
        assert_eq!((&report["runtimes_offline"], &report["failed_steps"]), (&json!(0), &json!([])));
        for node in [&one, &two] {
            is_up(node, false).await;
        }
        bell.ring().await;
        redis.thaw();
        for node in [&one, &two] {
            is_up(node, true).await;
        }
        bell.ring_until_by("redis").await;
        two.finish().await;
        one.finish().await;
    });
}

#[apply(on_both)]
async fn a_redis_that_comes_later_is_found(engine: Engine) {
    let mut redis = Redis::absent();
    // The variable does what the flag does.
    let gateway = Gateway::setup(engine).env("SWITCHYARD_REDIS_URL", &redis.url).start().await;
    let world = gateway.world().await;
    world.a.beat(world.r1).await;
    gateway.logged("Redis is away", 1).await;
    redis.restart();
    is_up(&gateway, true).await;
    world.a.beat(world.r1).await;
    alive(&redis, world.r1).await;
    assert_eq!(gateway.logged("Redis is away", 1).await.len(), 1, "it is said once");
    gateway.finish().await;
}

#[test]
fn what_strangers_leave_in_redis_changes_nothing() {
    crate::harness::run_with(Engine::Postgres, async |_| {
        let redis = Redis::start();
        let (one, two) = two_nodes(&redis).await;
        let world = one.world().await;
        world.a.beat(world.r1).await;
        let name = alive(&redis, world.r1).await;
        let channel = name.replace(&format!("alive:{}", world.r1), "words");
        let stranger = Uuid::new_v4();
        let long = "x".repeat(1 << 20);
        let garbage: [&[u8]; 8] = [
            b"",
            b"\xff\xfe\x00",
            b"[]",
            b"{\"from\": 1, \"hints\": {}}",
            long.as_bytes(),
            &format!("{{\"from\": \"{stranger}\", \"hints\": [1, null, {{\"novelty\": 2}}]}}").into_bytes(),
            &format!("{{\"from\": \"{stranger}\", \"number\": -1, \"hints\": []}}").into_bytes(),
            &[b'['; 7000],
        ];
        for word in garbage {
            let heard: i64 = redis.ask("PUBLISH", (&channel, word)).await;
            assert_eq!(heard, 2);
        }
        // A key that is ours by name alone keeps nobody alive, and a beat takes it back.
        for make in [("SET", vec![name.as_str(), "forged"]), ("RPUSH", vec![name.as_str(), "1"])] {
            let _: i64 = redis.ask("DEL", &name).await;
            let _: ::redis::Value = redis.ask(make.0, make.1).await;
            assert_eq!(sweep_with_an_old_row(&one, &two, world.r1).await, "offline", "{}", make.0);
            let kind: String = redis.ask("TYPE", &name).await;
            assert_eq!(kind, "none", "a sweep forgets whom it takes offline");
            let _: i64 = redis.ask("RPUSH", &[name.as_str(), "1"]).await;
            world.a.beat(world.r1).await;
            eventually("the key is ours again", async || {
                redis.ask::<String>("TYPE", &name).await == "string"
            })
            .await;
        }
        let mut bell = Bell::new(&two, &world).await;
        bell.ring_until_by("redis").await;
        assert!(one.log().iter().chain(&two.log()).all(|line| !line.contains("Redis is lost")));
        two.finish().await;
        one.finish().await;
    });
}

#[test]
fn deployments_that_share_a_redis_do_not_mix() {
    crate::harness::run_with(Engine::Sqlite, async |engine| {
        let redis = Redis::start();
        let one = with(engine, &redis).start().await;
        let two = with(engine, &redis).start().await;
        for node in [&one, &two] {
            is_up(node, true).await;
        }
        let channels = async || {
            let mut channels: Vec<String> = redis.ask("PUBSUB", &["CHANNELS", "switchyard:*"]).await;
            channels.sort();
            channels
        };
        let before = channels().await;
        assert_eq!(before.len(), 2, "{before:?}");
        one.restart();
        is_up(&one, true).await;
        assert_eq!(channels().await, before, "a deployment keeps its names");
        two.finish().await;
        one.finish().await;
    });
}

#[test]
fn redis_is_reached_over_tls_with_a_password_that_is_never_shown() {
    crate::harness::run_with(Engine::Sqlite, async |engine| {
        let redis = Redis::with_tls("hush-hush");
        let authority = redis.authority();
        let trusting = with(engine, &redis).env("SSL_CERT_FILE", authority.to_str().unwrap());
        let gateway = trusting.env("SWITCHYARD_LOG", "trace").start().await;
        is_up(&gateway, true).await;
        // Nobody vouches for the server here.
        let strict = with(engine, &redis).start().await;
        strict.logged("Redis is away", 1).await;
        for node in [gateway, strict] {
            assert!(node.log().iter().all(|line| !line.contains("hush-hush")));
            node.finish().await;
        }
    });
}

#[test]
fn an_address_that_is_none_keeps_the_gateway_from_starting() {
    for url in ["redis.example:6379", "http://:hush@redis.example", "redis://:hush@redis.example/one"] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]);
        let output = command.arg(folder.path()).args(["--redis-url", url]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{url}: {said}");
        assert!(said.contains("redis_url cannot be used (") && said.contains("give redis://["), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
}
