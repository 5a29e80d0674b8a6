//! Parses requests and shapes answers. No SQL, no rules.

pub mod admin;
pub mod agent_path;
pub mod body;
pub mod client_ip;
pub mod cors;
pub mod daemon;
pub mod docs;
pub mod document;
pub mod error;
pub mod extract;
pub mod guard;
pub mod health;
pub mod issue_path;
pub mod methods;
pub mod observe;
pub mod paths;
pub mod project_path;
pub mod query;
pub mod rate_limit;
pub mod realtime;
pub mod router;
pub mod skill_path;
pub mod sorted;
pub mod squad_path;
pub mod user;
pub mod websocket;
