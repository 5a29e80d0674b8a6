//! A request as the world keeps it, so that it can be sent again or late.

use axum::http::Method;
use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub body: Value,
}

impl Call {
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, path: path.into(), body }
    }

    pub fn put(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::PUT, path: path.into(), body }
    }

    pub fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, path: path.into(), body: Value::Null }
    }

    /// The task whose end this call reports.
    pub fn ends(&self) -> Option<(&str, &'static str)> {
        let rest = self.path.strip_prefix("/api/daemon/tasks/")?;
        let (task, verb) = rest.split_once('/')?;
        match verb {
            "complete" => Some((task, "completed")),
            "fail" => Some((task, "failed")),
            _ => None,
        }
    }

    /// The runtime that this call claims for.
    pub fn claims(&self) -> Option<&str> {
        self.path.strip_prefix("/api/daemon/runtimes/")?.strip_suffix("/tasks/claim")
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer).and_then(Value::as_str)
    }
}
