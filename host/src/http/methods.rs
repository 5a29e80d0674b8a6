//! What is asked of the wire but not served on it: `HEAD`, and an `OPTIONS` that is no
//! browser's preflight. Both are turned into a method that no route knows before routes
//! are matched, so that an unknown path is a 404, a guarded one a 401, and a known one a
//! 405 that lists what it does serve.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;

/// Before routes are matched.
pub fn unserved(mut request: Request<Body>) -> Request<Body> {
    let preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let odd = match *request.method() {
        Method::HEAD => Method::from_bytes(b"X-HEAD"),
        Method::OPTIONS if !preflight => Method::from_bytes(b"X-OPTIONS"),
        _ => return request,
    };
    if let Ok(odd) = odd {
        *request.method_mut() = odd;
    }
    request
}

/// After the answer: `Allow` does not speak of `HEAD`, nor where nothing was refused.
pub fn allowed(mut response: Response<Body>) -> Response<Body> {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(header::ALLOW);
        return response;
    }
    let listed = response.headers().get(header::ALLOW).and_then(|value| value.to_str().ok());
    let served = listed.map(|list| {
        let methods: Vec<&str> = list.split(',').map(str::trim).filter(|method| *method != "HEAD").collect();
        methods.join(", ")
    });
    if let Some(served) = served.and_then(|served| HeaderValue::try_from(served).ok()) {
        response.headers_mut().insert(header::ALLOW, served);
    }
    response
}
