//! `GET /api/issues/search`.

use axum::Json;
use axum::http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::search_query::SearchSent;
use crate::app::App;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::issue_path;
use crate::http::query::Query;
use crate::model::issue_body::IssueBody;
use crate::model::search::Terms;
use crate::store::issue_search::{self, Hit, Search};
use crate::store::{Conn, StoreError, workspaces};

#[derive(Serialize, ToSchema)]
pub(super) struct FoundIssues {
    issues: Vec<FoundIssue>,
    /// How many were found, on this page or not.
    total: i64,
}

#[derive(Serialize, ToSchema)]
struct FoundIssue {
    #[serde(flatten)]
    issue: IssueBody,
    /// `title`, `description` or `comment`.
    match_source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_snippet: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_description_snippet: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_comment_snippet: Option<String>,
}

/// Looks through titles, descriptions and comments.
#[utoipa::path(
    get,
    path = "/search",
    tag = "issues",
    params(SearchSent),
    responses(
        (status = 200, body = FoundIssues, headers(("X-Total-Count" = i64, description = "The member `total`"))),
        (status = 400, body = ErrorBody),
    ),
)]
pub(super) async fn search(
    app: App,
    scope: Scope,
    Query(sent): Query<SearchSent>,
) -> Result<([(HeaderName, HeaderValue); 1], Json<FoundIssues>), Error> {
    let terms = sent.terms()?;
    let number = terms.phrase.parse().ok().filter(|number| *number > 0);
    let mut wanted = Search {
        workspace_id: scope.workspace_id,
        number: number.or_else(|| issue_path::number(&terms.phrase)),
        terms,
        include_closed: sent.closed_too(),
        limit: sent.limit(),
        offset: sent.offset(),
    };
    let mut conn = app.db.reader().await?;
    let hits = issue_search::search(&mut conn, &wanted).await?;
    let mut total = hits.first().map_or(0, |hit| hit.total);
    if hits.is_empty() && wanted.offset > 0 {
        // Behind the last page nothing says how many there are.
        (wanted.limit, wanted.offset) = (1, 0);
        total = issue_search::search(&mut conn, &wanted).await?.first().map_or(0, |hit| hit.total);
    }
    let prefix = workspaces::find_issue_prefix(&mut conn, scope.workspace_id).await?;
    let mut issues = Vec::with_capacity(hits.len());
    for hit in hits {
        issues.push(show(&mut conn, &wanted.terms, &hit, &prefix).await?);
    }
    let name = HeaderName::from_static("x-total-count");
    Ok(([(name, HeaderValue::from(total))], Json(FoundIssues { issues, total })))
}

async fn show(conn: &mut Conn, terms: &Terms, hit: &Hit, prefix: &str) -> Result<FoundIssue, StoreError> {
    let comment = issue_search::find_comment(conn, hit.issue.id, terms).await?;
    let comment = comment.and_then(|content| terms.snippet(&content));
    let description = hit.issue.description.as_deref().and_then(|text| terms.snippet(text));
    let match_source = match hit.tier {
        0..=4 => "title",
        5 | 6 => "description",
        7 | 8 => "comment",
        _ if terms.touches(&hit.issue.title) => "title",
        _ if description.is_some() => "description",
        _ => "comment",
    };
    let matched_snippet = match match_source {
        "description" => description.clone(),
        "comment" => comment.clone(),
        _ => None,
    };
    let issue = IssueBody { metadata: json!({}), stage: None, ..IssueBody::new(&hit.issue, prefix) };
    Ok(FoundIssue {
        issue,
        match_source,
        matched_snippet,
        matched_description_snippet: description,
        matched_comment_snippet: comment,
    })
}
