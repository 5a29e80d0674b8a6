//! What the bodies of several routes have in common: statuses, dates, ids, and to whom an
//! issue is given.

use chrono::NaiveDate;
use uuid::Uuid;

use crate::dispatch::assign::{self, AssignError};
use crate::dispatch::permission;
use crate::http::error::Error;
use crate::http::extract::Scope;
use crate::model::ids::parse_uuid;
use crate::model::issue::{Assignee, ISSUE_STATUSES, PRIORITIES, parse_date};
use crate::model::text::quoted;
use crate::store::Conn;

/// More attachments than this on one issue or comment are a mistake.
const ATTACHMENTS: usize = 500;

pub fn check_status(status: &str) -> Result<(), Error> {
    one_of("status", status, &ISSUE_STATUSES)
}

pub fn check_priority(priority: &str) -> Result<(), Error> {
    one_of("priority", priority, &PRIORITIES)
}

fn one_of(name: &str, value: &str, known: &[&str]) -> Result<(), Error> {
    if known.contains(&value) {
        return Ok(());
    }
    let known = known.join(", ");
    Err(Error::bad_request(format!("invalid {name} {}; valid values: {known}", quoted(value))))
}

pub fn check_stage(stage: Option<i32>) -> Result<(), Error> {
    if stage.is_some_and(|stage| stage < 1) { Err(Error::bad_request("stage must be >= 1")) } else { Ok(()) }
}

/// A date; an empty text is none.
pub fn date(name: &str, sent: &str) -> Result<Option<NaiveDate>, Error> {
    if sent.is_empty() {
        return Ok(None);
    }
    let date = parse_date(sent);
    date.map(Some).ok_or_else(|| Error::bad_request(format!("invalid {name} format, expected YYYY-MM-DD")))
}

/// An id; 400 `invalid <name>` when it is none.
pub fn id(name: &str, sent: &str) -> Result<Uuid, Error> {
    parse_uuid(sent).ok_or_else(|| Error::bad_request(format!("invalid {name}")))
}

/// As [`id`], when one was sent.
pub fn optional_id(name: &str, sent: Option<&str>) -> Result<Option<Uuid>, Error> {
    sent.map(|text| id(name, text)).transpose()
}

/// The ids of attachments.
pub fn attachment_ids(sent: Option<&[String]>) -> Result<Vec<Uuid>, Error> {
    let sent = sent.unwrap_or_default();
    if sent.len() > ATTACHMENTS {
        return Err(Error::bad_request(format!("attachment_ids: send at most {ATTACHMENTS}")));
    }
    sent.iter().map(|text| id("attachment_ids", text)).collect()
}

/// Whom a type and id name, if the caller may give them work.
pub async fn assignee(
    conn: &mut Conn,
    scope: &Scope,
    kind: Option<&str>,
    id: Option<Uuid>,
) -> Result<Option<Assignee>, Error> {
    let by = permission::of_actor(conn, scope.actor).await?;
    Ok(assign::validate(conn, scope.workspace_id, by, kind, id).await?)
}

impl From<AssignError> for Error {
    fn from(error: AssignError) -> Self {
        match error {
            AssignError::Half
            | AssignError::UnknownType
            | AssignError::NoMember
            | AssignError::NoAgent
            | AssignError::ArchivedAgent
            | AssignError::NoSquad
            | AssignError::ArchivedSquad
            | AssignError::ArchivedLeader => Self::bad_request(error.to_string()),
            AssignError::PrivateAgent | AssignError::PrivateLeader => Self::forbidden(error.to_string()),
            AssignError::Store(cause) => cause.into(),
        }
    }
}
