//! nginx, serving a small static file on loopback.

use std::fs;
use std::process::Command;

use crate::Failure;
use crate::spawn::Program;

/// The path of the file.
pub const FILE: &str = "/ok";

/// Starts one at this port, as one process: ending it leaves no worker behind. It runs as whoever runs this.
///
/// # Errors
/// It is not installed, or does not begin.
pub fn start(port: u16) -> Result<Program, Failure> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().display();
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
