//! What a test stands on. A test looks like this, and runs once on each database:
//!
//! ```ignore
//! use macro_rules_attribute::apply;
//! use serde_json::json;
//! use crate::harness::Gateway;
//!
//! /// Item 27.
//! #[apply(on_both)]
//! async fn a_runtime_nobody_knows_is_said_to_be_absent(gateway: &Gateway) {
//!     let user = gateway.user();
//!     let reply = user.post("/api/daemon/heartbeat", json!({"runtime_id": Uuid::new_v4()})).await;
//!     reply.refused(404, "runtime not found");
//! }
//! ```
//!
//! It becomes `…::a_runtime_nobody_knows_is_said_to_be_absent::sqlite` and `…::postgres`. A
//! scenario that takes `engine: Engine` instead starts its gateways itself, with
//! `Gateway::setup(engine)` for variables and flags.
//!
//! **Gateway.** [`Gateway::start`] copies a migrated database that holds one user and one
//! workspace and runs the real binary on port 0. [`Gateway::restart`] stops it with SIGTERM and
//! starts it on the same data, [`Gateway::crash`] kills it first, [`Gateway::second_node`] runs another
//! beside it. [`Gateway::finish`] (called for you by `&Gateway` scenarios) asks it to stop, and fails
//! the test when it does not exit with 0, logged an `ERROR` or panicked, or left a state that no
//! sequence of calls may lead to. A test that provokes an error says so with
//! [`Gateway::expect_error`].
//!
//! **Clients.** [`Gateway::user`] is the owner of the workspace, [`Gateway::join`] makes another member,
//! [`Gateway::stranger`] a user of another workspace, [`Gateway::daemon`] a daemon with an `mdt_` token,
//! [`Gateway::bearer`] any token, [`Gateway::anonymous`] none, [`Gateway::admin`] an operator. A [`Client`]
//! has `get`, `post`, `put`, `patch` and `delete`; a body is `()`, a JSON value, or raw text or bytes; more
//! headers go on with `.header(..)`, and `.await` gives a [`Reply`]: `status`, `headers`, `text`,
//! `body`, with [`Reply::ok`], [`Reply::expect`] and [`Reply::refused`]. What daemons and people do often has a name:
//! `register`, `beat`, `claim`, `start`, `complete`, `fail`, `status_of` …
//!
//! **Contract.** Every answer is held against the document of the API, see `contract`: a status, content
//! type or member that it does not know fails the test.
//!
//! **Sockets.** [`Client::socket`] opens a [`Socket`], [`Client::daemon_socket`] that of a daemon, and
//! [`Client::upgrade`] shows the answer to an upgrade that is refused. [`Socket::next`] waits for a frame.
//!
//! **Rows.** [`Gateway::rows`], [`Gateway::row`], [`Gateway::value`] and [`Gateway::execute`] take one SQL text for
//! both databases with `$1` parameters as a JSON list: a string that reads as a UUID or an RFC 3339
//! time is bound as one, and rows come back as JSON, alike on both. [`Gateway::insert`] adds a
//! row from a JSON object, [`Gateway::change`] sets one column of one row. `seed_workspace`, `seed_agent`, `seed_issue`, `seed_task` and the others add what a scenario
//! needs before it begins. [`Gateway::world`] makes the cast of the conformance list, and
//! [`Gateway::seed_past`] years of work.
//!
//! **Statements.** A gateway that was started with [`Setup::observed`] tells by [`Gateway::statements_of`]
//! what a piece of work asks of the database, and a [`Statement`] how each table is reached.

#![allow(dead_code, unused_imports, reason = "a tool that no test needs today is there for the next one")]

mod admin;
mod client;
mod contract;
mod database;
mod explain;
mod form;
mod gateway;
mod invariants;
mod past;
pub mod postgres;
mod process;
mod redis;
mod registry;
mod reply;
mod routes;
mod seed;
mod socket;
mod steps;
mod world;

pub use client::{Call, Client, Payload, id_of};
pub use explain::{Read, Statement};
pub use form::Form;
pub use gateway::{Gateway, Setup, run, run_with};
pub use past::Past;
pub use process::command;
pub use redis::Redis;
pub use registry::{Registry, sha256};
pub use reply::{Reply, check_members, check_values};
pub use routes::DAEMON_ROUTES;
pub use seed::{ahead, fresh_token, hash, over};
pub use socket::{Socket, beat};
pub use steps::About;
pub use world::World;

/// The databases a gateway runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// Makes two tests of a scenario, one a database; see the module's own words.
macro_rules! on_both {
    ($(#[$about:meta])* async fn $name:ident($gateway:ident: &Gateway) $body:block) => {
        $(#[$about])*
        async fn $name($gateway: &Gateway) $body
        on_both!(@tests $name, run);
    };
    ($(#[$about:meta])* async fn $name:ident($engine:ident: Engine) $body:block) => {
        $(#[$about])*
        async fn $name($engine: Engine) $body
        on_both!(@tests $name, run_with);
    };
    (@tests $name:ident, $run:ident) => {
        mod $name {
            #[test]
            fn sqlite() {
                $crate::harness::$run($crate::harness::Engine::Sqlite, super::$name);
            }

            #[test]
            fn postgres() {
                $crate::harness::$run($crate::harness::Engine::Postgres, super::$name);
            }
        }
    };
}
