//! `get`: lists objects.

use serde_json::Value;
use vilicus_core::Timestamp;
use vilicus_server::clock::{Clock as _, SystemClock};

use crate::args::{GetArgs, Resource};
use crate::client::{Client, encoded};
use crate::exit::Failure;
use crate::names::Names;
use crate::print::{self, Rows};
use crate::words::{self, age, text};

/// Lists them.
pub(crate) async fn run(client: &Client, asked: &GetArgs) -> Result<(), Failure> {
    let resource = asked.resource;
    let objects = match &asked.name {
        Some(name) => vec![client.get(&path_of(resource, name)).await?],
        None => client.list(&list_of(asked)?, asked.limit).await?,
    };
    let agents = agents(client, resource, &objects).await?;
    let names: Vec<String> = objects.iter().map(|object| name(resource, object, &agents)).collect();
    let now = SystemClock::new().now();
    let rows = objects.iter().map(|object| row(resource, object, &agents, now)).collect();
    print::print(asked.output, &objects, &names, Rows { headings: headings(resource), rows })
}

/// Where one object is.
pub(crate) fn path_of(resource: Resource, name: &str) -> String {
    format!("/api/v1/{}/{}/", singular(resource), encoded(name))
}

const fn singular(resource: Resource) -> &'static str {
    match resource {
        Resource::Agents => "agent",
        Resource::Checks => "check",
        Resource::Events => "event",
        Resource::Channels => "channel",
        Resource::Routes => "route",
        Resource::Downtimes => "downtime",
        Resource::Notifications => "notification",
        Resource::Templates => "template",
        Resource::Tokens => "token",
        Resource::Users => "user",
    }
}

fn list_of(asked: &GetArgs) -> Result<String, Failure> {
    let filters = [
        ("agent", &asked.agent, asked.resource == Resource::Checks),
        ("status", &asked.status, asked.resource == Resource::Checks),
        ("tag", &asked.tag, matches!(asked.resource, Resource::Checks | Resource::Agents)),
    ];
    let mut path = format!("/api/v1/{}/", singular(asked.resource));
    for (key, value, fits) in filters {
        let Some(value) = value else { continue };
        if !fits {
            return Err(Failure::new(format!("--{key} does not fit to {}s", singular(asked.resource))));
        }
        let separator = if path.contains('?') { '&' } else { '?' };
        path += &format!("{separator}{key}={}", encoded(value));
    }
    Ok(path)
}

/// The names of agents, where they are needed.
async fn agents(client: &Client, resource: Resource, objects: &[Value]) -> Result<Names, Failure> {
    let mut names = Names::default();
    if resource == Resource::Checks {
        if objects.len() > 1 {
            names = Names::new(&client.list("/api/v1/agent/", usize::MAX).await?);
        }
        names.complete(client, objects).await?;
    }
    Ok(names)
}

fn name(resource: Resource, object: &Value, agents: &Names) -> String {
    match resource {
        Resource::Checks => words::check_name(object, agents),
        Resource::Events | Resource::Downtimes | Resource::Notifications => text(&object["id"]),
        _ => text(&object["name"]),
    }
}

fn headings(resource: Resource) -> Vec<&'static str> {
    match resource {
        Resource::Agents => vec!["NAME", "STATE", "CONTACT", "VERSION", "TAGS"],
        Resource::Checks => vec!["CHECK", "STATE", "SINCE", "NOTES", "OUTPUT"],
        Resource::Events => vec!["ID", "AGE", "TYPE", "SUMMARY"],
        Resource::Channels => vec!["NAME", "KIND", "ENABLED", "PAUSED"],
        Resource::Routes => vec!["NAME", "MATCH", "CHANNELS"],
        Resource::Downtimes => vec!["ID", "ACTIVE", "MATCH", "WHEN", "COMMENT"],
        Resource::Notifications => vec!["ID", "AGE", "STATE", "CHANNEL", "TITLE", "REASON"],
        Resource::Templates => vec!["NAME", "MATCH", "CHECKS"],
        Resource::Tokens => vec!["NAME", "ROLE", "EXPIRES", "USES"],
        Resource::Users => vec!["NAME", "ROLE", "PASSWORD SET"],
    }
}

fn row(resource: Resource, object: &Value, agents: &Names, now: Timestamp) -> Vec<String> {
    let field = |name: &str| text(&object[name]);
    match resource {
        Resource::Agents => vec![
            field("name"),
            field("state"),
            age(&object["last_contact"], now),
            field("version"),
            field("tags"),
        ],
        Resource::Checks => check_row(object, agents, now),
        Resource::Events => vec![field("id"), age(&object["at"], now), field("type"), field("summary")],
        Resource::Channels => {
            vec![field("name"), field("kind"), field("enabled"), text(&object["paused"]["fault"])]
        }
        Resource::Routes => vec![field("name"), field("match"), field("channels")],
        Resource::Downtimes => {
            vec![field("id"), field("active"), field("match"), when(object), field("comment")]
        }
        Resource::Notifications => vec![
            field("id"),
            age(&object["created_at"], now),
            field("state"),
            field("channel"),
            field("title"),
            field("reason"),
        ],
        Resource::Templates => {
            let checks = object["checks"].as_array().into_iter().flatten();
            let names: Vec<String> = checks.map(|check| text(&check["name"])).collect();
            vec![field("name"), field("match"), names.join(", ")]
        }
        Resource::Tokens => vec![field("name"), field("role"), field("expires_at"), field("uses")],
        Resource::Users => vec![field("name"), field("role"), field("password_set_at")],
    }
}

/// A check as a row.
pub(crate) fn check_row(check: &Value, agents: &Names, now: Timestamp) -> Vec<String> {
    vec![
        words::check_name(check, agents),
        words::state(check),
        age(&check["state"]["since"], now),
        words::flags(check),
        text(&check["state"]["output"]),
    ]
}

fn when(downtime: &Value) -> String {
    match downtime["schedule"].as_str() {
        Some(schedule) => schedule.to_owned(),
        None => format!("{} to {}", text(&downtime["start"]), text(&downtime["end"])),
    }
}
