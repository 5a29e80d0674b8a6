//! A line in the gateway's log for each task that ended.

use serde::Deserialize;
use switchyard_sdk::finished::{Finished, Input};
use switchyard_sdk::{Call, Failure, log};

use crate::Served;

#[derive(Deserialize)]
struct Task {
    status: String,
}

impl Finished for Served {
    fn finished(call: &Call, input: Input) -> Result<(), Failure> {
        log::info(line(&call.task_id, &input.task)?);
        Ok(())
    }
}

fn line(id: &str, task: &str) -> Result<String, Failure> {
    let task: Task =
        serde_json::from_str(task).map_err(|error| Failure::new("bad-task", error.to_string()))?;
    Ok(format!("task {id} is {}", task.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_it_ended() {
        assert_eq!(line("t", r#"{"status":"failed","more":1}"#), Ok("task t is failed".into()));
        assert_eq!(line("t", "[]").map_err(|failure| failure.code), Err("bad-task".into()));
    }
}
