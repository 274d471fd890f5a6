//! E-mail against a real Postfix, and against a scripted peer for the faults that Postfix does not show.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::certificate::certificate_for;
use support::notification::{problem, recovery};
use support::postfix::{PASSWORD, Postfix, USER};
use support::scripted_smtp::{Do, Script, ScriptedSmtp};
use tokio::net::TcpListener;
use vilicus_core::notifier::NotifyFault;
use vilicus_core::{Notification, Notifier, NotifyError, Receipt, Timestamp};
use vilicus_server::clock::ManualClock;
use vilicus_server::notifiers::stock_notifiers;
use vilicus_server::outbound::OutboundPolicy;

fn email_under(outbound: OutboundPolicy, smtp: &str, more: &Value) -> Arc<dyn Notifier> {
    let mut params = json!({"smtp": smtp, "from": "vilicus@example.com", "to": ["ops@example.com"]});
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    stock_notifiers(outbound, clock).build("email", &params).unwrap()
}

fn email(smtp: &str, more: &Value) -> Arc<dyn Notifier> {
    email_under(OutboundPolicy::default(), smtp, more)
}

fn to_peer(peer: &ScriptedSmtp, more: &Value) -> Arc<dyn Notifier> {
    email(&format!("smtp://{}", peer.address()), more)
}

async fn failure(notifier: &dyn Notifier, notification: &Notification) -> NotifyError {
    let error = notifier.notify(notification).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error:?}");
    error
}

/// The value of a header, with its folded lines joined.
fn header(mail: &str, name: &str) -> String {
    let start = format!("{name}: ");
    let mut lines = mail.lines().skip_while(|line| !line.starts_with(&start));
    let mut value = lines.next().unwrap_or_else(|| panic!("no {name} in {mail}"))[start.len()..].to_owned();
    for line in lines.take_while(|line| line.starts_with(' ')) {
        value.push_str(line);
    }
    value.trim_end().to_owned()
}

#[tokio::test]
async fn a_real_server_takes_mail_plain_with_starttls_and_over_tls() {
    let postfix = Postfix::start().await;
    let Postfix { plain_port, starttls_port, tls_port, .. } = &postfix;
    let login = json!({"password": PASSWORD, "ca_file": postfix.ca_file()});
    let mut count = 0;
    for (smtp, more) in [
        (format!("smtp://127.0.0.1:{plain_port}"), json!({})),
        (format!("smtp+starttls://{USER}@localhost:{starttls_port}"), login.clone()),
        (format!("smtps://{USER}@localhost:{tls_port}"), login.clone()),
    ] {
        let sent = email(&smtp, &more).notify(&problem()).await;
        let receipt = sent.unwrap_or_else(|error| panic!("{smtp}: {error}\n{}", postfix.log()));
        assert!(receipt.detail.starts_with("accepted for 1 of 1: 250 2.0.0 Ok: queued as"), "{receipt:?}");
        count += 1;
        postfix.wait_for_mails("ops", count).await;
    }

    let mail = postfix.mails("ops").pop().unwrap();
    assert_eq!(header(&mail, "Message-ID"), "<k1@example.com>");
    assert_eq!(header(&mail, "Subject"), "[CRITICAL] web-1 / disk-root: DISK CRITICAL - 97% used");
    assert_eq!(header(&mail, "Date"), "Sun, 22 Nov 2026 07:02:00 +0000");
    assert_eq!(header(&mail, "Auto-Submitted"), "auto-generated");
    assert_eq!(header(&mail, "To"), "ops@example.com");

    one_refused_recipient_does_not_keep_the_others_from_their_mail(&postfix).await;
    faults_of_the_login_and_of_tls_pause_the_channel(&postfix).await;
}

async fn one_refused_recipient_does_not_keep_the_others_from_their_mail(postfix: &Postfix) {
    let before = postfix.mails("ops").len();
    let to = json!({"to": ["ops@example.com", "nobody@example.com", "Boss <boss@example.com>"]});
    let email = email(&format!("smtp://127.0.0.1:{}", postfix.plain_port), &to);
    let receipt = email.notify(&recovery(Receipt::default())).await.unwrap();
    assert!(receipt.detail.starts_with("accepted for 2 of 3: 250"), "{receipt:?}");
    assert!(receipt.detail.contains("nobody@example.com refused: 550 5.1.1"), "{receipt:?}");
    let boss = postfix.wait_for_mails("boss", 1).await;
    assert_eq!(header(&boss[0], "In-Reply-To"), "<k1@example.com>");
    assert_eq!(header(&boss[0], "References"), "<k1@example.com>");
    assert_eq!(postfix.wait_for_mails("ops", before + 1).await.len(), before + 1);
}

async fn faults_of_the_login_and_of_tls_pause_the_channel(postfix: &Postfix) {
    let Postfix { plain_port, starttls_port, tls_port, .. } = postfix;
    let ca_file = postfix.ca_file();
    for (smtp, more, words) in [
        (
            format!("smtps://{USER}@localhost:{tls_port}"),
            json!({"password": format!("{PASSWORD}x"), "ca_file": ca_file}),
            "refused the login (535)",
        ),
        (format!("smtps://localhost:{tls_port}"), json!({}), "no secure connection"),
        (format!("smtps://127.0.0.1:{tls_port}"), json!({"ca_file": ca_file}), "no secure connection"),
        (format!("smtp+starttls://localhost:{starttls_port}"), json!({}), "no secure connection"),
        (format!("smtp+starttls://localhost:{plain_port}"), json!({"ca_file": ca_file}), "no STARTTLS"),
        (format!("smtp://127.0.0.1:{starttls_port}"), json!({}), "refused the sender: 530"),
    ] {
        let error = failure(&*email(&smtp, &more), &problem()).await;
        assert_eq!(error.fault(), NotifyFault::Channel, "{smtp}: {error}");
        assert!(error.to_string().contains(words), "{smtp}: {error}");
    }
}

#[tokio::test]
async fn each_reply_says_what_to_do_next() {
    use NotifyFault::{Channel, Message, Retry};
    for (command, reply, fault, words) in [
        ("CONNECT", Do::Say("421 4.3.2 too busy"), Retry, "421 4.3.2 too busy"),
        ("CONNECT", Do::Say("554 no service for you"), Channel, "554 no service"),
        ("CONNECT", Do::Say("hello"), Retry, "not SMTP"),
        ("CONNECT", Do::Close, Retry, "ended early"),
        ("EHLO", Do::Say("502 what"), Channel, "502"),
        ("MAIL", Do::Say("421 4.3.2 shutting down"), Retry, "421"),
        ("MAIL", Do::Say("452 4.3.1 full"), Retry, "452 4.3.1 full"),
        ("MAIL", Do::Say("553 5.1.8 sender unknown"), Channel, "553 5.1.8"),
        ("RCPT", Do::Say("450 4.2.0 greylisted"), Retry, "ops@example.com put off: 450 4.2.0 greylisted"),
        ("RCPT", Do::Say("452 4.2.2 mailbox full"), Retry, "452 4.2.2"),
        ("RCPT", Do::Say("421 4.7.0 too many errors"), Retry, "421 4.7.0"),
        (
            "RCPT",
            Do::Say("550 5.1.1 no such user"),
            Message,
            "ops@example.com refused: 550 5.1.1 no such user",
        ),
        ("RCPT", Do::Say("530 5.7.0 log in first"), Channel, "530 5.7.0"),
        ("RCPT", Do::Say("550-5.7.25 one\r\n550 5.7.25 two\u{1b}[31m"), Message, "550 5.7.25 one two [31m"),
        ("RCPT", Do::Close, Retry, "ended early"),
        ("DATA", Do::Say("451 4.3.0 later"), Retry, "451 4.3.0"),
        ("DATA", Do::Say("554 5.6.0 no"), Message, "554 5.6.0 no"),
        (".", Do::Say("554 5.7.1 spam"), Message, "refused the mail: 554 5.7.1 spam"),
        (".", Do::Say("451 4.3.0 disk full"), Retry, "451 4.3.0"),
        (".", Do::Say("552 5.3.4 too big"), Message, "552 5.3.4"),
        (".", Do::Close, Retry, "ended early"),
    ] {
        let peer = ScriptedSmtp::start(Script::default().on(command, reply.clone())).await;
        let error = failure(&*to_peer(&peer, &json!({})), &problem()).await;
        assert_eq!(error.fault(), fault, "{command} {reply:?}: {error}");
        assert!(error.to_string().contains(words), "{command} {reply:?}: {error}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
        assert_eq!(peer.mails().len(), 0);
    }
}

#[tokio::test]
async fn whoever_was_served_is_not_served_again() {
    let script = Script::default()
        .in_turn("RCPT TO:<b@", [Do::Say("450 4.2.0 greylisted"), Do::Say("250 ok")])
        .on("RCPT TO:<c@", Do::Say("550 5.1.1 no such user"));
    let peer = ScriptedSmtp::start(script).await;
    let email = to_peer(&peer, &json!({"to": ["a@example.com", "b@example.com", "c@example.com"]}));
    let error = failure(&*email, &problem()).await;
    assert_eq!(error.fault(), NotifyFault::Retry);
    assert!(error.to_string().contains("accepted for 1 of 3"), "{error}");
    let receipt = email.notify(&problem()).await.unwrap();
    assert!(receipt.detail.starts_with("accepted for 2 of 3"), "{receipt:?}");
    let to: Vec<Vec<String>> = peer.mails().into_iter().map(|mail| mail.to).collect();
    assert_eq!(to, [["RCPT TO:<a@example.com>"], ["RCPT TO:<b@example.com>"]]);
    let texts: Vec<String> = peer.mails().into_iter().map(|mail| mail.text).collect();
    assert_eq!(texts[0], texts[1], "the same message, byte for byte");
}

#[tokio::test]
async fn a_server_without_a_goodbye_has_the_mail() {
    let peer = ScriptedSmtp::start(Script::default().on("QUIT", Do::Hang)).await;
    let email = to_peer(&peer, &json!({}));
    let trying = tokio::spawn(async move { email.notify(&problem()).await });
    while !peer.commands().contains(&"QUIT".to_owned()) {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    trying.await.unwrap().unwrap();
    assert_eq!(peer.mails().len(), 1);
}

#[tokio::test]
async fn a_try_that_is_dropped_after_the_mail_was_taken_is_not_repeated() {
    let peer = ScriptedSmtp::start(Script::default().on("QUIT", Do::Hang)).await;
    let email = to_peer(&peer, &json!({}));
    let dropped = Arc::clone(&email);
    let trying = tokio::spawn(async move { dropped.notify(&problem()).await });
    while !peer.commands().contains(&"QUIT".to_owned()) {
        tokio::task::yield_now().await;
    }
    trying.abort();
    assert!(trying.await.unwrap_err().is_cancelled());
    assert_eq!(email.notify(&problem()).await.unwrap(), Receipt::new("accepted for 1 of 1"));
    assert_eq!(peer.mails().len(), 1);
}

#[tokio::test]
async fn a_server_that_hangs_is_left_after_half_a_minute() {
    for (command, act) in [
        ("CONNECT", Do::Hang),
        ("CONNECT", Do::Drip("220 this greeting takes longer than anyone waits")),
        ("EHLO", Do::Hang),
        ("RCPT", Do::Hang),
        ("DATA", Do::Hang),
        (".", Do::Hang),
        (".", Do::Drip("250 2.0.0 queued, but so slowly that nobody waits")),
    ] {
        let peer = ScriptedSmtp::start(Script::default().on(command, act.clone())).await;
        let email = to_peer(&peer, &json!({}));
        // Time is virtual: it jumps to the next deadline as soon as everybody waits.
        tokio::time::pause();
        let started = tokio::time::Instant::now();
        let error = failure(&*email, &problem()).await;
        let took = started.elapsed();
        tokio::time::resume();
        assert_eq!(error.fault(), NotifyFault::Retry, "{command} {act:?}: {error}");
        assert!(error.to_string().contains("longer than 30 s"), "{command} {act:?}: {error}");
        assert!((Duration::from_secs(30)..Duration::from_secs(32)).contains(&took), "{command}: {took:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_ends_a_line_is_left() {
    for command in ["CONNECT", "EHLO", "RCPT", "."] {
        let peer = ScriptedSmtp::start(Script::default().on(command, Do::Flood)).await;
        let error = failure(&*to_peer(&peer, &json!({})), &problem()).await;
        assert_eq!(error.fault(), NotifyFault::Retry, "{command}: {error}");
        assert!(error.to_string().contains("quota exceeded"), "{command}: {error}");
    }
}

#[tokio::test]
async fn no_password_goes_over_a_line_that_is_not_secured() {
    let stock = stock_notifiers(OutboundPolicy::default(), Arc::new(ManualClock::new(Timestamp::EPOCH)));
    let params = |smtp: &str| json!({"smtp": smtp, "password": PASSWORD, "from": "a@example.com", "to": ["b@example.com"]});
    for smtp in ["smtp://u@mail.example.com", "smtp://u@10.0.0.1", "smtp://u@8.8.8.8:25"] {
        let error = stock.build("email", &params(smtp)).unwrap_err();
        assert!(error.to_string().contains("in the clear"), "{error}");
    }
    for smtp in
        ["smtp://u@127.0.0.1", "smtp://u@[::1]:2525", "smtp://u@localhost", "smtps://u@mail.example.com"]
    {
        stock.build("email", &params(smtp)).unwrap();
    }
    // STARTTLS that is not offered, or taken out by someone on the way, ends the conversation.
    let peer = ScriptedSmtp::start(Script::default().offering("AUTH PLAIN LOGIN")).await;
    let smtp = format!("smtp+starttls://u@{}", peer.address());
    let error = failure(&*email(&smtp, &json!({"password": PASSWORD})), &problem()).await;
    assert_eq!(error.fault(), NotifyFault::Channel);
    assert!(peer.commands().iter().all(|command| command.starts_with("EHLO")), "{:?}", peer.commands());
}

#[tokio::test]
async fn a_server_that_repeats_the_password_is_not_quoted() {
    let reply = Do::Say("535 5.7.8 bad password wonderland-7f3a9c (AHUAd29uZGVybGFuZC03ZjNhOWM=)");
    let peer = ScriptedSmtp::start(Script::default().offering("AUTH PLAIN").on("AUTH", reply)).await;
    let smtp = format!("smtp://u@{}", peer.address());
    let error = failure(&*email(&smtp, &json!({"password": PASSWORD})), &problem()).await;
    assert_eq!(error.to_string(), "the mail server refused the login (535); check the user and the password");
}

#[tokio::test]
async fn a_login_that_is_put_off_is_tried_again_and_one_that_is_not_offered_is_not() {
    let peer =
        ScriptedSmtp::start(Script::default().offering("AUTH PLAIN").on("AUTH", Do::Say("454 4.7.0 later")))
            .await;
    let smtp = format!("smtp://u@{}", peer.address());
    let password = json!({"password": PASSWORD});
    assert_eq!(failure(&*email(&smtp, &password), &problem()).await.fault(), NotifyFault::Retry);
    let peer = ScriptedSmtp::start(Script::default()).await;
    let smtp = format!("smtp://u@{}", peer.address());
    assert_eq!(failure(&*email(&smtp, &password), &problem()).await.fault(), NotifyFault::Channel);
}

#[tokio::test]
async fn a_bad_certificate_pauses_the_channel() {
    let certificate = certificate_for(&["mail.example.com"]);
    let peer = ScriptedSmtp::start(Script::default().with_starttls(certificate.acceptor.clone())).await;
    let smtp = format!("smtp+starttls://{}", peer.address());
    let trusting = OutboundPolicy::default().trusting([certificate.der.clone()]);
    for (outbound, words) in [(OutboundPolicy::default(), "UnknownIssuer"), (trusting, "not valid for name")]
    {
        let error = failure(&*email_under(outbound, &smtp, &json!({})), &problem()).await;
        assert_eq!(error.fault(), NotifyFault::Channel, "{error}");
        assert!(error.to_string().contains("no secure connection"), "{words}: {error}");
    }
    assert_eq!(peer.mails().len(), 0);
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = failure(&*email(&format!("smtp://127.0.0.1:{port}"), &json!({})), &problem()).await;
    assert_eq!(error.fault(), NotifyFault::Retry, "{error}");
}

#[tokio::test]
async fn an_unknown_name_and_a_refused_address_pause_the_channel() {
    for (smtp, words) in [
        ("smtp://no-such-host.invalid", "cannot resolve"),
        ("smtp://169.254.169.254", "are refused"),
        ("smtp://2852039166", "are refused"),
        ("smtp://[::ffff:a9fe:a9fe]:25", "are refused"),
    ] {
        let error = failure(&*email(smtp, &json!({})), &problem()).await;
        assert_eq!(error.fault(), NotifyFault::Channel, "{smtp}: {error}");
        assert!(error.to_string().contains(words), "{smtp}: {error}");
    }
    let peer = ScriptedSmtp::start(Script::default()).await;
    let smtp = format!("smtp://localhost:{}", peer.address().port());
    let error = failure(&*email_under(OutboundPolicy::public_only(), &smtp, &json!({})), &problem()).await;
    assert!(error.to_string().contains("are refused"), "{error}");
    assert_eq!(peer.commands().len(), 0);
}

#[tokio::test]
async fn what_an_agent_writes_is_data_in_every_part_of_the_mail() {
    let peer = ScriptedSmtp::start(Script::default()).await;
    let mut notification = problem();
    let item = &mut notification.items[0];
    item.agent = "web\r\nBcc: evil@example.com".to_owned();
    item.output =
        "<script>alert(1)</script>\u{1b}[31m\0 --=_vilicus_part\r\n.\r\nMAIL FROM:<evil@example.com>"
            .to_owned();
    item.long_output = "--=_vilicus_part\r\nContent-Type: text/html\r\n\r\n<b>x</b>\r\n.\r\nQUIT".to_owned();
    item.runbook_url = Some("javascript:alert(1)".to_owned());
    notification.url = Some("https://example.com/\"onload=\"x".to_owned());
    notification.key = "k\r\nX-Evil: 1".to_owned();
    to_peer(&peer, &json!({})).notify(&notification).await.unwrap();

    let mails = peer.mails();
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    let (head, body) = mail.text.split_once("\r\n\r\n").unwrap();
    assert_eq!(header(head, "Message-ID"), "<k=0D=0AX-Evil=3A=201@example.com>");
    assert!(!head.lines().any(|line| line.starts_with("Bcc") || line.starts_with("X-Evil")), "{head}");
    assert_eq!(body.lines().filter(|line| line.starts_with("--=_vilicus_part")).count(), 3, "{body}");
    assert_eq!(peer.commands().iter().filter(|command| command.starts_with("MAIL")).count(), 1);
    let body = body.replace("=\r\n", "");
    let (_, html) = body.split_once("text/html; charset=utf-8").unwrap();
    assert!(html.contains("&#60;script&#62;") && !html.contains("<b>"), "{html}");
    assert!(!html.contains("href=3D\"javascript") && !html.contains("\"onload"), "{html}");
    assert!(!mail.text.contains(['\0', '\u{1b}']));
}

#[tokio::test]
async fn a_long_subject_is_cut_and_encoded() {
    let peer = ScriptedSmtp::start(Script::default()).await;
    let mut notification = problem();
    notification.items[0].output = "Größe ".repeat(500);
    to_peer(&peer, &json!({})).notify(&notification).await.unwrap();
    let mail = peer.mails().pop().unwrap().text;
    assert!(mail.lines().all(|line| line.len() <= 998 && line.is_ascii()), "{mail}");
    assert!(header(&mail, "Subject").contains("=?utf-8?"), "{mail}");
}
