//! The one rule for all merging: what a message that was not tried yet says once there is more news about the same
//! subject; a name may have changed in between.
//!
//! | it says | news | it then says |
//! |---|---|---|
//! | a problem | another status | the newer one, held against what was told before the older one |
//! | a problem | its end | the end alone, with the span of the whole problem |
//! | an end | a problem | both, in order |
//! | an end | another end | the later one, with the span of both |
//! | that it flaps, or that someone is on it | its end | the end |

use crate::notification::{NotificationEvent, NotificationItem};

/// Adds news to what a message tells. What it tells of other things stays as it is.
pub fn merge(items: &mut Vec<NotificationItem>, news: NotificationItem) {
    let older = items.iter().rposition(|item| item.subject == news.subject);
    match older {
        Some(at) if replaces(&items[at], &news) => {
            let merged = join(items.remove(at), news);
            // An end that now stands behind an end that waits as well: both become one.
            merge(items, merged);
        }
        _ => items.push(news),
    }
}

fn is_problem(event: NotificationEvent) -> bool {
    matches!(event, NotificationEvent::Problem | NotificationEvent::AgentDown)
}

/// Whether the newer one makes the older one say nothing that still matters.
fn replaces(older: &NotificationItem, newer: &NotificationItem) -> bool {
    let (was_problem, was_end) = (is_problem(older.event), older.event.is_end());
    let was_word = matches!(older.event, NotificationEvent::Acknowledgement | NotificationEvent::Flapping);
    was_word && newer.event.is_end()
        || was_problem && (is_problem(newer.event) || newer.event.is_end())
        || was_end && newer.event.is_end()
}

fn join(older: NotificationItem, mut newer: NotificationItem) -> NotificationItem {
    newer.problem_since = match (older.problem_since, newer.problem_since) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    newer.late |= older.late;
    if is_problem(newer.event) {
        newer.previous_status = older.previous_status;
    } else if !older.event.is_end() {
        newer.previous_status = newer.previous_status.max(Some(older.status));
    } else {
        newer.previous_status = newer.previous_status.max(older.previous_status);
    }
    newer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Notification;
    use crate::status::Status;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    fn item(
        event: NotificationEvent,
        status: Status,
        previous: Option<Status>,
        since: i64,
    ) -> NotificationItem {
        let mut item = Notification::test("k", Timestamp::EPOCH).items.remove(0);
        (item.event, item.status, item.previous_status) = (event, status, previous);
        item.problem_since = Some(Timestamp::from_millis(since));
        item
    }

    fn merged(news: &[NotificationItem]) -> Vec<(NotificationEvent, Option<Status>)> {
        let mut items = Vec::new();
        news.iter().for_each(|item| merge(&mut items, item.clone()));
        items.iter().map(|item| (item.event, item.previous_status)).collect()
    }

    #[test]
    fn news_merges_as_the_table_says() {
        use NotificationEvent::{Closed, Problem, Recovery, Test};
        let first = item(Problem, Status::Critical, None, 10);
        let milder = item(Problem, Status::Warning, Some(Status::Critical), 10);
        let end = item(Recovery, Status::Ok, Some(Status::Warning), 10);
        let second = item(Problem, Status::Critical, None, 50);
        let closed = item(Closed, Status::Critical, Some(Status::Critical), 50);
        assert_eq!(merged(&[first.clone(), milder.clone()]), [(Problem, None)]);
        assert_eq!(merged(&[first.clone(), end.clone()]), [(Recovery, Some(Status::Critical))]);
        let both = [(Recovery, Some(Status::Warning)), (Problem, None)];
        assert_eq!(merged(&[end.clone(), second.clone()]), both);
        assert_eq!(merged(&[end.clone(), second, closed]), [(Closed, Some(Status::Critical))]);
        let test = item(Test, Status::Ok, None, 0);
        assert_eq!(merged(&[test, end]).len(), 2);
    }

    #[test]
    fn the_end_tells_the_span_of_the_whole_problem() {
        let mut items = vec![item(NotificationEvent::Problem, Status::Critical, None, 10)];
        merge(&mut items, item(NotificationEvent::Recovery, Status::Ok, Some(Status::Critical), 40));
        assert_eq!(items[0].problem_since, Some(Timestamp::from_millis(10)));
    }

    #[test]
    fn other_things_stay() {
        let mut other = item(NotificationEvent::Problem, Status::Critical, None, 10);
        other.subject = "other".to_owned();
        let news = item(NotificationEvent::Recovery, Status::Ok, None, 10);
        let mut items = vec![other.clone()];
        merge(&mut items, news.clone());
        assert_eq!(items, [other, news]);
    }

    #[test]
    fn a_new_name_is_no_other_thing() {
        let mut items = vec![item(NotificationEvent::Problem, Status::Critical, None, 10)];
        let mut end = item(NotificationEvent::Recovery, Status::Ok, Some(Status::Critical), 40);
        end.check = "renamed".to_owned();
        merge(&mut items, end);
        assert_eq!(items.len(), 1);
    }

    proptest! {
        #[test]
        fn one_thing_takes_two_items_at_most_and_the_last_news_stands_last(ends in proptest::collection::vec(any::<bool>(), 1..20)) {
            let mut items = Vec::new();
            for (at, is_end) in ends.iter().enumerate() {
                let event = if *is_end { NotificationEvent::Recovery } else { NotificationEvent::Problem };
                merge(&mut items, item(event, Status::Warning, None, at as i64));
            }
            prop_assert!(items.len() <= 2);
            prop_assert_eq!(items[items.len() - 1].event.is_end(), ends[ends.len() - 1]);
        }
    }
}
