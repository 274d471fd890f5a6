//! Messages to send in tests.

use vilicus_core::notification::EarlierMessage;
use vilicus_core::{
    Metric, Notification, NotificationEvent, NotificationItem, Receipt, StateType, Status, Timestamp, Unit,
};

/// A problem of `web-1 / disk-root`, CRITICAL, with the key `k1`.
pub fn problem() -> Notification {
    let mut notification = Notification::about("k1", critical_item(), "your route 'ops' matches");
    notification.url = Some("https://vilicus.example.com/check/7".to_owned());
    notification
}

/// The end of that problem, with the key `k2`; the problem was told with this receipt.
pub fn recovery(receipt: Receipt) -> Notification {
    let mut notification = problem();
    notification.key = "k2".to_owned();
    notification.earlier = vec![EarlierMessage { key: "k1".to_owned(), receipt }];
    let item = &mut notification.items[0];
    item.event = NotificationEvent::Recovery;
    item.status = Status::Ok;
    item.previous_status = Some(Status::Critical);
    item.problem_since = Some(item.since);
    item.output = "DISK OK - 40% used".to_owned();
    notification
}

/// What the problem tells.
pub fn critical_item() -> NotificationItem {
    let at: Timestamp = "2026-11-22T07:02:00Z".parse().unwrap();
    NotificationItem {
        event: NotificationEvent::Problem,
        agent: "web-1".to_owned(),
        check: "disk-root".to_owned(),
        subject: "4f2a-check-7".to_owned(),
        kind: "disk".to_owned(),
        tags: vec!["prod".to_owned(), "team=storage".to_owned()],
        status: Status::Critical,
        previous_status: Some(Status::Ok),
        state_type: StateType::Hard,
        since: "2026-11-22T07:00:00Z".parse().unwrap(),
        at,
        attempt: 3,
        max_attempts: 3,
        output: "DISK CRITICAL - 97% used".to_owned(),
        long_output: "/ 97%".to_owned(),
        metrics: vec![Metric::new("used", 97.0).unit(Unit::Percent)],
        runbook_url: Some("https://wiki.example.com/disk".to_owned()),
        problem_since: None,
        late: false,
    }
}
