//! How a person comes in: a code by mail, exchanged for a signed token and its cookies.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::alone;
use crate::app::App;
use crate::auth::{Identity, cookie};
use crate::dispatch::login::{self, LoginError};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Caller;
use crate::model::user_body::UserBody;
use crate::model::workspace::User;
use crate::store::users;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(send_code))
        .routes(routes!(verify_code))
        .routes(routes!(logout))
        .routes(routes!(config))
        .routes(alone(routes!(cli_token)))
}

#[derive(Deserialize, ToSchema)]
struct Address {
    email: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Message {
    message: &'static str,
}

/// Sends a code of six digits, which is valid for ten minutes.
#[utoipa::path(post, path = "/auth/send-code", tag = "login", request_body = Address, responses(
    (status = 200, body = Message),
    (status = 400, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 429, body = ErrorBody),
))]
async fn send_code(app: App, Body(sent): Body<Address>) -> Result<Json<Message>, Error> {
    let email = address(sent.email);
    if email.is_empty() {
        return Err(Error::bad_request("email is required"));
    }
    login::send_code(&app, email)
        .await
        .map_err(|error| refused(error, "failed to send verification code"))?;
    Ok(Json(Message { message: "Verification code sent" }))
}

#[derive(Deserialize, ToSchema)]
struct Entered {
    email: Option<String>,
    code: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct LoggedIn {
    token: String,
    user: UserBody,
}

/// Exchanges a code for a token, which is set as a cookie too. Whoever comes for the first
/// time gets an account.
#[utoipa::path(post, path = "/auth/verify-code", tag = "login", request_body = Entered, responses(
    (status = 200, body = LoggedIn),
    (status = 400, body = ErrorBody),
    (status = 403, body = ErrorBody),
))]
async fn verify_code(app: App, Body(sent): Body<Entered>) -> Result<impl IntoResponse, Error> {
    let email = address(sent.email);
    let code = sent.code.unwrap_or_default().trim().to_owned();
    if email.is_empty() || code.is_empty() {
        return Err(Error::bad_request("email and code are required"));
    }
    let entered = login::enter(&app, email, code).await;
    let user = entered.map_err(|error| refused(error, "failed to verify code"))?;
    let token = sign(&app, &user)?;
    let csrf =
        cookie::mint_csrf(&token).map_err(|error| Error::internal("failed to generate token", error))?;
    let setting = setting(&app);
    let cookies = [setting.keep(cookie::LOGIN, &token), setting.keep(cookie::CSRF, &csrf)];
    Ok((set(cookies)?, Json(LoggedIn { token, user: user.into() })))
}

/// Makes the browser forget the login.
#[utoipa::path(post, path = "/auth/logout", tag = "login", responses((status = 200, body = Message)))]
async fn logout(app: App) -> Result<impl IntoResponse, Error> {
    let setting = setting(&app);
    let cookies = [setting.forget(cookie::LOGIN), setting.forget(cookie::CSRF)];
    Ok((set(cookies)?, Json(Message { message: "logged out" })))
}

#[derive(Serialize, ToSchema)]
struct Token {
    token: String,
}

/// A signed token for the caller's command line.
#[utoipa::path(post, path = "/api/cli-token", tag = "login", responses(
    (status = 200, body = Token),
    (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody, description = "an agent at work cannot make tokens"),
    (status = 404, body = ErrorBody),
))]
async fn cli_token(app: App, caller: Caller) -> Result<Json<Token>, Error> {
    let id = caller.require_user()?;
    if matches!(caller.0, Identity::Task { .. }) {
        // It would outlive the task and leave its workspace.
        return Err(Error::forbidden("a task token cannot create a login token"));
    }
    let failed = |error| Error::internal("failed to load user", error);
    let user = users::find(&mut app.db.reader().await.map_err(failed)?, id).await.map_err(failed)?;
    let user = user.ok_or_else(|| Error::not_found("user not found"))?;
    Ok(Json(Token { token: sign(&app, &user)? }))
}

#[derive(Serialize, ToSchema)]
struct PublicConfig {
    cdn_domain: &'static str,
    allow_signup: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_creation_disabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon_server_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon_app_url: Option<String>,
    posthog_key: &'static str,
    posthog_host: &'static str,
    analytics_environment: String,
    feature_flags: FeatureFlags,
}

#[derive(Serialize, ToSchema)]
struct FeatureFlags {
    composio_mcp_apps: bool,
}

/// What a web app has to know before anybody has logged in.
#[utoipa::path(get, path = "/api/config", tag = "login", responses((status = 200, body = PublicConfig)))]
async fn config(app: App) -> Json<PublicConfig> {
    Json(PublicConfig {
        cdn_domain: "",
        allow_signup: app.access.signup.open,
        workspace_creation_disabled: app.flags.disable_workspace_creation.then_some(true),
        daemon_server_url: app.flags.public_url.clone(),
        daemon_app_url: app.access.app_url.clone(),
        posthog_key: "",
        posthog_host: "",
        analytics_environment: app.access.environment.clone(),
        feature_flags: FeatureFlags { composio_mcp_apps: app.flags.composio_mcp_apps },
    })
}

fn address(sent: Option<String>) -> String {
    sent.unwrap_or_default().trim().to_lowercase()
}

fn refused(error: LoginError, failed: &str) -> Error {
    match error {
        LoginError::AddressTooLong | LoginError::WrongCode => Error::bad_request(error.to_string()),
        LoginError::SignupClosed => Error::forbidden(error.to_string()),
        LoginError::TooSoon => Error::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()),
        LoginError::NoRandomness(_) | LoginError::Store(_) => Error::internal(failed, error),
    }
}

fn sign(app: &App, user: &User) -> Result<String, Error> {
    let signed = app.auth.keys().mint(user, app.clock.now());
    signed.map_err(|error| Error::internal("failed to generate token", error))
}

fn setting(app: &App) -> cookie::Setting {
    cookie::Setting { lifetime: app.auth.keys().lifetime(), secure: app.access.secure_cookies }
}

fn set(cookies: [String; 2]) -> Result<AppendHeaders<[(header::HeaderName, HeaderValue); 2]>, Error> {
    let value = |cookie: &str| {
        HeaderValue::try_from(cookie).map_err(|error| Error::internal("failed to set cookies", error))
    };
    let [login, csrf] = cookies;
    Ok(AppendHeaders([(header::SET_COOKIE, value(&login)?), (header::SET_COOKIE, value(&csrf)?)]))
}
