//! The admin port: metrics, health and status, on a listener and a runtime of their own.
//!
//! It answers even when the data path is stuck, and nothing on the public ports leads here. It changes
//! one thing only, the module of a filter, and that only for callers on this machine (`upload`).

mod upload;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;

/// Connections at once: a scraper, a few people, some left over.
const CONNECTIONS: usize = 64;
/// A head must be there within this.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// An answer that takes a moment.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a role says of itself; edge and connector each have their own.
pub trait Report: Send + Sync + 'static {
    /// Whether requests are served; the reason if not.
    fn ready(&self) -> Answer<'_, Result<(), String>>;
    /// Everything an operator may want to know, as JSON.
    fn status(&self) -> Answer<'_, serde_json::Value>;
    /// Puts another module in the place of a filter's.
    fn replace_filter(&self, name: String, wasm: Bytes) -> Answer<'_, Result<Replaced, Refusal>> {
        drop(wasm);
        Box::pin(async move { Err(Refusal::Unknown(format!("no filter {name}: a connector runs none"))) })
    }
}

/// A filter was replaced; the steps, as JSON.
#[derive(Debug)]
pub struct Replaced(pub serde_json::Value);

/// A filter was not replaced.
#[derive(Debug)]
pub enum Refusal {
    /// There is none of that name.
    Unknown(String),
    /// The module cannot be used; what serves on.
    Unusable {
        /// Why, for the operator.
        reason: String,
        /// The filter's generation, still in force.
        generation: u64,
    },
    /// The proxy's own failure.
    Failed(String),
}

/// Serves the admin port until the runtime ends.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, report: Arc<dyn Report>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let here = listener.local_addr().ok();
    let uploads = Arc::new(Semaphore::new(1));
    loop {
        let Ok((tcp, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (metrics, report, uploads) = (metrics.clone(), report.clone(), uploads.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (metrics, report, uploads) = (metrics.clone(), report.clone(), uploads.clone());
                async move {
                    Ok::<_, Infallible>(match upload::filter_named(&request).map(str::to_owned) {
                        Some(name) => upload::answer(request, name, here, &uploads, &*report).await,
                        None => answer(&request, &metrics, &*report).await,
                    })
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(tcp), service);
            let _ = connection.await;
            drop(place);
        });
    }
}

async fn answer(request: &Request<Incoming>, metrics: &Metrics, report: &dyn Report) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET and HEAD\n".into());
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics.render().await),
        "/healthz" => page(StatusCode::OK, "text/plain", "ok\n".into()),
        "/readyz" => match report.ready().await {
            Ok(()) => page(StatusCode::OK, "text/plain", "ready\n".into()),
            Err(reason) => page(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("not ready: {reason}\n")),
        },
        "/status" => {
            let status = report.status().await;
            page(StatusCode::OK, "application/json", format!("{status:#}\n"))
        }
        "/" => page(StatusCode::OK, "text/plain", "/metrics\n/healthz\n/readyz\n/status\n".into()),
        _ => page(StatusCode::NOT_FOUND, "text/plain", "not here; try /\n".into()),
    }
}

fn page(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
