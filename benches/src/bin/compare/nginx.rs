//! nginx, serving a small static file: the most that requests over HTTP can be on this machine, by the same client.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use vilicus_benches::Failure;
use vilicus_benches::connection::{Server, shown};
use vilicus_benches::drive::{Answered, Lane, drive};
use vilicus_benches::nginx;
use vilicus_benches::spawn::free_port;

use crate::table::{Figures, Work};
use crate::{CONNECTIONS, Setting};

pub(crate) fn measure(setting: &Setting, figures: &mut Figures) -> Result<(), Failure> {
    let port = free_port()?;
    let _nginx = nginx::start(port)?;
    let server = Server::new(&format!("http://127.0.0.1:{port}"), None)?;
    let lanes = (0..CONNECTIONS).map(|_| Reader(server.clone())).collect();
    let measured = drive(&server, lanes, setting.plan, || Ok(()))?;
    measured.untroubled()?;
    figures.put("nginx", Work::Singles, measured.per_second());
    Ok(())
}

struct Reader(Server);

impl Lane for Reader {
    fn next(&mut self) -> Result<Request<Full<Bytes>>, Failure> {
        self.0.request(Method::GET, nginx::FILE, None, Bytes::new())
    }

    fn answered(&mut self, answer: &Response<Bytes>) -> Result<Answered, Failure> {
        Ok(match answer.status() {
            StatusCode::OK => Answered::Taken(1),
            status => Answered::Refused(shown(status, answer.body())),
        })
    }
}
