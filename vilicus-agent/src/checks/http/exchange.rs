//! One request and its answer, with the time of each part of the way.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use url::Url;
use vilicus_core::Timestamp;

use super::redirect::without_query;
use super::request::Request;
use crate::checks::connection::{Connected, Deadline, Fault, connect, seconds_since};
use crate::checks::reach::Reach;
use crate::checks::tls::{Trust, certificate_days, handshake};

/// How much of a body is read, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// The answer to one request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The body, or the first MiB of it.
    pub(super) body: Bytes,
    pub(super) times: Times,
    pub(super) certificate_days: Option<f64>,
}

/// How long each part took, in seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    pub(super) dns_seconds: f64,
    pub(super) connect_seconds: f64,
    pub(super) tls_seconds: Option<f64>,
    pub(super) first_byte_seconds: f64,
}

/// Sends a request over a new connection and reads the answer.
pub(super) async fn exchange(
    request: &Request,
    trust: &Trust,
    reach: &Reach,
    deadline: &Deadline,
    now: Timestamp,
) -> Result<Answer, Fault> {
    let Connected { stream, peer, dns_seconds, connect_seconds } =
        connect(request.host(), request.port(), reach, deadline).await?;
    let times = Times { dns_seconds, connect_seconds, ..Times::default() };
    if request.url.scheme() != "https" {
        return converse(request, stream, times, deadline).await;
    }
    let begin = Instant::now();
    let shaking = handshake(stream, request.host(), trust);
    let stream = deadline.within(format!("in the TLS handshake with {peer}"), shaking).await??;
    let times = Times { tls_seconds: Some(seconds_since(begin)), ..times };
    let certificate_days = certificate_days(&stream, now);
    Ok(Answer { certificate_days, ..converse(request, stream, times, deadline).await? })
}

async fn converse<S>(request: &Request, stream: S, times: Times, deadline: &Deadline) -> Result<Answer, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let place = without_query(&request.url);
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&place, &e))?;
    let message = to_message(request)?;
    let talk = async {
        let begin = Instant::now();
        let sending =
            deadline.within(format!("waiting for an answer of {place}"), sender.send_request(message));
        let response = sending.await?.map_err(|error| broken(&place, &error))?;
        let times = Times { first_byte_seconds: seconds_since(begin), ..times };
        let (head, body) = response.into_parts();
        let body = deadline.within(format!("reading the answer of {place}"), read(body)).await?;
        let body = body.map_err(|error| broken(&place, &error))?;
        let url = request.url.clone();
        Ok(Answer { url, status: head.status, headers: head.headers, body, times, certificate_days: None })
    };
    // The connection does the work, and may end before the last of the answer has been taken from it; what
    // goes wrong in it is seen by `talk` too.
    let (talk, connection) = (std::pin::pin!(talk), std::pin::pin!(connection));
    match futures_util::future::select(talk, connection).await {
        futures_util::future::Either::Left((answer, _)) => answer,
        futures_util::future::Either::Right((_, talk)) => talk.await,
    }
}

fn to_message(request: &Request) -> Result<http::Request<Full<Bytes>>, Fault> {
    let unusable = |error: http::Error| Fault::unknown(format!("the request cannot be sent: {error}"));
    let target = request.target().parse::<Uri>().map_err(|error| unusable(error.into()))?;
    let message = http::Request::builder().method(&request.method).uri(target);
    let mut message = message.body(Full::new(request.body.clone())).map_err(unusable)?;
    *message.headers_mut() = request.all_headers();
    Ok(message)
}

/// Reads a body up to the limit; what is beyond stays unread.
async fn read(mut body: Incoming) -> Result<Bytes, hyper::Error> {
    let mut bytes = BytesMut::new();
    while bytes.len() < BODY_LIMIT
        && let Some(frame) = body.frame().await
    {
        if let Some(part) = frame?.data_ref() {
            bytes.extend_from_slice(&part[..part.len().min(BODY_LIMIT - bytes.len())]);
        }
    }
    Ok(bytes.freeze())
}

fn broken(place: &str, error: &hyper::Error) -> Fault {
    Fault::critical(format!("no proper answer of {place}: {}", vilicus_core::result::error_chain(error)))
}
