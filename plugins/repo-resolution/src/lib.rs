//! Gives a task the repositories of its project, or else its workspace's.

mod resolve;

use switchyard_sdk::repo_resolution::{Input, RepoResolution, Resolution};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

pub use resolve::resolve;

struct Repos;

impl Plugin for Repos {
    fn describe() -> Description {
        Description::new(
            "repo-resolution",
            env!("CARGO_PKG_VERSION"),
            "Gives a task its project's repositories, or its workspace's when there are none.",
        )
    }
}

impl RepoResolution for Repos {
    fn resolve(_: &Call, input: Input) -> Result<Resolution, Failure> {
        Ok(resolve(input.kind, &input.resources))
    }
}

export!(Repos: repo_resolution);
