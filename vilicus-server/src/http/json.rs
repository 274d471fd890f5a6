//! What was sent: the one place where bodies are read, unpacked, parsed and turned into typed input.
//!
//! Refused here: what takes too long (408) or is too large (413, counted after unpacking), other forms (415),
//! broken JSON, broken UTF-8 and lone surrogates (400); keys that stand twice, unknown names, and values of the
//! wrong type (422, each with its place).

use std::task::Poll;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use tokio::io::AsyncReadExt as _;
use utoipa::PartialSchema;
use utoipa::openapi::{RefOr, Schema};
use vilicus_core::params::{escape_pointer, nearest};

use super::limits::Limits;
use super::problem::{Mistake, Problem};
use super::strict::Strict;
use crate::api::AppState;

/// A body that says it is JSON, unpacked; parsed by what [`read`](JsonBody::read) is asked for.
#[derive(Debug)]
pub struct JsonBody(Bytes);

impl FromRequest<AppState> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        Self::collect(&parts.headers, body, state.limits()).await
    }
}

impl JsonBody {
    /// Reads the body of a request with these headers.
    ///
    /// # Errors
    /// It takes too long, is too large, can't be unpacked, or says that it is no JSON.
    pub(crate) async fn collect(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Self, Problem> {
        let body = unpack(collect(body, limits).await?, headers, limits.body_bytes).await?;
        expect_json(headers, &body)?;
        Ok(Self(body))
    }
}

/// A body that may say anything, in any form, unpacked.
#[derive(Debug)]
pub struct RawBody(pub Bytes);

impl FromRequest<AppState> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let limits = state.limits();
        let (parts, body) = request.into_parts();
        unpack(collect(body, limits).await?, &parts.headers, limits.body_bytes).await.map(Self)
    }
}

/// Of a body that is too large so much more is read and thrown away: many clients see no answer while they still send.
const DISCARDED_BYTES: usize = 32 * 1024 * 1024;

/// Reads a body whole, within its time and size.
async fn collect(body: Body, limits: &Limits) -> Result<Bytes, Problem> {
    let mut collecting = std::pin::pin!(collect_up_to(body, limits.body_bytes));
    // A small body came with its header: no timer is needed.
    if let Poll::Ready(collected) = futures_util::poll!(collecting.as_mut()) {
        return collected;
    }
    match tokio::time::timeout(limits.body_read, collecting).await {
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive")),
        Ok(collected) => collected,
    }
}

async fn collect_up_to(mut body: Body, limit: usize) -> Result<Bytes, Problem> {
    let most = limit.saturating_add(DISCARDED_BYTES);
    if body.size_hint().lower() > most as u64 {
        return Err(Problem::too_large(limit));
    }
    let (mut collected, mut size) = (Collected::default(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::bad_request("the body broke off"))?;
        let Ok(part) = frame.into_data() else { continue };
        size = size.saturating_add(part.len());
        if size > most {
            break;
        }
        if size <= limit {
            collected.add(part);
        } else {
            collected = Collected::default();
        }
    }
    if size > limit { Err(Problem::too_large(limit)) } else { Ok(collected.into_bytes()) }
}

/// What came of a body: often one part, which needs no copy.
#[derive(Debug, Default)]
struct Collected {
    first: Bytes,
    /// All of it, when more came.
    all: Vec<u8>,
}

impl Collected {
    fn add(&mut self, part: Bytes) {
        if self.first.is_empty() && self.all.is_empty() {
            self.first = part;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&part);
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.into() }
    }
}

/// The most memory that a zstd frame may ask for, as a power of two: 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;

async fn unpack(body: Bytes, headers: &HeaderMap, limit: usize) -> Result<Bytes, Problem> {
    use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
    use async_compression::zstd::DParameter;

    let encodings: Vec<_> = headers.get_all(CONTENT_ENCODING).iter().map(|line| line.as_bytes()).collect();
    match encodings.as_slice() {
        [] | [b"" | b"identity"] => Ok(body),
        [encoding] if encoding.eq_ignore_ascii_case(b"gzip") => {
            let mut decoder = GzipDecoder::new(&*body);
            decoder.multiple_members(true);
            read_limited(decoder, limit).await
        }
        [encoding] if encoding.eq_ignore_ascii_case(b"zstd") => {
            let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
            read_limited(ZstdDecoder::with_params(&*body, &window), limit).await
        }
        _ => Err(Problem::unsupported("this Content-Encoding is not taken; send gzip, zstd, or none")),
    }
}

async fn read_limited(reader: impl tokio::io::AsyncRead + Unpin, limit: usize) -> Result<Bytes, Problem> {
    let mut unpacked = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = reader.take(most).read_to_end(&mut unpacked).await;
    read.map_err(|_| Problem::bad_request("the body cannot be unpacked; its Content-Encoding may be wrong"))?;
    if unpacked.len() > limit {
        return Err(Problem::too_large(limit));
    }
    Ok(unpacked.into())
}

fn expect_json(headers: &HeaderMap, body: &Bytes) -> Result<(), Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return match body.is_empty() {
            true => Ok(()),
            false => Err(Problem::unsupported("Content-Type is missing; send application/json")),
        };
    };
    let value = value.to_str().unwrap_or("");
    let mut parts = value.split(';').map(str::trim);
    let json = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    let charset = parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    match json && charset {
        true => Ok(()),
        false => Err(Problem::unsupported("this Content-Type is not taken; send application/json in UTF-8")),
    }
}

/// A type that can be sent, and how strictly it is read.
pub trait Sent: DeserializeOwned + PartialSchema {
    /// Names that we give out and nobody can set: echoed back, they are ignored.
    const READ_ONLY: &'static [&'static str];

    /// The names that can be set: those of the schema.
    #[must_use]
    fn names() -> Vec<String> {
        match Self::schema() {
            RefOr::T(Schema::Object(object)) => object.properties.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }
}

impl JsonBody {
    /// The bytes, unpacked.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The JSON of the body.
    ///
    /// # Errors
    /// 400 for what is not JSON, 422 for keys that stand twice.
    pub fn value(&self) -> Result<Value, Problem> {
        parse(&self.0)
    }

    /// The fields of the body's object.
    ///
    /// # Errors
    /// As [`value`](Self::value), and 422 for anything but an object.
    pub fn fields(&self) -> Result<Map<String, Value>, Problem> {
        if self.0.is_empty() {
            return Err(Problem::bad_request("the body is empty; expected a JSON object"));
        }
        fields_of(self.value()?)
    }

    /// The typed input in the body.
    ///
    /// # Errors
    /// As [`fields`](Self::fields), and 422 for unknown names and wrong values, each with its place.
    pub fn read<T: Sent>(&self) -> Result<T, Problem> {
        from_fields(known_fields::<T>(self.fields()?)?)
    }

    /// The typed input in the body, on top of `base`: what the body does not say stays as it is there.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_onto<T: Sent>(&self, mut base: Map<String, Value>) -> Result<T, Problem> {
        base.extend(known_fields::<T>(self.fields()?)?);
        from_fields(base)
    }
}

/// An object's fields.
///
/// # Errors
/// 422 for anything else.
pub fn fields_of(value: Value) -> Result<Map<String, Value>, Problem> {
    match value {
        Value::Object(fields) => Ok(fields),
        other => Err(Problem::invalid("", format!("expected an object, not {}", describe(&other)))),
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Parses JSON strictly.
///
/// # Errors
/// 400 for what is not JSON, 422 for keys that stand twice.
pub fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(Problem::bad_request("the body is not UTF-8"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let Strict(value) = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let (place, error) = (pointer(error.path()), error.into_inner());
        broken(place, &error)
    })?;
    deserializer.end().map_err(|error| broken(String::new(), &error))?;
    Ok(value)
}

/// Broken JSON is 400, well-formed JSON that says the wrong thing 422.
pub fn broken(place: String, error: &serde_json::Error) -> Problem {
    match error.classify() {
        serde_json::error::Category::Data => Problem::invalid(place, without_position(error)),
        _ => Problem::bad_request(format!("the body is not JSON: {error}")),
    }
}

/// serde_json's words without 'at line 1 column 7': the pointer says it better.
pub fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// Leaves out what cannot be set, and refuses what is unknown.
///
/// # Errors
/// 422, with the place of every unknown name and the nearest known one.
pub fn known_fields<T: Sent>(mut fields: Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    fields.retain(|name, _| !T::READ_ONLY.contains(&name.as_str()));
    let names = T::names();
    let unknown = fields.keys().filter(|name| !names.contains(name));
    let mistakes: Vec<Mistake> = unknown.map(|name| unknown_field(name, &names)).collect();
    if mistakes.is_empty() { Ok(fields) } else { Err(Problem::mistakes(mistakes)) }
}

fn unknown_field(name: &str, names: &[String]) -> Mistake {
    let shown: String = name.chars().take(60).collect();
    let known = || names.iter().map(String::as_str);
    let detail = match nearest(&shown, known()) {
        Some(near) => format!("unknown field {shown:?}; did you mean '{near}'?"),
        None => format!("unknown field {shown:?}; known are {}", known().collect::<Vec<_>>().join(", ")),
    };
    Mistake::new(format!("/{}", escape_pointer(&shown)), detail)
}

/// Typed input from an object's fields.
///
/// # Errors
/// 422, with the place of the first wrong value.
pub fn from_fields<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let place = pointer(error.path());
        let text = error.inner().to_string();
        let missing = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        match missing {
            Some(name) => Problem::invalid(format!("{place}/{}", escape_pointer(name)), "is missing"),
            None => Problem::invalid(place, text),
        }
    })
}

/// A path of serde as a JSON pointer.
#[must_use]
pub fn pointer(path: &serde_path_to_error::Path) -> String {
    path.iter().fold(String::new(), |mut text, segment| {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("/{index}")),
            Segment::Map { key } => text.push_str(&format!("/{}", escape_pointer(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
        text
    })
}

/// A value that must not be `null` where it is given, and may be left out.
///
/// # Errors
/// The value has the wrong type.
pub fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A JSON answer.
#[derive(Debug)]
pub struct Answer<T>(pub T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        // Into a vector: for a long list, axum's own way through `BytesMut` takes half as long again.
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, JSON)], body).into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written as JSON");
                Problem::internal().into_response()
            }
        }
    }
}

/// What JSON is called.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// 201: the object, and where it is.
#[must_use]
pub fn created(location: &str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(value) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use utoipa::ToSchema;

    #[derive(Debug, Deserialize, ToSchema)]
    struct Thing {
        name: String,
        #[serde(default)]
        sizes: Vec<u8>,
    }

    impl Sent for Thing {
        const READ_ONLY: &'static [&'static str] = &["id"];
    }

    fn read(text: &[u8]) -> Result<Thing, Problem> {
        JsonBody(Bytes::copy_from_slice(text)).read()
    }

    #[test]
    fn mistakes_have_their_status_and_their_place() {
        let table: [(&[u8], u16, &str); 15] = [
            (b"{", 400, "not JSON"),
            (b"", 400, "the body is empty"),
            (b"{}", 422, "/name: is missing"),
            (b"nonsense", 400, "not JSON"),
            (b"{} {}", 400, "not JSON"),
            (b"{\"name\": \"\xff\"}", 400, "not UTF-8"),
            (br#"{"name": "\ud800"}"#, 400, "not JSON"),
            (br#"{"name": "a", "name": "b"}"#, 422, "stands twice"),
            (br#"{"name": null}"#, 422, "/name: invalid type: null"),
            (br#"{"name": 7}"#, 422, "/name: invalid type"),
            (br#"{"name": "a", "sizes": [1, 256]}"#, 422, "/sizes/1: invalid value"),
            (br#"{"naem": "a"}"#, 422, "did you mean 'name'?"),
            (b"[]", 422, "expected an object"),
            (b"null", 422, "expected an object, not null"),
            (br#"{"name": 1e999}"#, 400, "not JSON"),
        ];
        for (text, status, words) in table {
            let problem = read(text).unwrap_err();
            assert_eq!(problem.status(), status, "{}", String::from_utf8_lossy(text));
            assert!(problem.detail().contains(words), "{}", problem.detail());
        }
        let thing = read(br#"{"id": 7, "name": "a", "sizes": [1]}"#).unwrap();
        assert_eq!((thing.name.as_str(), thing.sizes.as_slice()), ("a", &[1][..]));
    }

    #[test]
    fn deep_nesting_is_refused_and_does_no_harm() {
        for depth in [200, 100_000] {
            assert_eq!(parse("[".repeat(depth).as_bytes()).unwrap_err().status(), 400);
            assert_eq!(parse("{\"a\":".repeat(depth).as_bytes()).unwrap_err().status(), 400);
        }
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused_whether_it_says_so_or_not() {
        let table = [(100, 100, 200), (101, 100, 413), (DISCARDED_BYTES + 200, 100, 413)];
        for (size, limit, status) in table {
            let body = || Bytes::from(vec![b' '; size]);
            let parts = futures_util::stream::iter([Ok::<_, std::io::Error>(body())]);
            for body in [Body::from(body()), Body::from_stream(parts)] {
                let seen = collect_up_to(body, limit)
                    .await
                    .map_or_else(|problem| problem.status().as_u16(), |_| 200);
                assert_eq!(seen, status, "{size} bytes");
            }
        }
    }

    #[tokio::test]
    async fn what_is_unpacked_is_counted() {
        let mut packed = Vec::new();
        let mut encoder = async_compression::tokio::bufread::GzipEncoder::new(&[b' '; 100_000][..]);
        encoder.read_to_end(&mut packed).await.unwrap();
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, "gzip".parse().unwrap())]);
        let body = Bytes::from(packed);
        assert_eq!(unpack(body.clone(), &headers, 100_000).await.unwrap().len(), 100_000);
        assert_eq!(unpack(body.clone(), &headers, 99_999).await.unwrap_err().status(), 413);
        assert_eq!(unpack(body.slice(..20), &headers, 100).await.unwrap_err().status(), 400);
    }
}
