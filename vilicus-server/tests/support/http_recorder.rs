//! A web server that records every request as it came and answers as it is told.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Recorded {
    /// The value of a header; panics when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
    }

    /// The fields of a form, in order.
    pub fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Answers so.
    Respond { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// Closes the connection without a word.
    Cut,
    /// Never answers.
    Silence,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self::Respond { status, headers: Vec::new(), body: String::new() }
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::Respond { status, headers: Vec::new(), body: body.to_string() }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Respond { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

type Handler = dyn Fn(&Recorded) -> Answer + Send + Sync;

/// The server; ends when it is dropped.
pub struct HttpRecorder {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Recorded>>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl HttpRecorder {
    /// A server that answers each request as `handler` says.
    pub async fn start(handler: impl Fn(&Recorded) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (counter, count) = watch::channel(0);
        let recorder =
            Arc::new(Recorder { handler: Box::new(handler), requests: Arc::clone(&requests), counter });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&recorder)));
            }
        });
        Self { address, requests, count, task }
    }

    /// A server that gives every request the same answer.
    pub async fn answering(answer: Answer) -> Self {
        Self::start(move |_| answer.clone()).await
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until there were so many requests; panics after ten seconds.
    pub async fn wait_for(&self, requests: usize) -> Vec<Recorded> {
        let mut count = self.count.clone();
        let enough =
            tokio::time::timeout(Duration::from_secs(10), count.wait_for(|count| *count >= requests));
        enough.await.expect("the requests did not come").expect("the server has ended");
        self.requests()
    }
}

impl Drop for HttpRecorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Recorder {
    handler: Box<Handler>,
    requests: Arc<Mutex<Vec<Recorded>>>,
    counter: watch::Sender<usize>,
}

async fn serve(stream: TcpStream, recorder: Arc<Recorder>) {
    let service = service_fn(move |request| answer(Arc::clone(&recorder), request));
    // A connection that is cut on purpose ends in an error.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    recorder: Arc<Recorder>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let recorded = Recorded {
        method: head.method,
        path: head.uri.to_string(),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    };
    let answer = (recorder.handler)(&recorded);
    recorder.requests.lock().unwrap().push(recorded);
    recorder.counter.send_modify(|count| *count += 1);
    match answer {
        Answer::Respond { status, headers, body } => {
            let mut response = Response::builder().status(StatusCode::from_u16(status)?);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::from(body))?)
        }
        Answer::Cut => Err("cut".into()),
        Answer::Silence => match pending::<Infallible>().await {},
    }
}
