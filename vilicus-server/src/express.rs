//! The routes, with a short way for results: of all requests they come by far the most often, so nothing is asked of
//! them but their path.
//!
//! What answers them, and what every answer of the API has, is the same on both ways.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt as _;
use http::Method;
use tower::Service;

use crate::api::{self, AppState};
use crate::http::problem::of_panic;

/// The routes, with a short way for results.
#[derive(Debug, Clone)]
pub(crate) struct Express {
    api: AppState,
    routes: Router,
}

impl Express {
    /// These routes, with the API that they lead to.
    pub(crate) fn new(api: AppState, routes: Router) -> Self {
        Self { api, routes }
    }
}

impl Service<Request> for Express {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.routes, cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.method() == Method::POST && request.uri().path() == api::REPORT {
            let api = self.api.clone();
            return Box::pin(async move { Ok(report(&api, request).await) });
        }
        Box::pin(self.routes.call(request))
    }
}

async fn report(api: &AppState, request: Request) -> Response {
    let answered = AssertUnwindSafe(api::report(api, request)).catch_unwind().await;
    let response = answered.unwrap_or_else(|panic| api::protect(of_panic(panic)));
    api.counters().answered(response.status());
    response
}
