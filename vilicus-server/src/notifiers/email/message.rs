//! The mail itself: headers, a part as plain text, a part as HTML.
//!
//! Everything that an agent may have written is data here: the subject is one encoded line, the text is encoded so
//! that it can't forge a boundary, the HTML escapes it, and only `http` and `https` become links. The same
//! notification gives the same bytes at every try.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use askama::Template;
use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, MultiPart, SinglePart};
use vilicus_core::{Notification, NotificationEvent, NotificationItem, NotifyError, Status, Timestamp};

use crate::notifiers::wording::{cut, printable};

/// The longest subject, in characters; phones show some 40, and a line of a header must not pass 998 bytes.
const MAX_SUBJECT: usize = 200;

/// How many earlier messages a mail refers to; a thread needs the first and the newest.
const MAX_REFERENCES: usize = 20;

/// Can't occur in quoted-printable text, where `=` is followed by two digits. *Source:* RFC 2045, section 6.7.
const BOUNDARY: &str = "=_vilicus_part";

/// Writes the mail.
pub(super) fn write(
    notification: &Notification,
    from: &Mailbox,
    to: &[Mailbox],
) -> Result<Vec<u8>, NotifyError> {
    let failed =
        |error: &dyn std::fmt::Display| NotifyError::message(format!("the mail can't be written: {error}"));
    let id = |key: &str| message_id(key, from.email.domain());
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(cut(&notification.title(), MAX_SUBJECT))
        .date(date(notification))
        .message_id(Some(id(&notification.key)))
        .raw_header(auto_submitted());
    for mailbox in to {
        builder = builder.to(mailbox.clone());
    }
    if let Some(last) = notification.earlier.last() {
        let earlier: Vec<String> = referenced(notification).map(id).collect();
        builder = builder.in_reply_to(id(&last.key)).references(earlier.join(" "));
    }
    let html = Html { notification }.render().map_err(|error| failed(&error))?;
    let parts = MultiPart::alternative()
        .boundary(BOUNDARY)
        .singlepart(part(ContentType::TEXT_PLAIN, printable(&notification.text()))?)
        .singlepart(part(ContentType::TEXT_HTML, html)?);
    Ok(builder.multipart(parts).map_err(|error| failed(&error))?.formatted())
}

fn part(kind: ContentType, text: String) -> Result<SinglePart, NotifyError> {
    let body = Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable)
        .map_err(|_| NotifyError::message("the mail can't be encoded"))?;
    Ok(SinglePart::builder().header(kind).body(body))
}

/// The first earlier message and the newest ones.
fn referenced(notification: &Notification) -> impl Iterator<Item = &str> {
    let skipped = notification.earlier.len().saturating_sub(MAX_REFERENCES - 1).max(1);
    let newest = notification.earlier.iter().skip(skipped);
    notification.earlier.iter().take(1).chain(newest).map(|earlier| earlier.key.as_str())
}

/// `<KEY@DOMAIN>`: the same at every try, and known without asking when a later mail refers to it.
fn message_id(key: &str, domain: &str) -> String {
    let mut id = String::from("<");
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => id.push(char::from(byte)),
            // A key is only ours by habit; whatever else is in it can't break out of the header.
            _ => drop(write!(id, "={byte:02X}")),
        }
    }
    id.push('@');
    id.push_str(domain);
    id.push('>');
    id
}

/// When it happened, so that no clock is read and each try says the same.
fn date(notification: &Notification) -> SystemTime {
    let at = notification.items.first().map_or(Timestamp::EPOCH, |item| item.at);
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.since(Timestamp::EPOCH).get())
}

/// Keeps autoresponders from answering. *Source:* RFC 3834, section 5.
fn auto_submitted() -> HeaderValue {
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    HeaderValue::new(name, "auto-generated".to_owned())
}

/// The HTML part. No image, font or style is loaded; colours carry both on white and on black.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{{ notification.title() }}</title>
</head>
<body style="margin:0;padding:16px;font-family:system-ui,-apple-system,sans-serif;font-size:16px;line-height:1.4">
{% if let Some(own) = self::own_text(notification) %}<pre style="margin:0 0 8px;white-space:pre-wrap;overflow-wrap:anywhere;font-family:inherit">{{ own }}</pre>
{% else %}{% for item in notification.items %}
<div style="max-width:40em;margin:0 0 20px;padding:0 0 0 12px;border-left:6px solid {{ self::colour(item) }}">
<p style="margin:0 0 4px"><strong style="color:{{ self::colour(item) }}">{{ self::word(item) }}</strong> <strong>{{ item.place() }}</strong></p>
<p style="margin:0 0 8px;font-size:14px">{{ self::span(item) }}{% if let Some(previous) = item.previous_status %} · before: {{ previous }}{% endif %}</p>
<pre style="margin:0 0 8px;white-space:pre-wrap;overflow-wrap:anywhere;font-family:ui-monospace,monospace;font-size:14px">{{ self::printable(item.output) }}{% if !item.long_output.is_empty() %}
{{ self::printable(item.long_output) }}{% endif %}</pre>
{% if let Some(runbook) = item.runbook_url %}<p style="margin:0 0 8px;overflow-wrap:anywhere">Runbook: {% if self::is_link(runbook) %}<a href="{{ runbook }}">{{ runbook }}</a>{% else %}{{ runbook }}{% endif %}</p>
{% endif %}</div>
{% endfor %}
{% if notification.more > 0 %}<p>… and {{ notification.more }} more.</p>
{% endif %}{% if let Some(url) = notification.url %}{% if self::is_link(url) %}<p style="overflow-wrap:anywhere"><a href="{{ url }}">{{ url }}</a></p>
{% endif %}{% endif %}<p style="font-size:13px">You get this because {{ notification.reason }}.</p>
{% endif %}</body>
</html>
"#
)]
struct Html<'a> {
    notification: &'a Notification,
}

/// The words of the channel's own template, when it has any for the text.
fn own_text(notification: &Notification) -> Option<String> {
    let own = notification.words.as_ref()?.text.as_ref()?;
    Some(printable(own))
}

/// A colour with a contrast of at least 3:1 on white and on black.
fn colour(item: &NotificationItem) -> &'static str {
    match item.status {
        Status::Ok => "#1f883d",
        Status::Warning => "#b26a00",
        Status::Unknown => "#8250df",
        Status::Critical => "#d1242f",
    }
}

/// The word in capitals that the title has in brackets.
fn word(item: &NotificationItem) -> String {
    let title = item.title();
    let word = title.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    word.map_or_else(|| item.status.to_string(), |(word, _)| word.to_owned())
}

fn span(item: &NotificationItem) -> String {
    match (item.event, item.problem_since) {
        (NotificationEvent::Test, _) => item.at.to_string(),
        (event, Some(began)) if event.is_end() => {
            let late = if item.late { ", delivered late" } else { "" };
            format!("The problem lasted from {began} to {}{late}", item.at)
        }
        _ => format!("{} since {}", item.status, item.since),
    }
}

fn is_link(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::Receipt;
    use vilicus_core::notification::{EarlierMessage, Words};

    fn mail(notification: &Notification) -> String {
        let from: Mailbox = "Vilicus <vilicus@example.com>".parse().unwrap();
        let to = ["ops@example.com".parse().unwrap(), "Größe <g@example.com>".parse().unwrap()];
        String::from_utf8(write(notification, &from, &to).unwrap()).unwrap()
    }

    fn test() -> Notification {
        Notification::test("k-1", "2026-11-22T07:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_mail_is_the_same_at_every_try() {
        let text = mail(&test());
        assert_eq!(text, mail(&test()));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let expected = [
            "From: Vilicus <vilicus@example.com>",
            "Subject: [TEST] This is a test: the channel works.",
            "Date: Sun, 22 Nov 2026 07:00:00 +0000",
            "Message-ID: <k-1@example.com>",
            "Auto-Submitted: auto-generated",
            "To: ops@example.com, =?utf-8?b?R3LDtsOfZQ==?= <g@example.com>",
            "MIME-Version: 1.0",
            "Content-Type: multipart/alternative; boundary=\"=_vilicus_part\"",
        ];
        assert_eq!(head.lines().collect::<Vec<_>>(), expected);
        let plain = "--=_vilicus_part\r\nContent-Type: text/plain; charset=utf-8\r\n\
                     Content-Transfer-Encoding: quoted-printable\r\n\r\n\
                     [TEST] This is a test: the channel works.\r\nOK since 2026-11-22T07:00:00.000Z\r\n\r\n\
                     This is a test: the channel works.\r\n\r\n\
                     You get this because someone pressed 'send test'.\r\n\r\n--=_vilicus_part\r\n\
                     Content-Type: text/html; charset=utf-8\r\n";
        assert!(body.starts_with(plain), "{body}");
    }

    #[test]
    fn a_thread_refers_to_its_first_and_its_newest_messages() {
        let mut notification = test();
        notification.earlier = (0..100)
            .map(|n| EarlierMessage {
                key: format!("0193a5c0-0000-7000-8000-{n:012}"),
                receipt: Receipt::default(),
            })
            .collect();
        let text = mail(&notification);
        assert!(text.lines().all(|line| line.len() < 998), "{text}");
        assert_eq!(text.matches("@example.com>").count(), 3 + 1 + MAX_REFERENCES);
        for n in [0, 81, 99] {
            assert!(text.contains(&format!("<0193a5c0-0000-7000-8000-{n:012}@example.com>")), "{n}");
        }
    }

    #[test]
    fn own_words_stand_in_both_parts() {
        let mut notification = test();
        notification.words =
            Some(Words { title: Some("ours".to_owned()), text: Some("<b>own & text".to_owned()) });
        let mail = mail(&notification);
        assert!(mail.contains("Subject: ours"), "{mail}");
        assert!(mail.contains("<b>own & text") && mail.contains("&#60;b&#62;own &#38; text"), "{mail}");
        assert!(!mail.contains("You get this because"), "{mail}");
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let text = mail(&test());
        for tag in ["<img", "<link", "<script", "<style", "src=", "url("] {
            assert!(!text.contains(tag), "{tag}");
        }
    }
}
