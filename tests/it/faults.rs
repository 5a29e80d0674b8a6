//! Three nodes, one PostgreSQL, and what may happen to them. Whatever it is, claims go on
//! afterwards, what was said yes to is there, nothing runs twice, and no node gives up.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::time::sleep;

use crate::faults_scene::{Scene, Server};

const ALL: [usize; 3] = [0, 1, 2];
/// How long a node stands still, everything waits, and a session is left open.
const STILL: Duration = Duration::from_secs(7);
const LOCKED: Duration = Duration::from_secs(4);
const LEFT_OPEN: Duration = Duration::from_secs(20);

#[test]
fn claims_survive_what_happens_to_nodes_and_to_the_database() {
    crate::harness::run_with(crate::harness::Engine::Postgres, async |_| {
        let server = Server::start().await;
        let scene = Scene::start(&server).await;
        scene
            .under_load(async {
                scene.recovered("nothing", Instant::now(), &ALL).await;
                the_bus_is_cut(&scene).await;
                all_connections_end(&scene).await;
                the_database_crashes(&scene, &server).await;
                everything_waits(&scene).await;
                a_session_is_left_open(&scene).await;
                a_node_stands_still(&scene).await;
                a_node_is_killed(&scene).await;
            })
            .await;
        scene.check().await;
        let mut nodes = scene.nodes;
        drop(nodes.pop());
        // The last one closes the database.
        while let Some(node) = nodes.pop() {
            node.finish_after_faults().await;
        }
        server.end();
    });
}

async fn end_backends(scene: &Scene, which: &str) {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'switchyard' {which}"
    );
    assert!(!scene.nodes[0].rows(&sql, Value::Null).await.is_empty());
}

async fn the_bus_is_cut(scene: &Scene) {
    end_backends(scene, "AND query LIKE 'LISTEN%'").await;
    scene.recovered("the listening connections are cut", Instant::now(), &ALL).await;
}

async fn all_connections_end(scene: &Scene) {
    end_backends(scene, "").await;
    scene.recovered("all connections are ended", Instant::now(), &ALL).await;
}

async fn the_database_crashes(scene: &Scene, server: &Server) {
    let began = Instant::now();
    server.crash().await;
    println!("the database was away for {} ms", began.elapsed().as_millis());
    scene.recovered("the database crashed and is back", Instant::now(), &ALL).await;
}

/// More waits for a lock than there are connections.
async fn everything_waits(scene: &Scene) {
    let held = scene.nodes[0].hold("LOCK TABLE agent_task_queue IN ACCESS EXCLUSIVE MODE").await;
    sleep(LOCKED).await;
    drop(held);
    scene.recovered("all connections of the pools waited", Instant::now(), &ALL).await;
}

async fn a_session_is_left_open(scene: &Scene) {
    let (_, agent) = scene.places[0];
    // The agent first, as the gateway does, and no task that it has just now.
    let tasks = format!(
        "WITH held AS (UPDATE agent SET updated_at = updated_at WHERE id = '{agent}' RETURNING id)
        SELECT t.id FROM agent_task_queue t JOIN held ON held.id = t.agent_id FOR UPDATE OF t SKIP LOCKED"
    );
    let held = scene.nodes[0].hold(&tasks).await;
    let began = Instant::now();
    scene.recovered("an agent is held, others meanwhile", began, &ALL).await;
    while began.elapsed() < LEFT_OPEN {
        sleep(Duration::from_millis(500)).await;
        scene.goes_on("the others go on", &ALL).await;
    }
    drop(held);
    scene.agent_recovered("the agent is held no more", Instant::now(), agent).await;
}

async fn a_node_stands_still(scene: &Scene) {
    scene.nodes[1].signal(Signal::SIGSTOP);
    scene.recovered("a node stands still, the others meanwhile", Instant::now(), &[0, 2]).await;
    sleep(STILL).await;
    scene.nodes[1].signal(Signal::SIGCONT);
    scene.recovered("a node goes on after it stood still", Instant::now(), &ALL).await;
}

async fn a_node_is_killed(scene: &Scene) {
    scene.nodes[2].signal(Signal::SIGKILL);
    scene.recovered("a node is killed, the others", Instant::now(), &[0, 1]).await;
}
