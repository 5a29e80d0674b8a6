//! `/api/integrations/composio`: apps that people connect, for their agents' tasks.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::mount;
use crate::app::App;
use crate::composio::toolkits::Toolkit;
use crate::composio::{Composio, ConnectError};
use crate::dispatch::connect::{self, DisconnectError, Returned};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Caller;
use crate::http::query::Query;
use crate::model::connection::Connection;
use crate::model::ids::ConnectionId;
use crate::model::time::seconds;
use crate::store::connections;

pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(init))
        .routes(routes!(list_toolkits))
        .routes(routes!(list))
        .routes(routes!(disconnect));
    // A browser that comes back carries no token.
    OpenApiRouter::new().routes(routes!(callback)).merge(mount("/api/integrations/composio", routes))
}

fn configured(app: &App) -> Result<&Composio, Error> {
    let unconfigured = || Error::new(StatusCode::SERVICE_UNAVAILABLE, "composio integration not configured");
    app.composio.as_ref().ok_or_else(unconfigured)
}

fn bad_gateway(message: &str, cause: &dyn std::fmt::Display) -> Error {
    tracing::warn!(%cause, "{message}");
    Error::new(StatusCode::BAD_GATEWAY, message)
}

#[derive(Deserialize, ToSchema)]
struct ConnectionWish {
    toolkit_slug: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ConnectionOffer {
    /// Where the browser goes on.
    redirect_url: String,
}

/// Begins to connect an app.
#[utoipa::path(post, path = "/connect/init", tag = "composio", request_body = ConnectionWish, responses(
    (status = 200, body = ConnectionOffer),
    (status = 400, body = ErrorBody),
    (status = 502, body = ErrorBody),
    (status = 503, body = ErrorBody),
))]
async fn init(
    app: App,
    caller: Caller,
    sent: Result<Body<ConnectionWish>, Error>,
) -> Result<Json<ConnectionOffer>, Error> {
    let composio = configured(&app)?;
    let user = caller.require_user()?;
    let slug = sent?.0.toolkit_slug.unwrap_or_default().trim().to_lowercase();
    if slug.is_empty() {
        return Err(Error::bad_request("toolkit_slug is required"));
    }
    let redirect_url = composio.connect(user, &slug, app.clock.now()).await.map_err(|error| match error {
        ConnectError::Unsupported => Error::bad_request(error.to_string()),
        ConnectError::State(_) | ConnectError::Upstream(_) => {
            bad_gateway("failed to start composio connect", &error)
        }
    })?;
    Ok(Json(ConnectionOffer { redirect_url }))
}

#[derive(Deserialize, IntoParams)]
struct CallbackQuery {
    state: Option<String>,
    status: Option<String>,
    connected_account_id: Option<String>,
}

/// Where the service sends a browser when an app was connected, or was not.
#[utoipa::path(get, path = "/api/integrations/composio/callback", tag = "composio", params(CallbackQuery),
    responses((status = 302, description = "Back to the web app."), (status = 503, body = ErrorBody)))]
async fn callback(app: App, sent: Result<Query<CallbackQuery>, Error>) -> Result<Response, Error> {
    let composio = configured(&app)?;
    let returned = sent.map(|Query(sent)| Returned {
        state: sent.state.unwrap_or_default(),
        status: sent.status.unwrap_or_default(),
        account: sent.connected_account_id.unwrap_or_default(),
    });
    let connected = connect::finish(&app, composio, returned.unwrap_or_default()).await;
    let result = match connected {
        Ok(slug) => ("connected", slug),
        Err(error) => {
            // The browser reads nothing of why.
            tracing::warn!(%error, "an app was not connected");
            ("error", "composio_connect_failed".to_owned())
        }
    };
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("tab", "integrations")
        .append_pair(result.0, &result.1)
        .finish();
    let location = format!("{}/settings?{query}", composio.frontend());
    let location =
        HeaderValue::try_from(location).map_err(|error| Error::internal("failed to redirect", error))?;
    Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}

/// Apps that there are.
#[utoipa::path(get, path = "/toolkits", tag = "composio", responses(
    (status = 200, body = Vec<Toolkit>),
    (status = 502, body = ErrorBody),
    (status = 503, body = ErrorBody),
))]
async fn list_toolkits(app: App, caller: Caller) -> Result<Json<Vec<Toolkit>>, Error> {
    let composio = configured(&app)?;
    caller.require_user()?;
    let listed = composio.list_toolkits(app.clock.now()).await;
    Ok(Json(listed.map_err(|error| bad_gateway("failed to list composio toolkits", &error))?))
}

#[derive(Serialize, ToSchema)]
#[schema(title = "ComposioConnection")]
struct ConnectionBody {
    id: ConnectionId,
    toolkit_slug: String,
    status: String,
    #[schema(format = DateTime)]
    connected_at: String,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

impl From<Connection> for ConnectionBody {
    fn from(row: Connection) -> Self {
        Self {
            id: row.id,
            toolkit_slug: row.toolkit_slug,
            status: row.status,
            connected_at: seconds(row.connected_at),
            last_used_at: row.last_used_at.map(seconds),
        }
    }
}

/// The caller's connected apps, newest first.
#[utoipa::path(get, path = "/connections", tag = "composio", responses(
    (status = 200, body = Vec<ConnectionBody>),
    (status = 503, body = ErrorBody),
))]
async fn list(app: App, caller: Caller) -> Result<Json<Vec<ConnectionBody>>, Error> {
    configured(&app)?;
    let user = caller.require_user()?;
    let listed = async { connections::list_active(&mut app.db.reader().await?, user).await };
    let listed =
        listed.await.map_err(|error| Error::internal("failed to list composio connections", error))?;
    Ok(Json(listed.into_iter().map(ConnectionBody::from).collect()))
}

/// Takes one of the caller's apps away, here and at the service.
#[utoipa::path(delete, path = "/connections/{id}", tag = "composio", params(("id" = String, Path)), responses(
    (status = 204),
    (status = 400, body = ErrorBody),
    (status = 404, body = ErrorBody),
    (status = 502, body = ErrorBody),
    (status = 503, body = ErrorBody),
))]
async fn disconnect(app: App, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let composio = configured(&app)?;
    let user = caller.require_user()?;
    let id = ConnectionId::parse(&id).ok_or_else(|| Error::bad_request("invalid connection id"))?;
    connect::take_away(&app, composio, user, id).await.map_err(|error| match error {
        DisconnectError::NotFound => Error::not_found(error.to_string()),
        DisconnectError::Upstream(_) => bad_gateway("failed to disconnect composio connection", &error),
        DisconnectError::Store(_) => Error::internal("failed to disconnect composio connection", error),
    })?;
    Ok(StatusCode::NO_CONTENT)
}
