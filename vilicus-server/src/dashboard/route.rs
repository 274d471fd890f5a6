//! Who is told of what: the routes in their order, who would hear of a check, and the form of a route.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::form;
use super::inside::{Inside, Refused};
use super::render;
use super::visitor::Visitor;
use super::wire::{self, List};
use super::words::visible;

/// A route, as the API tells it.
#[derive(Debug, Deserialize)]
struct Route {
    id: u64,
    name: String,
    position: u32,
    r#match: Vec<String>,
    channels: Vec<String>,
    r#continue: bool,
    group_wait: String,
    repeat_interval: Option<String>,
    schedule: Option<String>,
    only_worse: bool,
    send_recovery: bool,
    escalate: Vec<Step>,
    managed_by: Option<String>,
}

/// Who else is told of a problem that nobody has acted on for so long.
#[derive(Debug, Deserialize)]
struct Step {
    after: String,
    channels: Vec<String>,
}

impl Step {
    fn line(&self, channels: &[Channel]) -> String {
        let name = |uri: &String| {
            let id = wire::id_of(uri);
            channels
                .iter()
                .find(|channel| channel.id == id)
                .map_or_else(|| uri.clone(), |found| found.name.clone())
        };
        let names: Vec<String> = self.channels.iter().map(name).collect();
        format!("{}: {}\n", self.after, names.join(", "))
    }
}

/// A channel to choose.
#[derive(Debug, Deserialize)]
struct Channel {
    id: u64,
    name: String,
}

/// A route in the list.
struct Line {
    id: u64,
    position: u32,
    name: String,
    about: String,
    channels: String,
    words: String,
}

impl Line {
    fn new(route: &Route, channels: &[Channel]) -> Self {
        let name = |uri: &String| {
            let id = wire::id_of(uri);
            channels.iter().find(|channel| channel.id == id).map(|channel| visible(&channel.name))
        };
        let names: Vec<String> = route.channels.iter().filter_map(name).collect();
        let mut words = vec![format!("waits {} for more", visible(&route.group_wait))];
        words.extend(route.repeat_interval.as_deref().map(|every| format!("again every {}", visible(every))));
        words.extend(route.schedule.as_deref().map(|when| format!("only {}", visible(when))));
        words.extend(
            (!route.escalate.is_empty()).then(|| format!("escalates {} times", route.escalate.len())),
        );
        words.extend(route.r#continue.then(|| "then the next routes, too".to_owned()));
        Self {
            id: route.id,
            position: route.position,
            name: visible(&route.name),
            about: match route.r#match.is_empty() {
                true => "every check".to_owned(),
                false => visible(&route.r#match.join(", ")),
            },
            channels: if names.is_empty() { "nobody".to_owned() } else { names.join(", ") },
            words: words.join(", "),
        }
    }
}

/// Of which check somebody might hear.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    check: String,
    status: String,
}

#[derive(Template)]
#[template(path = "routes.html")]
struct RoutesPage {
    visitor: Visitor,
    lines: Vec<Line>,
    asked: Asked,
    heard: Option<Vec<Line>>,
    problem: Option<String>,
    form: RouteForm,
}

/// `GET /route`, and with `?check=` who would hear of it.
pub(super) async fn page(visitor: Visitor, inside: Inside, Query(asked): Query<Asked>) -> Response {
    show(visitor, &inside, asked, Filled::default(), None).await
}

async fn show(
    visitor: Visitor,
    inside: &Inside,
    asked: Asked,
    filled: Filled,
    refused: Option<Refused>,
) -> Response {
    let status = refused.as_ref().map_or(StatusCode::OK, |refused| refused.status);
    match read(visitor, inside, asked, filled, refused).await {
        Ok(page) => render(status, &page),
        Err(refused) => form::refuse(&refused, "/"),
    }
}

async fn read(
    visitor: Visitor,
    inside: &Inside,
    asked: Asked,
    filled: Filled,
    refused: Option<Refused>,
) -> Result<RoutesPage, Refused> {
    let channels = inside.get::<List<Channel>>("/api/v1/channel/?limit=1000").await?.objects;
    let routes = inside.get::<List<Route>>("/api/v1/route/?limit=1000").await?.objects;
    let mut problem = refused.map(|refused| visible(&refused.words));
    let mut heard = None;
    if !asked.check.trim().is_empty() {
        match would_hear(inside, &asked).await {
            Ok(routes) => heard = Some(routes.iter().map(|route| Line::new(route, &channels)).collect()),
            Err(refused) => problem = Some(visible(&refused.words)),
        }
    }
    let lines = routes.iter().map(|route| Line::new(route, &channels)).collect();
    let form = RouteForm::new(None, filled, &channels);
    Ok(RoutesPage { visitor, lines, asked, heard, problem, form })
}

async fn would_hear(inside: &Inside, asked: &Asked) -> Result<Vec<Route>, Refused> {
    // As people read it: 'web-1 / cpu'.
    let check = asked.check.trim().replace(" / ", "/");
    let check = utf8_percent_encode(&check, NON_ALPHANUMERIC);
    let status = if asked.status.is_empty() { "CRITICAL" } else { &asked.status };
    let status = utf8_percent_encode(status, NON_ALPHANUMERIC);
    let path = format!("/api/v1/route/?check={check}&status={status}&limit=1000");
    Ok(inside.get::<List<Route>>(&path).await?.objects)
}

/// What is filled in.
#[derive(Debug, Default)]
struct Filled {
    name: String,
    position: String,
    matchers: String,
    channels: Vec<u64>,
    group_wait: String,
    repeat_interval: String,
    schedule: String,
    /// One step a line: `30m: boss, phone`.
    escalate: String,
    only_worse: bool,
    silent_recovery: bool,
    proceed: bool,
}

impl Filled {
    fn of(route: &Route, channels: &[Channel]) -> Self {
        Self {
            name: route.name.clone(),
            position: route.position.to_string(),
            matchers: route.r#match.join("\n"),
            channels: route.channels.iter().map(|uri| wire::id_of(uri)).collect(),
            group_wait: route.group_wait.clone(),
            repeat_interval: route.repeat_interval.clone().unwrap_or_default(),
            schedule: route.schedule.clone().unwrap_or_default(),
            escalate: route.escalate.iter().map(|step| step.line(channels)).collect(),
            only_worse: route.only_worse,
            silent_recovery: !route.send_recovery,
            proceed: route.r#continue,
        }
    }

    /// Reads a form; a channel is a field of its own, for there may be several.
    fn sent(fields: &[(String, String)]) -> Self {
        let text = |name: &str| {
            let found = fields.iter().find(|(field, _)| field == name);
            found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let ticked = |name: &str| fields.iter().any(|(field, _)| field == name);
        let channels = fields.iter().filter(|(field, _)| field == "channel");
        Self {
            name: text("name"),
            position: text("position"),
            matchers: text("matchers"),
            channels: channels.filter_map(|(_, id)| id.parse().ok()).collect(),
            group_wait: text("group_wait"),
            repeat_interval: text("repeat_interval"),
            schedule: text("schedule"),
            escalate: text("escalate"),
            only_worse: ticked("only_worse"),
            silent_recovery: ticked("silent_recovery"),
            proceed: ticked("continue"),
        }
    }

    fn body(&self) -> Value {
        let matchers: Vec<&str> =
            self.matchers.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let channels: Vec<String> = self.channels.iter().map(|id| format!("/api/v1/channel/{id}/")).collect();
        let mut body = json!({
            "name": self.name, "match": matchers, "channels": channels, "only_worse": self.only_worse,
            "send_recovery": !self.silent_recovery, "continue": self.proceed,
            "escalate": self.escalate.lines().filter(|line| !line.trim().is_empty()).map(step).collect::<Vec<_>>(),
            "schedule": Some(&self.schedule).filter(|text| !text.is_empty()),
        });
        if let Ok(position) = self.position.parse::<u32>() {
            body["position"] = position.into();
        }
        for (name, value) in [("group_wait", &self.group_wait), ("repeat_interval", &self.repeat_interval)] {
            if !value.is_empty() {
                body[name] = value.as_str().into();
            }
        }
        body
    }
}

/// A step as it is written. What is left out the API misses, in its own words.
fn step(line: &str) -> Value {
    let (after, channels) = line.split_once(':').unwrap_or((line, ""));
    let channels = channels.split(',').map(str::trim).filter(|name| !name.is_empty());
    json!({"after": after.trim(), "channels": channels.collect::<Vec<_>>()})
}

/// The form of a route.
struct RouteForm {
    action: String,
    filled: Filled,
    /// The channels with their names, and whether they are chosen.
    channels: Vec<(u64, String, bool)>,
}

impl RouteForm {
    fn new(id: Option<u64>, filled: Filled, channels: &[Channel]) -> Self {
        let choice =
            |channel: &Channel| (channel.id, visible(&channel.name), filled.channels.contains(&channel.id));
        let channels = channels.iter().map(choice).collect();
        Self { action: id.map_or("/route".to_owned(), |id| format!("/route/{id}")), filled, channels }
    }
}

/// `POST /route`
pub(super) async fn create(
    visitor: Visitor,
    inside: Inside,
    axum::Form(fields): axum::Form<Vec<(String, String)>>,
) -> Response {
    let filled = Filled::sent(&fields);
    match inside.send(Method::POST, "/api/v1/route/", Some(&filled.body())).await {
        Ok(_) => Redirect::to("/route?done=created").into_response(),
        Err(refused) => show(visitor, &inside, Asked::default(), filled, Some(refused)).await,
    }
}

#[derive(Template)]
#[template(path = "route.html")]
struct RoutePage {
    visitor: Visitor,
    id: u64,
    name: String,
    managed_by: Option<String>,
    problem: Option<String>,
    form: RouteForm,
}

/// `GET /route/{id}`
pub(super) async fn edit(visitor: Visitor, inside: Inside, Path(id): Path<u64>) -> Response {
    one(visitor, &inside, id, None, None).await
}

/// `POST /route/{id}`
pub(super) async fn change(
    visitor: Visitor,
    inside: Inside,
    Path(id): Path<u64>,
    axum::Form(fields): axum::Form<Vec<(String, String)>>,
) -> Response {
    let filled = Filled::sent(&fields);
    let path = format!("/api/v1/route/{id}/");
    match inside.send(Method::PATCH, &path, Some(&filled.body())).await {
        Ok(_) => Redirect::to("/route?done=changed").into_response(),
        Err(refused) => one(visitor, &inside, id, Some(filled), Some(refused)).await,
    }
}

async fn one(
    visitor: Visitor,
    inside: &Inside,
    id: u64,
    filled: Option<Filled>,
    refused: Option<Refused>,
) -> Response {
    let path = format!("/api/v1/route/{id}/");
    let route = inside.get::<Route>(&path);
    let channels = inside.get::<List<Channel>>("/api/v1/channel/?limit=1000");
    let (route, channels) = match tokio::try_join!(route, channels) {
        Ok((route, channels)) => (route, channels.objects),
        Err(refused) => return form::refuse(&refused, "/route"),
    };
    let page = RoutePage {
        visitor,
        id,
        name: visible(&route.name),
        managed_by: route.managed_by.as_deref().map(visible),
        problem: refused.as_ref().map(|refused| visible(&refused.words)),
        form: RouteForm::new(Some(id), filled.unwrap_or_else(|| Filled::of(&route, &channels)), &channels),
    };
    render(refused.map_or(StatusCode::OK, |refused| refused.status), &page)
}

/// `POST /route/{id}/remove`
pub(super) async fn remove(inside: Inside, Path(id): Path<u64>) -> Response {
    match inside.send(Method::DELETE, &format!("/api/v1/route/{id}/"), None).await {
        Ok(_) => Redirect::to("/route?done=removed").into_response(),
        Err(refused) => form::refuse(&refused, &format!("/route/{id}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_the_route() {
        let sent = [
            ("name", "ops"),
            ("channel", "1"),
            ("channel", "3"),
            ("matchers", "tag=web\n\n"),
            ("position", "5"),
            ("escalate", "30m: boss, phone\n\n 2h : all\n"),
        ];
        let sent: Vec<_> =
            sent.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let body = Filled::sent(&sent).body();
        assert_eq!(body["channels"], json!(["/api/v1/channel/1/", "/api/v1/channel/3/"]));
        assert_eq!((&body["match"], &body["position"]), (&json!(["tag=web"]), &json!(5)));
        assert_eq!((&body["send_recovery"], &body["continue"]), (&json!(true), &json!(false)));
        let steps =
            json!([{"after": "30m", "channels": ["boss", "phone"]}, {"after": "2h", "channels": ["all"]}]);
        assert_eq!(body["escalate"], steps);
        assert!(body.get("group_wait").is_none(), "what is empty stays as it is");
    }
}
