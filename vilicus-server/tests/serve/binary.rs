//! `serve` from its first start to its last: the link, the page, the stop, and the state that stays.

use rustix::process::Signal;
use tokio::time::Instant;

use crate::browser::Browser;
use crate::process::{PATIENCE, Place, complaint, mode};

const ADMIN: &str = "an-admin-token-of-the-serve-tests-1";
const STORE: [&str; 2] = ["--store", "sled:data"];

/// Looks at the page until it says this.
async fn page_with(browser: &mut Browser, text: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let page = browser.get("/").await;
        if page.text.contains(text) {
            return page.text;
        }
        assert!(Instant::now() < end, "the page never says '{text}':\n{}", page.text);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn the_first_start_leads_to_a_page_that_shows_this_host_and_a_restart_keeps_it() {
    let place = Place::new();
    let server = place.serve(&[STORE[0], STORE[1], "--local-agent"], &[]).await;
    let link = server.login_link().expect("the log holds a link");
    let mut browser = Browser::new(&server.url());
    assert_eq!(browser.get("/").await.status, 401);
    let entered = browser.get(&link).await;
    assert_eq!((entered.status, entered.location.as_deref()), (303, Some("/welcome")));
    assert_eq!(Browser::new(&server.url()).get(&link).await.status, 401, "it works once");

    let page = page_with(&mut browser, "8 OK").await;
    for name in ["local-cpu", "local-memory", "local-disks", "local-load", "local-swap", "local-uptime"] {
        assert!(page.contains(name), "{name} is missing:\n{page}");
    }
    assert!(page.contains("messages are sent"), "the server's own health is missing:\n{page}");
    assert_eq!(server.stop().await.code(), Some(0));

    let server = place.serve(&[STORE[0], STORE[1], "--local-agent"], &[]).await;
    assert!(server.login_link().is_none(), "someone is in");
    let page = {
        let cookie = entered.cookie.unwrap();
        let mut again = Browser::new(&server.url());
        again.take_cookie(&cookie);
        page_with(&mut again, "8 OK").await
    };
    assert_eq!(page.matches("<h2 id=\"agent-").count(), 1, "it is the same agent");
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test]
async fn the_tokens_of_the_environment_work_and_are_replaced() {
    let place = Place::new();
    let server = place.serve(&STORE, &[("VILICUS_ADMIN_TOKEN", ADMIN)]).await;
    assert!(server.login_link().is_none(), "there is an admin");
    let mut browser = Browser::new(&server.url());
    assert_eq!(browser.submit("/login", &[("token", ADMIN)]).await.status, 303);
    assert_eq!(browser.get("/").await.status, 200);
    assert!(!server.log().contains(ADMIN), "secrets are not logged");
    server.stop().await;

    let file = place.write("token", &format!("{}\n", ADMIN.replace('1', "2")));
    let server = place.serve(&STORE, &[("VILICUS_ADMIN_TOKEN_FILE", file.to_str().unwrap())]).await;
    let mut browser = Browser::new(&server.url());
    assert_eq!(browser.submit("/login", &[("token", ADMIN)]).await.status, 401, "the old one is gone");
    assert_eq!(browser.submit("/login", &[("token", &ADMIN.replace('1', "2"))]).await.status, 303);
}

#[tokio::test]
async fn a_store_is_one_servers_own_and_survives_a_kill() {
    let place = Place::new();
    let server = place.serve(&STORE, &[("VILICUS_ADMIN_TOKEN", ADMIN)]).await;
    assert_eq!(mode(&place.path("data")), 0o700);
    let second = place.run(&["serve", "--listen", "127.0.0.1:0", STORE[0], STORE[1]]);
    assert_eq!(second.status.code(), Some(74), "{}", complaint(&second));
    server.signal(Signal::KILL);
    drop(server);
    let server = place.serve(&STORE, &[]).await;
    let mut browser = Browser::new(&server.url());
    assert_eq!(browser.submit("/login", &[("token", ADMIN)]).await.status, 303, "the token is still there");
}

#[tokio::test]
async fn https_is_served_and_the_command_line_still_gets_in() {
    let place = Place::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = place.write("cert.pem", &made.cert.pem());
    let key = place.write("key.pem", &made.signing_key.serialize_pem());
    let tls = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let server = place.serve(&[&STORE[..], &tls[..]].concat(), &[]).await;
    let url = server.url().replace("127.0.0.1", "localhost");
    assert!(url.starts_with("https://"), "{url}");
    let mut browser = Browser::trusting(&url, vec![made.cert.der().clone()]);
    let link = server.login_link().unwrap();
    let entered = browser.get(&link[link.find("/login").unwrap()..]).await;
    assert!(entered.cookie.unwrap().contains("; Secure"));
    let token = place.run(&["token", "create", "--role", "viewer", STORE[0], STORE[1]]);
    assert!(token.status.success(), "{}", complaint(&token));
    let link = place.run(&["login-link", STORE[0], STORE[1]]);
    assert!(crate::process::printed(&link).starts_with("https://"), "people use the certificate: {link:?}");
    server.signal(Signal::HUP);
    assert_eq!(browser.get("/").await.status, 200, "a reload ends nothing");
    assert_eq!(server.stop().await.code(), Some(0));
}
