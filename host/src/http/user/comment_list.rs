//! Comments read: all of them, by thread, by page, cut or folded.

use std::collections::HashMap;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::comment_query::{CommentQuery, MOST, Part, Wanted};
use super::comments::bodies;
use crate::app::App;
use crate::http::error::{Error, ErrorBody};
use crate::http::issue_path::IssueInPath;
use crate::http::query::Query;
use crate::model::comment_body::CommentBody;
use crate::model::ids::{CommentId, IssueId};
use crate::model::issue::Comment;
use crate::model::text::cut;
use crate::model::thread::{Folded, fold};
use crate::model::time::{Time, nanos, seconds};
use crate::store::batch::Ids;
use crate::store::comment_threads::{self as threads, Before, Thread};
use crate::store::{Conn, StoreError, comments};

/// What `summary=true` leaves of a content, in Unicode scalar values.
const SUMMARY_CHARS: usize = 200;
/// Where the next page begins.
const NEXT_BEFORE: HeaderName = HeaderName::from_static("x-multica-next-before");
const NEXT_BEFORE_ID: HeaderName = HeaderName::from_static("x-multica-next-before-id");

/// A comment in a list, with what the list says about it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListedComment {
    #[serde(flatten)]
    comment: CommentBody,
    /// Of a root: how many comments are below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_count: Option<i64>,
    /// Of a root: when the latest comment of its thread was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_activity_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_truncated: Option<bool>,
    /// Of the root of a folded thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_resolved: Option<bool>,
    /// Of the root of a folded thread: how many replies are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    folded_count: Option<usize>,
}

/// What a list is made of.
#[derive(Default)]
struct Page {
    comments: Vec<Comment>,
    threads: HashMap<CommentId, Thread>,
    folded: HashMap<CommentId, Folded>,
    next: Option<Before>,
}

#[utoipa::path(get, path = "/{id}/comments", tag = "comments",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`"), CommentQuery),
    responses(
        (status = 200, body = [ListedComment], headers(
            ("X-Multica-Next-Before" = String, description = "`before` of the next page"),
            ("X-Multica-Next-Before-Id" = String, description = "`before_id` of the next page"))),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub(super) async fn list(
    app: App,
    IssueInPath(issue): IssueInPath,
    Query(query): Query<CommentQuery>,
) -> Result<(HeaderMap, Json<Vec<ListedComment>>), Error> {
    let failed = |error| Error::internal("failed to list comments", error);
    let wanted = query.wanted()?;
    let mut conn = app.db.reader().await.map_err(failed)?;
    let page = read(&mut conn, issue.id, &wanted).await.map_err(failed)?;
    let mut page = page.ok_or_else(|| Error::not_found("thread anchor not found in this issue"))?;
    if wanted.fold {
        (page.comments, page.folded) = fold(page.comments);
    }
    let headers = page.next.map(cursor).unwrap_or_default();
    let bodies = bodies(&app, &mut conn, &page.comments).await.map_err(failed)?;
    Ok((headers, Json(bodies.into_iter().map(|body| listed(body, &wanted, &page)).collect())))
}

/// `None` when the comment whose thread is asked for is not on the issue.
async fn read(conn: &mut Conn, issue: IssueId, wanted: &Wanted) -> Result<Option<Page>, StoreError> {
    let since = wanted.since;
    match wanted.part {
        Part::All => {
            let comments = comments::list(conn, issue, since, MOST).await?;
            Ok(Some(Page { comments, ..Page::default() }))
        }
        Part::Roots => {
            let comments = threads::list_roots(conn, issue, since, MOST).await?;
            let threads = threads::list_threads(conn, issue).await?;
            let threads = threads.into_iter().map(|thread| (thread.root_id, thread)).collect();
            Ok(Some(Page { comments, threads, ..Page::default() }))
        }
        Part::Thread(anchor) => {
            let Some(root) = root(conn, issue, anchor).await? else { return Ok(None) };
            let whole = threads::list_whole(conn, &Ids::of([root.id.0])).await?;
            Ok(Some(Page { comments: newer(whole, since), ..Page::default() }))
        }
        Part::Tail { anchor, count, before } => {
            let Some(root) = root(conn, issue, anchor).await? else { return Ok(None) };
            tail(conn, root, count, before, since).await.map(Some)
        }
        Part::Recent { count, before } => recent(conn, issue, count, before, since).await.map(Some),
    }
}

async fn root(conn: &mut Conn, issue: IssueId, anchor: CommentId) -> Result<Option<Comment>, StoreError> {
    match comments::find_on(conn, issue, anchor).await? {
        Some(anchor) => comments::find_root(conn, anchor.id).await,
        None => Ok(None),
    }
}

/// The root, and the newest replies that are older than the cursor.
async fn tail(
    conn: &mut Conn,
    root: Comment,
    count: i64,
    before: Option<Before>,
    since: Option<Time>,
) -> Result<Page, StoreError> {
    // One more than asked for tells whether there is a next page.
    let mut replies = threads::list_replies(conn, root.id, before, count + 1).await?;
    let asked = usize::try_from(count).unwrap_or_default();
    let further = replies.len() > asked;
    replies.truncate(asked);
    let last = replies.last().map(|reply| Before { at: reply.created_at, id: reply.id });
    replies.reverse();
    let mut comments = vec![root];
    comments.extend(newer(replies, since));
    Ok(Page { comments, next: last.filter(|last| further && is_newer(last.at, since)), ..Page::default() })
}

/// The threads that were alive last, whole, the latest at the end.
async fn recent(
    conn: &mut Conn,
    issue: IssueId,
    count: i64,
    before: Option<Before>,
    since: Option<Time>,
) -> Result<Page, StoreError> {
    let latest = threads::list_recent(conn, issue, before, count).await?;
    // A full page may have been the last; the next one is empty then.
    let full = usize::try_from(count).is_ok_and(|count| latest.len() == count);
    let last = latest.last().map(|thread| Before { at: thread.last_activity_at, id: thread.root_id });
    let whole = threads::list_whole(conn, &Ids::of(latest.iter().map(|thread| thread.root_id.0))).await?;
    let roots = crate::model::thread::roots(&whole);
    let places: HashMap<CommentId, usize> =
        latest.iter().rev().enumerate().map(|(place, thread)| (thread.root_id, place)).collect();
    let mut comments = newer(whole, since);
    // Stable: inside a thread the order stays.
    comments.sort_by_key(|comment| roots.get(&comment.id).and_then(|root| places.get(root)));
    Ok(Page { comments, next: last.filter(|last| full && is_newer(last.at, since)), ..Page::default() })
}

fn newer(comments: Vec<Comment>, since: Option<Time>) -> Vec<Comment> {
    comments.into_iter().filter(|comment| is_newer(comment.created_at, since)).collect()
}

fn is_newer(time: Time, since: Option<Time>) -> bool {
    since.is_none_or(|since| time > since)
}

fn cursor(next: Before) -> HeaderMap {
    let values = [(NEXT_BEFORE, nanos(next.at)), (NEXT_BEFORE_ID, next.id.to_string())];
    let headers = values.into_iter().filter_map(|(name, value)| {
        let value = HeaderValue::try_from(value).ok()?;
        Some((name, value))
    });
    headers.collect()
}

fn listed(mut comment: CommentBody, wanted: &Wanted, page: &Page) -> ListedComment {
    if wanted.part != Part::All {
        comment.source_task_id = None;
    }
    let content_truncated = wanted.summary.then(|| {
        let short = cut(&comment.content, SUMMARY_CHARS);
        let truncated = short != comment.content;
        comment.content = short;
        truncated
    });
    let thread = page.threads.get(&comment.id);
    let folded = page.folded.get(&comment.id);
    ListedComment {
        reply_count: thread.map(|thread| thread.reply_count),
        last_activity_at: thread.map(|thread| seconds(thread.last_activity_at)),
        content_truncated,
        thread_resolved: folded.map(|_| true),
        folded_count: folded.map(|folded| folded.hidden),
        comment,
    }
}
