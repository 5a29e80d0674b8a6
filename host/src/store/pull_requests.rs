//! Pull requests linked to issues.

use super::{Conn, StoreError};
use crate::model::ids::IssueId;

/// The commit under review on an issue: that of an open pull request before any other, and
/// of the one that moved last.
pub async fn find_reviewed_head(conn: &mut Conn, issue: IssueId) -> Result<Option<String>, StoreError> {
    const SQL: &str = "SELECT p.head_sha FROM issue_pull_request l
        JOIN github_pull_request p ON p.id = l.pull_request_id
        WHERE l.issue_id = $1 AND p.head_sha <> ''
        ORDER BY CASE WHEN p.state IN ('open', 'draft') THEN 0 ELSE 1 END, p.pr_updated_at DESC, p.id LIMIT 1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(issue).fetch_optional(c).await)?)
}
