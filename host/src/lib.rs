//! Switchyard: a gateway between those who give work to coding agents and the daemons
//! that run them. Read `ARCHITECTURE.md` first; the modules follow its code map.

pub mod app;
pub mod auth;
pub mod claim;
pub mod cli;
pub mod composio;
pub mod config;
pub mod dispatch;
pub mod enrich;
mod gateway;
pub mod http;
pub mod live;
pub mod model;
pub mod outbound;
pub mod plugin;
pub mod store;
pub mod telemetry;
pub mod uploads;

pub use app::App;
pub use gateway::{Gateway, build};
