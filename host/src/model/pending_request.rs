//! A short command to a daemon: asked by a person, handed over in the answer to a
//! heartbeat, reported on, and forgotten minutes later.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::ids::{RuntimeId, UserId};
use super::time::Time;

/// What the daemon is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Update its CLI.
    Update,
    /// List the models of a provider.
    ModelList,
    /// List the skills on its disk.
    LocalSkills,
    /// Send one of those skills.
    LocalSkillImport,
}

/// In the order in which a beat hands them over.
pub const KINDS: [Kind; 4] = [Kind::Update, Kind::ModelList, Kind::LocalSkills, Kind::LocalSkillImport];

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestStatus {
    Pending,
    Running,
    Completed,
    Failed,
    /// An imported skill's name is taken.
    Conflict,
    Timeout,
}

/// A row of `pending_request`.
#[derive(Clone, Debug)]
pub struct PendingRequest {
    /// 32 hex digits.
    pub id: String,
    pub runtime_id: RuntimeId,
    pub kind: Kind,
    pub status: RequestStatus,
    pub requested_by: Option<UserId>,
    /// What is asked.
    pub input: Value,
    /// What came back.
    pub output: Value,
    pub error: Option<String>,
    pub run_started_at: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// What an update asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpdateInput {
    pub target_version: String,
}

/// What an import asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ImportInput {
    pub skill_key: String,
    /// In place of the name that the bundle has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The skill to overwrite; absent means a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_skill_id: Option<super::ids::SkillId>,
    /// Whether the requester wants to be told of a taken name, rather than a failure.
    pub supports_conflict: bool,
}

/// How long a request may take, and how long it is remembered after that.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub pending: TimeDelta,
    pub running: TimeDelta,
    pub retention: TimeDelta,
    pending_text: &'static str,
    running_text: &'static str,
}

impl Patience {
    /// What is said of a request that nobody took, and of one that was never reported on.
    pub const fn texts(&self) -> (&'static str, &'static str) {
        (self.pending_text, self.running_text)
    }
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::ModelList => "model_list",
            Self::LocalSkills => "local_skills",
            Self::LocalSkillImport => "local_skill_import",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.as_str() == text)
    }

    /// A request outlives its two limits together, so that whoever polls sees the end. An
    /// import waits for ten beats, since some daemons take one at each.
    pub const fn patience(self) -> Patience {
        let seconds = TimeDelta::seconds;
        match self {
            Self::Update => Patience {
                pending: seconds(120),
                running: seconds(150),
                retention: seconds(300),
                pending_text: "daemon did not respond within 120 seconds",
                running_text: "update did not complete within 150 seconds",
            },
            Self::ModelList => Patience {
                pending: seconds(30),
                running: seconds(60),
                retention: seconds(120),
                pending_text: "daemon did not respond within 30 seconds",
                running_text: "daemon did not finish within 60 seconds",
            },
            Self::LocalSkills | Self::LocalSkillImport => Patience {
                pending: seconds(180),
                running: seconds(60),
                retention: seconds(300),
                pending_text: "daemon did not respond within 3 minutes",
                running_text: "daemon did not finish within 60 seconds",
            },
        }
    }

    /// A request that was made before this is not handed over any more.
    pub fn oldest_pending(self, now: Time) -> Time {
        now - self.patience().pending
    }
}

impl RequestStatus {
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Conflict, Self::Timeout];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Nothing changes it any more.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

impl PendingRequest {
    /// The request as it is at `now`: one that took too long has timed out, whether or not
    /// anybody looked at that moment, and one that is long over is forgotten.
    pub fn as_of(mut self, now: Time) -> Option<Self> {
        let patience = self.kind.patience();
        let (deadline, text) = match self.status {
            RequestStatus::Pending => (Some(self.created_at + patience.pending), patience.pending_text),
            RequestStatus::Running => {
                let started_at = self.run_started_at.unwrap_or(self.updated_at);
                (Some(started_at + patience.running), patience.running_text)
            }
            _ => (None, ""),
        };
        if let Some(deadline) = deadline.filter(|deadline| now > *deadline) {
            self.status = RequestStatus::Timeout;
            self.error = Some(text.to_owned());
            self.updated_at = deadline;
        }
        (now - self.updated_at <= patience.retention).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Clock;

    fn request(kind: Kind, status: RequestStatus, made_at: Time) -> PendingRequest {
        PendingRequest {
            id: String::new(),
            runtime_id: RuntimeId::new(),
            kind,
            status,
            requested_by: None,
            input: Value::Null,
            output: Value::Null,
            error: None,
            run_started_at: (status == RequestStatus::Running).then_some(made_at),
            created_at: made_at,
            updated_at: made_at,
        }
    }

    fn check(kind: Kind, status: RequestStatus, age: i64, expected: Option<(RequestStatus, Option<&str>)>) {
        let now = Clock::system().now();
        let found = request(kind, status, now - TimeDelta::seconds(age)).as_of(now);
        let found = found.as_ref().map(|request| (request.status, request.error.as_deref()));
        assert_eq!(found, expected, "{kind:?} {status:?} after {age} s");
    }

    #[test]
    fn a_request_times_out_after_its_limit_and_says_which() {
        use RequestStatus::{Completed, Pending, Running, Timeout};

        check(Kind::Update, Pending, 120, Some((Pending, None)));
        check(Kind::Update, Pending, 121, Some((Timeout, Some("daemon did not respond within 120 seconds"))));
        check(Kind::Update, Running, 150, Some((Running, None)));
        check(
            Kind::Update,
            Running,
            151,
            Some((Timeout, Some("update did not complete within 150 seconds"))),
        );
        check(
            Kind::ModelList,
            Pending,
            31,
            Some((Timeout, Some("daemon did not respond within 30 seconds"))),
        );
        check(Kind::ModelList, Running, 61, Some((Timeout, Some("daemon did not finish within 60 seconds"))));
        check(
            Kind::LocalSkills,
            Pending,
            181,
            Some((Timeout, Some("daemon did not respond within 3 minutes"))),
        );
        check(
            Kind::LocalSkillImport,
            Running,
            61,
            Some((Timeout, Some("daemon did not finish within 60 seconds"))),
        );
        check(Kind::ModelList, Completed, 120, Some((Completed, None)));
    }

    #[test]
    fn a_request_is_forgotten_when_nobody_can_be_waiting_for_it() {
        use RequestStatus::{Completed, Pending, Timeout};

        check(Kind::ModelList, Completed, 121, None);
        check(
            Kind::ModelList,
            Pending,
            150,
            Some((Timeout, Some("daemon did not respond within 30 seconds"))),
        );
        check(Kind::ModelList, Pending, 151, None);
    }

    #[test]
    fn what_is_kept_outlives_the_two_limits() {
        for kind in KINDS {
            let patience = kind.patience();
            assert!(patience.retention > patience.pending + patience.running, "{kind:?}");
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        for status in RequestStatus::ALL {
            assert_eq!(RequestStatus::parse(status.as_str()), Some(status));
        }
    }
}
