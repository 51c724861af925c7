//! The dashboard: one page, its script and its sheet, out of this binary. Nothing on it comes from elsewhere.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// What a browser may do with anything that comes from here: nothing but this page's own script, sheet, icon and questions. No
/// inline script or style, so a name that somebody has chosen is never run.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                                 connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`.
pub(super) async fn index() -> Response {
    text("text/html; charset=utf-8", include_str!("page/index.html"))
}

/// `GET /app.js`.
pub(super) async fn script() -> Response {
    text("text/javascript; charset=utf-8", include_str!("page/app.js"))
}

/// `GET /app.css`.
pub(super) async fn sheet() -> Response {
    text("text/css; charset=utf-8", include_str!("page/app.css"))
}

/// `GET /icon.svg`.
pub(super) async fn icon() -> Response {
    text("image/svg+xml", include_str!("page/icon.svg"))
}

/// `GET /v1/openapi.json`.
pub(super) async fn interface() -> Response {
    text("application/json", include_str!("openapi.json"))
}

fn text(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
}
