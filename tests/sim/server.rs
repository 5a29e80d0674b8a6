//! The gateway in this process: its own router and its own App, over a database that
//! outlives it.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt;
use serde_json::Value;
use switchyard::App;
use switchyard::config::{self, Config};
use switchyard::http::router;
use switchyard::model::time::Clock;
use tower::ServiceExt;

use crate::call::{Answer, Call};
use crate::database::Place;

pub struct Server {
    app: App,
    router: Router,
}

impl Server {
    pub async fn start(place: &Place, clock: &Clock) -> Self {
        let config = Config {
            data_dir: place.folder().to_owned(),
            database_url: Some(place.url().to_owned()),
            plugins: Some(place.no_plugins()),
            ..Config::default()
        };
        let app = switchyard::build(&config, config::flags().unwrap(), clock.clone()).await.unwrap();
        let router = router::public(app.clone());
        Self { app, router }
    }

    pub fn app(&self) -> &App {
        &self.app
    }

    pub async fn call(&self, call: &Call, token: &str, workspace: &str) -> Answer {
        let body = if call.body.is_null() { Body::empty() } else { Body::from(call.body.to_string()) };
        let request = Request::builder()
            .method(call.method.clone())
            .uri(&call.path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header("x-workspace-id", workspace)
            .body(body)
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    /// Gone with everything that was only in memory.
    pub async fn crash(self) {
        self.app.db.close().await;
    }
}
