//! The six stages: a trait each, with the types that go in and come out.

pub mod enrichment;
pub mod finished;
pub mod mcp_overlay;
pub mod prepare;
pub mod repo_resolution;
pub mod squad_briefing;
