//! `/docs`: the document of the API as a page to read and to try things on. Its scripts
//! come from the gateway itself.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_swagger_ui::Config;

use super::guard;

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::from("/api/openapi.json");
    Arc::new(config.doc_expansion("none").filter(true).persist_authorization(false).try_it_out_enabled(false))
});

/// `GET /docs`
pub async fn page() -> Response {
    file("index.html").await
}

/// `GET /docs/{file}`
pub async fn asset(Path(name): Path<String>) -> Response {
    file(&name).await
}

async fn file(name: &str) -> Response {
    let Ok(Some(found)) = utoipa_swagger_ui::serve(name, CONFIG.clone()) else {
        return guard::page_not_found().await;
    };
    let mut bytes = found.bytes.into_owned();
    if name == "index.html" {
        // The page's links are relative to it; it is served without a slash at its end.
        let text = String::from_utf8_lossy(&bytes);
        bytes = text.replacen("<head>", "<head>\n    <base href=\"/docs/\">", 1).into_bytes();
    }
    let kind = HeaderValue::try_from(found.content_type);
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let mut response = (StatusCode::OK, [(header::CONTENT_TYPE, kind)], bytes).into_response();
    if found.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}
