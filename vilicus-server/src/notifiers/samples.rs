//! Messages for the tests of payloads.

use vilicus_core::notification::EarlierMessage;
use vilicus_core::{Notification, NotificationEvent, NotificationItem, Receipt, StateType, Status};

/// What is shown of each, before a service's own markup and limits.
pub(super) const PROBLEM_TITLE: &str = "[CRITICAL] web-1 / disk-root: 97% used";
pub(super) const PROBLEM_TEXT: &str = "\
CRITICAL since 2026-11-22T07:00:00.000Z (attempt 3 of 3)
Before: OK

97% used
/ 97%
Runbook: https://wiki.example.com/disk

https://vilicus.example.com/check/7
You get this because your route 'ops' matches.";
pub(super) const RECOVERY_TITLE: &str = "[OK] web-1 / disk-root: 40% used";
pub(super) const RECOVERY_TEXT: &str = "\
The problem lasted from 2026-11-22T07:00:00.000Z to 2026-11-22T07:02:00.000Z, delivered late.
Before: CRITICAL

40% used
Runbook: https://wiki.example.com/disk

https://vilicus.example.com/check/7
You get this because your route 'ops' matches.";
pub(super) const GROUP_TITLE: &str = "[CRITICAL] 9 checks, 2 with problems: web-1 / disk-root";
pub(super) const GROUP_TEXT: &str = "\
[CRITICAL] web-1 / disk-root: 97% used
CRITICAL since 2026-11-22T07:00:00.000Z (attempt 3 of 3)
Before: OK

97% used
/ 97%
Runbook: https://wiki.example.com/disk

[ACK] web-1 / load: load 9
WARNING since 2026-11-22T07:00:00.000Z (attempt 3 of 3)

load 9

… and 7 more.

https://vilicus.example.com/check/7
You get this because your route 'ops' matches.";
pub(super) const HOSTILE_TITLE: &str =
    "[CRITICAL] <!channel> / a  b: @everyone </pre><b>&amp;</b> [x](https://evil.example) ``` [31m";
pub(super) const HOSTILE_TEXT: &str = "\
CRITICAL since 2026-11-22T07:00:00.000Z (attempt 3 of 3)

@everyone </pre><b>&amp;</b> [x](https://evil.example) ```[31m
*_~|# <@U1>
Runbook: javascript:alert(1)

You get this because your route 'ops' matches.";

/// The same, escaped as HTML and Slack's markup ask.
pub(super) const HOSTILE_TITLE_ESCAPED: &str = "[CRITICAL] &lt;!channel&gt; / a  b: @everyone \
    &lt;/pre&gt;&lt;b&gt;&amp;amp;&lt;/b&gt; [x](https://evil.example) ``` [31m";
pub(super) const HOSTILE_TEXT_ESCAPED: &str = "\
CRITICAL since 2026-11-22T07:00:00.000Z (attempt 3 of 3)

@everyone &lt;/pre&gt;&lt;b&gt;&amp;amp;&lt;/b&gt; [x](https://evil.example) ```[31m
*_~|# &lt;@U1&gt;
Runbook: javascript:alert(1)

You get this because your route 'ops' matches.";

/// `web-1 / disk-root` is CRITICAL, with link and runbook.
pub(super) fn problem() -> Notification {
    let item = NotificationItem {
        event: NotificationEvent::Problem,
        agent: "web-1".to_owned(),
        check: "disk-root".to_owned(),
        subject: "4f2a-check-7".to_owned(),
        kind: "disk".to_owned(),
        tags: vec!["prod".to_owned()],
        status: Status::Critical,
        previous_status: Some(Status::Ok),
        state_type: StateType::Hard,
        since: "2026-11-22T07:00:00Z".parse().unwrap(),
        at: "2026-11-22T07:02:00Z".parse().unwrap(),
        attempt: 3,
        max_attempts: 3,
        output: "97% used".to_owned(),
        long_output: "/ 97%".to_owned(),
        metrics: Vec::new(),
        runbook_url: Some("https://wiki.example.com/disk".to_owned()),
        problem_since: None,
        late: false,
    };
    let mut notification = Notification::about("k1", item, "your route 'ops' matches");
    notification.url = Some("https://vilicus.example.com/check/7".to_owned());
    notification
}

/// Its end, delivered late; the problem was told with this receipt.
pub(super) fn recovery(reference: &str) -> Notification {
    let mut notification = problem();
    notification.key = "k2".to_owned();
    let receipt = Receipt::new("taken").reference(reference);
    notification.earlier = vec![EarlierMessage { key: "k1".to_owned(), receipt }];
    let item = &mut notification.items[0];
    (item.event, item.status, item.late) = (NotificationEvent::Recovery, Status::Ok, true);
    (item.previous_status, item.problem_since) = (Some(Status::Critical), Some(item.since));
    (item.output, item.long_output) = ("40% used".to_owned(), String::new());
    notification
}

/// A problem, an acknowledged one, and seven more.
pub(super) fn group() -> Notification {
    let mut notification = problem();
    let mut second = notification.items[0].clone();
    (second.event, second.status) = (NotificationEvent::Acknowledgement, Status::Warning);
    (second.check, second.output) = ("load".to_owned(), "load 9".to_owned());
    (second.long_output, second.runbook_url, second.previous_status) = (String::new(), None, None);
    notification.items.push(second);
    notification.more = 7;
    notification
}

/// The worst that an agent can write.
pub(super) fn hostile() -> Notification {
    let mut notification = problem();
    notification.url = None;
    let item = &mut notification.items[0];
    (item.agent, item.check) = ("<!channel>".to_owned(), "a\r\nb".to_owned());
    item.output = "@everyone </pre><b>&amp;</b> [x](https://evil.example) ```\u{1b}[31m\u{202e}".to_owned();
    (item.long_output, item.previous_status) = ("*_~|# <@U1>".to_owned(), None);
    item.runbook_url = Some("javascript:alert(1)".to_owned());
    notification
}

/// More than any service takes, in characters of four bytes.
pub(super) fn long() -> Notification {
    let mut notification = problem();
    notification.items[0].output = "😀".repeat(5000);
    notification.items[0].long_output = "line <\"&\\\n".repeat(20_000);
    notification
}
