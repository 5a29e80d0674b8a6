//! The issue that a path names: by its id, or as people write it, `KEY-12`. What stands
//! before the number is not looked at.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::app::App;
use crate::http::error::Error;
use crate::http::extract::{Scope, path_segment};
use crate::model::ids::{IssueId, WorkspaceId};
use crate::model::issue::Issue;
use crate::store::{Conn, StoreError, issues};

/// The issue `{id}` of the caller's workspace.
#[derive(Clone, Debug)]
pub struct IssueInPath(pub Issue);

impl FromRequestParts<App> for IssueInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let named = path_segment(parts, "id").await;
        let mut conn = app.db.reader().await?;
        let found = find(&mut conn, scope.workspace_id, &named).await?;
        found.map(Self).ok_or_else(|| Error::not_found("issue not found"))
    }
}

/// The issue that a text names in a workspace. A whole id goes before a number, because an
/// id may end in digits alone.
pub async fn find(conn: &mut Conn, workspace: WorkspaceId, named: &str) -> Result<Option<Issue>, StoreError> {
    if let Some(id) = IssueId::parse(named)
        && let Some(issue) = issues::find_in(conn, workspace, id).await?
    {
        return Ok(Some(issue));
    }
    match number(named) {
        Some(number) => issues::find_by_number(conn, workspace, number).await,
        None => Ok(None),
    }
}

/// The number behind the last hyphen, if there is something before it.
pub fn number(named: &str) -> Option<i32> {
    let (key, digits) = named.rsplit_once('-')?;
    let is_number = !key.is_empty() && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| is_number && *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_behind_the_last_hyphen() {
        for (named, expected) in [
            ("MUL-12", Some(12)),
            ("what-ever-12", Some(12)),
            ("X-007", Some(7)),
            ("-12", None),
            ("X-0", None),
            ("X-", None),
            ("X-+1", None),
            ("12", None),
            ("X-99999999999", None),
        ] {
            assert_eq!(number(named), expected, "{named}");
        }
    }
}
