//! `GET /api/projects/search`.

use std::cmp::Reverse;

use axum::Json;
use axum::http::{HeaderName, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::search_query::SearchSent;
use crate::app::App;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::query::Query;
use crate::model::project::ProjectBody;
use crate::model::search::Terms;
use crate::store::projects;

/// The last reason for a match that lies in the title.
const IN_TITLE: u8 = 3;

#[derive(Serialize, ToSchema)]
pub(super) struct FoundProjects {
    projects: Vec<FoundProject>,
    /// How many were found, on this page or not.
    total: usize,
}

#[derive(Serialize, ToSchema)]
struct FoundProject {
    #[serde(flatten)]
    project: ProjectBody,
    /// `title` or `description`.
    match_source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_snippet: Option<String>,
}

/// Looks through titles and descriptions, the best match first.
#[utoipa::path(get, path = "/search", tag = "projects", params(SearchSent),
    responses(
        (status = 200, body = FoundProjects, headers(("X-Total-Count" = i64, description = "The member `total`"))),
        (status = 400, body = ErrorBody),
    ))]
pub(super) async fn search(
    app: App,
    scope: Scope,
    Query(sent): Query<SearchSent>,
) -> Result<([(HeaderName, HeaderValue); 1], Json<FoundProjects>), Error> {
    let (terms, closed_too) = (sent.terms()?, sent.closed_too());
    let all = projects::list(&mut app.db.reader().await?, scope.workspace_id, None, None).await?;
    let open = all
        .into_iter()
        .filter(|project| closed_too || !["completed", "cancelled"].contains(&project.status.as_str()));
    let tier = |project: &ProjectBody| {
        terms.tier(&project.title, project.description.as_deref().unwrap_or_default())
    };
    let mut hits: Vec<(u8, ProjectBody)> =
        open.filter_map(|project| tier(&project).map(|tier| (tier, project))).collect();
    hits.sort_by_key(|(tier, project)| (*tier, Reverse(project.updated_at), project.id));
    let total = hits.len();
    let limit = usize::try_from(sent.limit()).unwrap_or(0);
    let offset = usize::try_from(sent.offset()).unwrap_or(usize::MAX);
    let page = hits.into_iter().skip(offset).take(limit).map(|(tier, project)| show(&terms, tier, project));
    let found = FoundProjects { projects: page.collect(), total };
    let name = HeaderName::from_static("x-total-count");
    Ok(([(name, HeaderValue::from(total))], Json(found)))
}

fn show(terms: &Terms, tier: u8, project: ProjectBody) -> FoundProject {
    if tier <= IN_TITLE || terms.touches(&project.title) {
        return FoundProject { project, match_source: "title", matched_snippet: None };
    }
    let matched_snippet = project.description.as_deref().and_then(|text| terms.snippet(text));
    FoundProject { project, match_source: "description", matched_snippet }
}
