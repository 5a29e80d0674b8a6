//! `/api/me`: the person who calls.

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::alone;
use crate::app::App;
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Caller;
use crate::model::ids::UserId;
use crate::model::user_body::UserBody;
use crate::model::workspace::User;
use crate::store::users::{self, UserChange};

const LANGUAGES: [&str; 4] = ["en", "zh-Hans", "ko", "ja"];
/// In Unicode code points.
const DESCRIPTION_CHARS: usize = 2000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(alone(routes!(show, update)))
}

/// Who the caller is.
#[utoipa::path(get, path = "/api/me", responses(
    (status = 200, body = UserBody),
    (status = 401, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn show(app: App, caller: Caller) -> Result<Json<UserBody>, Error> {
    let user = find(&app, caller.require_user()?).await?;
    Ok(Json(user.into()))
}

#[derive(Deserialize, ToSchema)]
struct MeChange {
    name: Option<String>,
    avatar_url: Option<String>,
    /// `en`, `zh-Hans`, `ko` or `ja`.
    language: Option<String>,
    /// At most 2000 characters; goes into the claims of tasks that the user originates.
    profile_description: Option<String>,
    /// An IANA name; empty clears it.
    timezone: Option<String>,
}

/// Changes what the caller says of themselves.
#[utoipa::path(patch, path = "/api/me", request_body = MeChange, responses(
    (status = 200, body = UserBody),
    (status = 400, body = ErrorBody),
    (status = 401, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn update(
    app: App,
    caller: Caller,
    sent: Result<Body<MeChange>, Error>,
) -> Result<Json<UserBody>, Error> {
    let user = find(&app, caller.require_user()?).await?;
    let Body(sent) = sent?;
    let change = checked(sent)?;
    let now = app.clock.now();
    let updated =
        app.db.write(move |c| Box::pin(async move { users::update(c, user.id, &change, now).await }));
    let updated = updated.await.map_err(|error| Error::internal("failed to update user", error))?;
    let user = updated.ok_or_else(|| Error::not_found("user not found"))?;
    Ok(Json(user.into()))
}

fn checked(sent: MeChange) -> Result<UserChange, Error> {
    let name = sent.name.map(|name| name.trim().to_owned());
    if name.as_ref().is_some_and(String::is_empty) {
        return Err(Error::bad_request("name is required"));
    }
    if sent.language.as_ref().is_some_and(|language| !LANGUAGES.contains(&language.as_str())) {
        return Err(Error::bad_request("unsupported language"));
    }
    if sent.profile_description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS) {
        return Err(Error::bad_request("profile_description exceeds 2000 characters"));
    }
    if sent.timezone.as_ref().is_some_and(|zone| !zone.is_empty() && zone.parse::<chrono_tz::Tz>().is_err()) {
        return Err(Error::bad_request("invalid timezone"));
    }
    Ok(UserChange {
        name,
        avatar_url: sent.avatar_url,
        language: sent.language,
        profile_description: sent.profile_description,
        timezone: sent.timezone,
    })
}

async fn find(app: &App, id: UserId) -> Result<User, Error> {
    let failed = |error| Error::internal("failed to load user", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let user = users::find(&mut conn, id).await.map_err(failed)?;
    user.ok_or_else(|| Error::not_found("user not found"))
}
