//! `/api/tokens`: personal access tokens.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::mount;
use crate::app::App;
use crate::auth::{Identity, token};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Caller;
use crate::http::guard::bearer;
use crate::model::ids::parse_uuid;
use crate::model::time::{Time, seconds};
use crate::store::tokens::{self, ListedToken};

/// A renewal does something only when no more than this is left.
const RENEW_WITHIN: TimeDelta = TimeDelta::days(7);
/// How long a renewed token lives from then on.
const RENEWED_FOR: TimeDelta = TimeDelta::days(90);
/// The longest life that may be asked for: a century.
const MOST_DAYS: i64 = 36_500;

pub fn routes() -> OpenApiRouter<App> {
    let routes =
        OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(renew)).routes(routes!(revoke));
    mount("/api/tokens", routes)
}

#[derive(Serialize, ToSchema)]
#[schema(title = "PersonalAccessToken")]
struct TokenBody {
    id: Uuid,
    name: String,
    /// The token's first twelve characters.
    token_prefix: String,
    /// `null` never expires.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<ListedToken> for TokenBody {
    fn from(row: ListedToken) -> Self {
        Self {
            id: row.id,
            name: row.name,
            token_prefix: row.token_prefix,
            expires_at: row.expires_at.map(seconds),
            last_used_at: row.last_used_at.map(seconds),
            created_at: seconds(row.created_at),
        }
    }
}

/// The caller's tokens that are not revoked, newest first.
#[utoipa::path(get, path = "/", responses((status = 200, body = [TokenBody]), (status = 401, body = ErrorBody)))]
async fn list(app: App, caller: Caller) -> Result<Json<Vec<TokenBody>>, Error> {
    let user = caller.require_user()?;
    let failed = |error| Error::internal("failed to list tokens", error);
    let found = tokens::list_personal(&mut app.db.reader().await.map_err(failed)?, user).await;
    Ok(Json(found.map_err(failed)?.into_iter().map(TokenBody::from).collect()))
}

#[derive(Deserialize, ToSchema)]
struct NewToken {
    name: Option<String>,
    /// Absent, zero or less: never expires.
    expires_in_days: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct CreatedToken {
    #[serde(flatten)]
    listed: TokenBody,
    /// Shown only here.
    token: String,
}

/// Makes a token.
#[utoipa::path(post, path = "/", request_body = NewToken, responses(
    (status = 201, body = CreatedToken),
    (status = 400, body = ErrorBody),
    (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody, description = "an agent at work cannot make tokens"),
))]
async fn create(
    app: App,
    caller: Caller,
    sent: Result<Body<NewToken>, Error>,
) -> Result<(StatusCode, Json<CreatedToken>), Error> {
    let user = caller.require_user()?;
    if matches!(caller.0, Identity::Task { .. }) {
        // It would outlive the task and leave its workspace.
        return Err(Error::forbidden("a task token cannot create personal access tokens"));
    }
    let Body(sent) = sent?;
    let name = sent.name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Error::bad_request("name is required"))?;
    let days = sent.expires_in_days.filter(|days| *days > 0);
    if days.is_some_and(|days| days > MOST_DAYS) {
        return Err(Error::bad_request(format!("expires_in_days must be at most {MOST_DAYS}")));
    }
    let now = app.clock.now();
    let expires_at = days.map(|days| now + TimeDelta::days(days));
    let failed = || "failed to create token";
    let minted = token::mint(token::PERSONAL).map_err(|error| Error::internal(failed(), error))?;
    let (hash, prefix, kept) = (token::hash(&minted), token::prefix(&minted).to_owned(), name.clone());
    let listed_prefix = prefix.clone();
    let stored = app.db.write(move |c| {
        Box::pin(
            async move { tokens::insert_personal(c, user, &kept, &hash, &prefix, expires_at, now).await },
        )
    });
    let id = stored.await.map_err(|error| Error::internal(failed(), error))?;
    let listed = ListedToken {
        id,
        name,
        token_prefix: listed_prefix,
        expires_at,
        last_used_at: None,
        created_at: now,
    };
    Ok((StatusCode::CREATED, Json(CreatedToken { listed: listed.into(), token: minted })))
}

#[derive(Serialize, ToSchema)]
struct Renewal {
    /// Empty when the token never expires.
    expires_at: String,
    renewed: bool,
}

/// Gives the token of this very call a longer life when it is about to expire.
#[utoipa::path(post, path = "/current/renew", responses(
    (status = 200, body = Renewal),
    (status = 400, body = ErrorBody),
    (status = 401, body = ErrorBody),
))]
async fn renew(app: App, caller: Caller, headers: HeaderMap) -> Result<Json<Renewal>, Error> {
    let user = caller.require_user()?;
    let token = bearer(&headers).filter(|token| token.starts_with(token::PERSONAL));
    let token = token.ok_or_else(|| Error::bad_request("only personal access tokens can be renewed"))?;
    let hash = token::hash(token);
    let (now, kept) = (app.clock.now(), find(&app, &hash).await?);
    if kept.user_id != user {
        return Err(Error::unauthorized("token does not belong to caller"));
    }
    let Some(expires_at) = kept.expires_at else {
        return Ok(Json(Renewal { expires_at: String::new(), renewed: false }));
    };
    if expires_at - now > RENEW_WITHIN {
        return Ok(Json(Renewal { expires_at: seconds(expires_at), renewed: false }));
    }
    let (within, until, key) = (now + RENEW_WITHIN, now + RENEWED_FOR, hash.clone());
    let renewed = app
        .db
        .write(move |c| Box::pin(async move { tokens::renew_personal(c, &key, now, within, until).await }))
        .await
        .map_err(|error| Error::internal("failed to renew token", error))?;
    let expires_at = if renewed { Some(until) } else { find(&app, &hash).await?.expires_at };
    Ok(Json(Renewal { expires_at: expires_at.map(seconds).unwrap_or_default(), renewed }))
}

async fn find(app: &App, hash: &str) -> Result<tokens::PersonalToken, Error> {
    let failed = |error| Error::internal("failed to look up token", error);
    let now: Time = app.clock.now();
    let found = tokens::find_personal(&mut app.db.reader().await.map_err(failed)?, hash, now).await;
    found.map_err(failed)?.ok_or_else(|| Error::unauthorized("token is no longer valid"))
}

/// Takes a token of the caller's back; it stops working at once. Nothing happens when they
/// have none of that id.
#[utoipa::path(delete, path = "/{id}", params(("id" = Uuid, Path)), responses(
    (status = 204),
    (status = 400, body = ErrorBody),
    (status = 401, body = ErrorBody),
))]
async fn revoke(app: App, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let user = caller.require_user()?;
    let id = parse_uuid(&id).ok_or_else(|| Error::bad_request("invalid token id"))?;
    let revoked = app.auth.revoke(user, id).await;
    revoked.map_err(|error| Error::internal("failed to revoke token", error))?;
    Ok(StatusCode::NO_CONTENT)
}
