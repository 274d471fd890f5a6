//! nginx, serving a small static file: the most that requests over HTTP can be on this machine, by the same client.

use std::fs;
use std::process::Command;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use vilicus_benches::Failure;
use vilicus_benches::connection::{Server, shown};
use vilicus_benches::drive::{Answered, Lane, drive};
use vilicus_benches::spawn::{Program, free_port};

use crate::table::{Figures, Work};
use crate::{CONNECTIONS, Setting};

pub(crate) fn measure(setting: &Setting, figures: &mut Figures) -> Result<(), Failure> {
    let port = free_port()?;
    let _nginx = start(port)?;
    let server = Server::new(&format!("http://127.0.0.1:{port}"), None)?;
    let lanes = (0..CONNECTIONS).map(|_| Reader(server.clone())).collect();
    let measured = drive(&server, lanes, setting.plan, || Ok(()))?;
    measured.untroubled()?;
    figures.put("nginx", Work::Singles, measured.per_second());
    Ok(())
}

fn start(port: u16) -> Result<Program, Failure> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().display();
    // One process: ending it leaves no worker behind. It runs as whoever runs this.
    let config = format!(
        "daemon off; master_process off; pid {root}/pid; error_log stderr;
         events {{ worker_connections 1024; }}
         http {{
             access_log off; keepalive_requests 1000000000; client_body_temp_path {root}/body;
             proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
             uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
             server {{ listen 127.0.0.1:{port}; root {root}; location = /log {{ return 404; }} }}
         }}"
    );
    fs::write(folder.path().join("nginx.conf"), config)?;
    fs::write(folder.path().join("ok"), "a static file of some 40 bytes, as answers\n")?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(folder.path().join("nginx.conf")).arg("-p").arg(folder.path());
    let mut nginx = Program::start(command, folder)?;
    nginx.wait_for_port(port)?;
    Ok(nginx)
}

struct Reader(Server);

impl Lane for Reader {
    fn next(&mut self) -> Result<Request<Full<Bytes>>, Failure> {
        self.0.request(Method::GET, "/ok", None, Bytes::new())
    }

    fn answered(&mut self, answer: &Response<Bytes>) -> Result<Answered, Failure> {
        Ok(match answer.status() {
            StatusCode::OK => Answered::Taken(1),
            status => Answered::Refused(shown(status, answer.body())),
        })
    }
}
