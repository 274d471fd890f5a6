//! A real mail server: Postfix from Debian, in a directory of its own, on free ports, delivering to maildirs.
//!
//! Needs root and the packages `postfix`, `sasl2-bin` and `libsasl2-modules`; a test that starts it fails without them.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::certificate::{Certificate, certificate_for};

/// The user that may log in, and the password.
pub const USER: &str = "alice";
pub const PASSWORD: &str = "wonderland-7f3a9c";

/// Who gets mail here; anyone else is refused with 550 5.1.1.
pub const MAILBOXES: [&str; 2] = ["ops@example.com", "boss@example.com"];

/// The server; stops when it is dropped.
pub struct Postfix {
    home: TempDir,
    pub certificate: Certificate,
    /// Takes mail in the clear, without a login.
    pub plain_port: u16,
    /// Wants STARTTLS and offers a login after it; `localhost` is the name in its certificate.
    pub starttls_port: u16,
    /// TLS from the first byte, and a login.
    pub tls_port: u16,
}

impl Postfix {
    pub async fn start() -> Self {
        let home = tempfile::Builder::new().prefix("vilicus-postfix-").tempdir().unwrap();
        let postfix = Self {
            home,
            certificate: certificate_for(&["localhost"]),
            plain_port: free_port(),
            starttls_port: free_port(),
            tls_port: free_port(),
        };
        postfix.write_home();
        postfix.add_user();
        postfix.run("start");
        postfix.wait_until_ready().await;
        postfix
    }

    /// The file with the server's certificate.
    pub fn ca_file(&self) -> String {
        self.path("cert.pem").to_str().unwrap().to_owned()
    }

    /// Waits until so many mails lie in the mailbox of this user, as `ops`; panics after ten seconds.
    pub async fn wait_for_mails(&self, user: &str, count: usize) -> Vec<String> {
        for _ in 0..500 {
            let mails = self.mails(user);
            if mails.len() >= count {
                return mails;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{count} mails for {user} did not come:\n{}", self.log());
    }

    /// The mails in the mailbox of this user now.
    pub fn mails(&self, user: &str) -> Vec<String> {
        let folder = self.path("mail").join(user).join("new");
        let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    /// What the server wrote about its work.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write_home(&self) {
        fs::set_permissions(self.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["etc", "etc/sasl", "queue", "data", "mail"] {
            fs::create_dir(self.path(folder)).unwrap();
        }
        let postfix = id_of("postfix");
        chown(self.path("data"), Some(postfix), None).unwrap();
        chown(self.path("mail"), Some(NOBODY), None).unwrap();
        fs::write(self.path("cert.pem"), &self.certificate.pem).unwrap();
        fs::write(self.path("key.pem"), &self.certificate.key_pem).unwrap();
        fs::set_permissions(self.path("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(self.path("etc/main.cf"), main_cf(self.home.path())).unwrap();
        fs::write(self.path("etc/master.cf"), self.master_cf()).unwrap();
        let sasl = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: ";
        fs::write(self.path("etc/sasl/smtpd.conf"), format!("{sasl}{}\n", self.path("users").display()))
            .unwrap();
    }

    fn add_user(&self) {
        let mut add = Command::new("saslpasswd2")
            .args(["-p", "-c", "-u", "mail.example.com", "-f"])
            .arg(self.path("users"))
            .arg(USER)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the package sasl2-bin is missing");
        add.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
        assert!(add.wait().unwrap().success());
        chown(self.path("users"), Some(id_of("postfix")), None).unwrap();
    }

    fn master_cf(&self) -> String {
        let Self { plain_port, starttls_port, tls_port, .. } = self;
        format!(
            "postlog unix-dgram n - n - 1 postlogd\n\
             127.0.0.1:{plain_port} inet n - n - - smtpd\n\
             127.0.0.1:{starttls_port} inet n - n - - smtpd\n -o smtpd_tls_security_level=encrypt\n -o smtpd_sasl_auth_enable=yes\n\
             127.0.0.1:{tls_port} inet n - n - - smtpd\n -o smtpd_tls_wrappermode=yes\n -o smtpd_sasl_auth_enable=yes\n\
             cleanup unix n - n - 0 cleanup\n\
             qmgr unix n - n 300 1 qmgr\n\
             rewrite unix - - n - - trivial-rewrite\n\
             bounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\n\
             trace unix - - n - 0 bounce\n\
             error unix - - n - - error\n\
             virtual unix - n n - - virtual\n\
             anvil unix - - n - 1 anvil\n\
             proxymap unix - - n - - proxymap\n\
             tlsmgr unix - - n 1000? 1 tlsmgr\n"
        )
    }

    fn run(&self, verb: &str) {
        let output = Command::new("postfix")
            .arg("-c")
            .arg(self.path("etc"))
            .arg(verb)
            .output()
            .expect("the package postfix is missing");
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), self.log());
    }

    async fn wait_until_ready(&self) {
        for _ in 0..500 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.plain_port)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("postfix does not listen:\n{}", self.log());
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // A failed start has nothing to stop.
        let _ = Command::new("postfix").arg("-c").arg(self.path("etc")).arg("stop").output();
    }
}

/// The user that owns the mailboxes.
const NOBODY: u32 = 65_534;

fn main_cf(home: &Path) -> String {
    let home = home.display();
    let mailboxes =
        MAILBOXES.map(|address| format!("{{ {address} = {}/ }}", address.split('@').next().unwrap()));
    format!(
        "compatibility_level = 3.6\n\
         queue_directory = {home}/queue\n\
         data_directory = {home}/data\n\
         command_directory = /usr/sbin\n\
         daemon_directory = /usr/lib/postfix/sbin\n\
         mail_owner = postfix\n\
         setgid_group = postdrop\n\
         myhostname = mail.example.com\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         mydestination =\n\
         mynetworks =\n\
         virtual_mailbox_domains = example.com\n\
         virtual_mailbox_base = {home}/mail\n\
         virtual_mailbox_maps = inline:{{ {} }}\n\
         virtual_uid_maps = static:{NOBODY}\n\
         virtual_gid_maps = static:{NOBODY}\n\
         alias_maps =\n\
         alias_database =\n\
         maillog_file = {home}/log\n\
         maillog_file_prefixes = {home}\n\
         smtpd_tls_cert_file = {home}/cert.pem\n\
         smtpd_tls_key_file = {home}/key.pem\n\
         smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination\n\
         smtpd_peername_lookup = no\n",
        mailboxes.join(", ")
    )
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn id_of(user: &str) -> u32 {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with(&format!("{user}:")));
    let line = line.unwrap_or_else(|| panic!("no user {user}: the package is missing"));
    line.split(':').nth(2).unwrap().parse().unwrap()
}
