//! The page for people: rendered here, complete without scripts, readable on a phone, in a text browser and with a
//! screen reader. `login` lets people in, `view` says what is shown, `templates/` and `assets/` how.
//!
//! Everything that an agent sent is data: the templates escape it, and no page allows inline scripts or styles.

mod headers;
mod login;
mod view;

use askama::Template;
use axum::extract::{FromRef, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use vilicus_core::Status;
use vilicus_core::result::error_chain;
use vilicus_store::StoreError;
use vilicus_store::inventory::{Agent, Role};
use vilicus_store::query::{AgentFilter, CheckFilter, Page};

use self::view::Overview;
use crate::api::AppState;
use crate::http::Peer;
use crate::http::auth::{Caller, authenticate};
use crate::self_check::GUID;

/// What the pages are made of.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// The store and who may see it.
    pub api: AppState,
    /// The address that people use, when it is known.
    pub public_url: Option<String>,
}

impl FromRef<Dashboard> for AppState {
    fn from_ref(dashboard: &Dashboard) -> Self {
        dashboard.api.clone()
    }
}

/// The routes of the pages: `/`, `/login`, `/logout`, `/assets/…`.
pub fn router(dashboard: Dashboard) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/login", get(login::page).post(login::by_token))
        .route("/login/link", post(login::link))
        .route("/logout", post(login::out))
        .route(
            "/assets/style.css",
            get(|| asset("text/css; charset=utf-8", include_str!("assets/style.css"))),
        )
        .route(
            "/assets/live.js",
            get(|| asset("text/javascript; charset=utf-8", include_str!("assets/live.js"))),
        )
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", include_str!("assets/icon.svg"))))
        .layer(middleware::map_response(headers::protect))
        .with_state(dashboard)
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    overview: Overview,
    steps: Option<Steps>,
    user: String,
}

/// What there is to do on a server that is still empty.
struct Steps {
    no_agent: bool,
    no_other_agent: bool,
    no_channel: bool,
    url: String,
}

async fn overview(State(dashboard): State<Dashboard>, parts: Parts) -> Response {
    let caller = match authenticate(&parts, &dashboard.api).await {
        Ok(caller) => caller,
        Err(_) => return login::ask(StatusCode::UNAUTHORIZED, None),
    };
    if caller.role() < Role::Viewer {
        return login::ask(StatusCode::FORBIDDEN, Some("This token may not look at the dashboard."));
    }
    match draw(&dashboard, &caller, &parts).await {
        Ok(page) => render(StatusCode::OK, &page),
        Err(error) => {
            tracing::error!(error = error_chain(&error), "the page cannot be drawn");
            (StatusCode::SERVICE_UNAVAILABLE, "The store cannot be read now.\n").into_response()
        }
    }
}

async fn draw(dashboard: &Dashboard, caller: &Caller, parts: &Parts) -> Result<OverviewPage, StoreError> {
    let store = dashboard.api.store();
    let mut agents = store.agents(&AgentFilter::default(), Page::ALL).await?.objects;
    let mut checks = store.checks(&CheckFilter::default(), Page::ALL).await?.objects;
    // That the server is well goes without saying.
    checks.retain(|view| !is_self_check(&view.agent) || view.state.status.is_some_and(Status::is_problem));
    agents.retain(|view| !is_self_check(&view.agent) || checks.iter().any(|it| it.agent.id == view.agent.id));
    let channels = store.channels().await?;
    let overview = Overview::new(&agents, &checks, &channels, dashboard.api.clock().now());
    let steps = Steps {
        no_agent: agents.is_empty(),
        no_other_agent: agents.len() <= 1,
        no_channel: channels.is_empty(),
        url: dashboard.address(parts),
    };
    let steps = (steps.no_other_agent || steps.no_channel).then_some(steps);
    Ok(OverviewPage { overview, steps, user: caller.role().to_string() })
}

/// Whether an agent only holds the checks that the server makes of itself.
fn is_self_check(agent: &Agent) -> bool {
    agent.guid.as_deref() == Some(GUID)
}

impl Dashboard {
    /// The address of this server as this caller knows it, without a slash at the end.
    fn address(&self, parts: &Parts) -> String {
        if let Some(url) = &self.public_url {
            return url.trim_end_matches('/').to_owned();
        }
        let secure = parts.extensions.get::<Peer>().is_some_and(|peer| peer.secure);
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        format!("{}://{}", if secure { "https" } else { "http" }, host.unwrap_or("localhost"))
    }
}

fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a template cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn asset(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    // Short: an upgraded server's pages must not wear an old sheet for long.
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("public, max-age=300"));
    (headers, content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
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
        let overview = Overview::new(&[view], checks, &[] as &[Arc<Channel>], NOW);
        OverviewPage { overview, steps: None, user: "admin".to_owned() }
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
        for text in ["attempt 1 of 3", "CRITICAL", "PENDING", "3 min", "id=\"check-4\"", "href=\"#check-4\""]
        {
            place(text);
        }
        assert_eq!(html.matches("id=\"check-4\"").count(), 1, "ids are unique");
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
            assert!(html[at..].starts_with("<script src=\"/assets/live.js\""));
        }
    }
}
