//! The first page: what is wrong, worst first, then everything else; filtered and searched by its address.

mod filter;
mod seen;
mod view;

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::request::Parts;
use vilicus_core::result::error_chain;
use vilicus_store::StoreError;

use self::filter::Filter;
pub(super) use self::seen::Shared;
use self::view::{Listing, Overview};
use super::visitor::Visitor;
use super::{Dashboard, render};

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    visitor: Visitor,
    overview: Arc<Overview>,
    filter: Filter,
    steps: Option<Steps>,
}

/// What there is to do on a server that is still empty.
struct Steps {
    no_agent: bool,
    no_other_agent: bool,
    no_channel: bool,
    url: String,
}

/// `GET /`
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    Query(filter): Query<Filter>,
    parts: Parts,
) -> Response {
    match draw(&dashboard, visitor, filter, &parts).await {
        Ok(page) => render(StatusCode::OK, &page),
        Err(error) => {
            tracing::error!(error = error_chain(&error), "the page cannot be drawn");
            (StatusCode::SERVICE_UNAVAILABLE, "The store cannot be read now.\n").into_response()
        }
    }
}

async fn draw(
    dashboard: &Dashboard,
    visitor: Visitor,
    filter: Filter,
    parts: &Parts,
) -> Result<OverviewPage, StoreError> {
    let seen = dashboard.seen.look(dashboard.api.store().as_ref(), dashboard.api.clock().now()).await?;
    let steps = Steps {
        no_agent: seen.agents.is_empty(),
        no_other_agent: seen.agents.len() <= 1,
        no_channel: seen.channels.is_empty(),
        url: dashboard.address(parts),
    };
    let overview = seen.overview(&filter).await;
    let steps = (steps.no_other_agent || steps.no_channel).then_some(steps);
    Ok(OverviewPage { visitor, overview, filter, steps })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vilicus_core::judge::freshness::Contact;
    use vilicus_core::{AgentId, CheckId, CheckResult, CheckState, Millis, StateType, Status, Timestamp};
    use vilicus_store::Json;
    use vilicus_store::inventory::{Agent, Channel, Check, CheckSpec};
    use vilicus_store::query::{AgentState, AgentView, CheckView};

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
    const HOSTILE: &str = "<script>alert(1)</script>\"' onload=x \u{202e}\u{0}\u{1b}[31m";

    fn agent(name: &str) -> Arc<Agent> {
        Arc::new(Agent {
            id: AgentId::new(1).unwrap(),
            name: name.to_owned(),
            hostname: name.to_owned(),
            guid: None,
            version: Some(name.to_owned()),
            check_interval: Millis::from_secs(60),
            tags: vec![name.to_owned()],
            facts: Json::default(),
            ephemeral: false,
            expire_after: None,
            templates: Vec::new(),
            managed_by: None,
            created_at: NOW,
            last_checkin: None,
        })
    }

    fn check(id: u64, agent: &Arc<Agent>, name: &str, status: Option<Status>) -> CheckView {
        let check = Check::new(agent.id, name, CheckSpec::new("cpu", Json::default()));
        let check = Check { id: CheckId::new(id).unwrap(), ..check };
        let since = status.map(|_| NOW.before(Millis::from_minutes(3)));
        let state = CheckState { status, since, last_received_at: since, ..CheckState::default() };
        let last = status.map(|status| Arc::new(CheckResult::new(status, name).long_output(name)));
        CheckView {
            policy: Arc::new(check.policy(agent.check_interval)),
            check: Arc::new(check),
            agent: agent.clone(),
            state,
            last,
            next_due: None,
            unreachable: false,
            downtime_until: None,
        }
    }

    fn page(name: &str, checks: &[CheckView]) -> OverviewPage {
        let contact = Contact::new(Millis::from_secs(60));
        let view = AgentView { agent: agent(name), state: AgentState::Up, contact, config_version: 1 };
        let filter = Filter::default();
        let overview = Overview::new(&[view], checks, &[] as &[Arc<Channel>], &[], &filter, NOW);
        OverviewPage { visitor: Visitor::example(), overview: Arc::new(overview), filter, steps: None }
    }

    #[test]
    fn hostile_names_and_outputs_are_inert() {
        let agent = agent(HOSTILE);
        let checks = [check(1, &agent, HOSTILE, Some(Status::Critical)), check(2, &agent, HOSTILE, None)];
        let mut page = page(HOSTILE, &checks);
        page.steps =
            Some(Steps { no_agent: true, no_other_agent: true, no_channel: true, url: HOSTILE.to_owned() });
        let html = page.render().unwrap();
        assert!(html.contains("&#60;script&#62;") || html.contains("&lt;script&gt;"), "{html}");
        assert!(
            !html.contains("<script>") && !html.contains("\" onload") && !html.contains("' onload"),
            "{html}"
        );
        let names = html.split("<section class=\"next\"").next().unwrap();
        assert!(!names.contains(['\u{0}', '\u{1b}']), "control characters are replaced");
    }

    #[test]
    fn problems_stand_on_top_the_worst_first() {
        let agent = agent("web-1");
        let mut soft = check(3, &agent, "soft", Some(Status::Warning));
        (soft.state.state_type, soft.state.attempt) = (StateType::Soft, 1);
        let checks = [
            check(1, &agent, "fine", Some(Status::Ok)),
            soft,
            check(4, &agent, "worst", Some(Status::Critical)),
            check(5, &agent, "new", None),
        ];
        let page = page("web-1", &checks);
        assert_eq!(page.overview.headline(), "2 problems");
        let html = page.render().unwrap();
        let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} is missing in {html}"));
        assert!(place("<bdi>worst</bdi>") < place("<bdi>soft</bdi>"));
        assert!(place("<bdi>soft</bdi>") < place("<bdi>fine</bdi>"));
        for text in ["attempt 1 of 3", "CRITICAL", "PENDING", "3 min", "href=\"/check/4\""] {
            place(text);
        }
    }

    #[test]
    fn no_page_needs_anything_inline_or_from_elsewhere() {
        let agent = agent("web-1");
        let html = page("web-1", &[check(1, &agent, "a", Some(Status::Ok))]).render().unwrap();
        for (what, text) in
            [("style", " style="), ("style", "<style"), ("script", "javascript:"), ("source", "://")]
        {
            assert!(!html.contains(text), "an inline {what}: {text}");
        }
        for (at, _) in html.match_indices("<script") {
            assert!(html[at..].starts_with("<script src=\"/assets/"));
        }
    }
}
