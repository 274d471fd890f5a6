//! Templates as they go over the wire, both ways, and what no template can be.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use vilicus_core::{Matcher, TemplateId};
use vilicus_store::Json;
use vilicus_store::inventory::Template;

use super::AppState;
use super::channel_body::{hidden_in, hide, put_back};
use super::kinds;
use super::names::Mistakes;
use super::reference::uri;
use crate::http::Problem;
use crate::http::json::Sent;
use crate::templates::{self, MAX_CHECKS};

/// What matchers of a template can't look at, for they are of checks.
const OF_CHECKS: [&str; 3] = ["check", "kind", "status"];

/// Checks that every agent gets whose labels match.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TemplateBody {
    id: u64,
    resource_uri: String,
    /// Unique in the server.
    name: String,
    /// The conditions on the agent, all of which must hold; none for agents that name it only.
    #[serde(rename = "match")]
    #[schema(value_type = Vec<String>)]
    matchers: Vec<Matcher>,
    /// The checks as they were written; secret parameters are `"***"`.
    #[schema(value_type = Vec<Object>)]
    checks: Vec<Map<String, Value>>,
    /// The file that manages it.
    managed_by: Option<String>,
}

impl TemplateBody {
    pub(super) fn new(template: &Template, state: &AppState) -> Self {
        let TemplateInput { name, matchers, mut checks } = template.into();
        let secrets_of = |kind: &str| state.kinds().secret_params(kind);
        templates::each_secret(&mut checks, secrets_of, |_, _, _, value| hide(value));
        Self {
            id: template.id.get(),
            resource_uri: uri("template", template.id),
            name,
            matchers,
            checks,
            managed_by: template.managed_by.clone(),
        }
    }
}

/// A template as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct TemplateInput {
    /// Unique in the server.
    pub(crate) name: String,
    /// The conditions on the agent, all of which must hold; none for agents that name it only.
    #[serde(default, rename = "match")]
    #[schema(value_type = Vec<String>)]
    matchers: Vec<Matcher>,
    /// The checks, each as it would be written for an agent, but without `agent`; `"***"` keeps a secret that is stored.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    checks: Vec<Map<String, Value>>,
}

impl Sent for TemplateInput {
    const READ_ONLY: &'static [&'static str] = &["id", "resource_uri", "managed_by"];
}

impl From<&Template> for TemplateInput {
    fn from(template: &Template) -> Self {
        let checks = template.checks.iter().filter_map(|check| check.0.as_object().cloned());
        Self { name: template.name.clone(), matchers: template.matchers.clone(), checks: checks.collect() }
    }
}

impl TemplateInput {
    /// The template that this makes of `base`.
    ///
    /// # Errors
    /// 422: what no template can be, with every place.
    pub(crate) fn into_template(mut self, state: &AppState, base: Template) -> Result<Template, Problem> {
        let mut mistakes = Mistakes::default();
        mistakes.name("/name", &self.name);
        mistakes.conditions("/match", &self.matchers);
        for (index, matcher) in self.matchers.iter().enumerate() {
            let detail = "a template is about agents: match by agent, by tag, or by the key of a tag";
            mistakes.require(!OF_CHECKS.contains(&matcher.name()), &format!("/match/{index}"), detail);
        }
        self.put_back(state, &base, &mut mistakes);
        self.validate_checks(state, &mut mistakes);
        mistakes.into_result()?;
        let checks = self.checks.into_iter().map(|check| Json(Value::Object(check))).collect();
        Ok(Template { name: self.name, matchers: self.matchers, checks, ..base })
    }

    /// Puts back the secrets that were hidden and are sent back as they were shown.
    fn put_back(&mut self, state: &AppState, base: &Template, mistakes: &mut Mistakes) {
        let stored = |name: &str| base.checks.iter().find(|check| check.0["name"] == name);
        let secrets_of = |kind: &str| state.kinds().secret_params(kind);
        templates::each_secret(&mut self.checks, secrets_of, |index, name, secret, value| {
            let kept = stored(name).and_then(|check| check.0.pointer(&format!("/params/{secret}")));
            put_back(value, kept);
            if let Some(place) = hidden_in(value) {
                mistakes.add(
                    format!("/checks/{index}/params/{secret}{place}"),
                    "nothing is stored that *** could keep; say it",
                );
            }
        });
    }

    fn validate_checks(&self, state: &AppState, mistakes: &mut Mistakes) {
        if self.checks.len() > MAX_CHECKS {
            mistakes.add("/checks", format!("holds more than {MAX_CHECKS} checks"));
            return;
        }
        let (mut inputs, mut names) = (Vec::new(), HashMap::new());
        for (index, check) in self.checks.iter().enumerate() {
            let place = format!("/checks/{index}");
            let read = templates::read_check(Value::Object(check.clone())).and_then(|input| {
                kinds::validate(state, &input.kind, &Value::Object(input.params.clone())).map(|()| input)
            });
            match read {
                Err(problem) => mistakes.take(problem.below(&place)),
                Ok(input) => {
                    if let Some(first) = names.insert(input.name.clone(), index) {
                        mistakes.add(format!("{place}/name"), format!("is also the name of /checks/{first}"));
                    }
                    inputs.push(input);
                }
            }
        }
        if let Err(problem) = templates::refuse_circles(&inputs) {
            mistakes.take(problem);
        }
    }
}

/// A template that is about to be made: the store gives the id.
pub(crate) fn new_template() -> Template {
    Template {
        id: TemplateId::from(std::num::NonZeroU64::MIN),
        name: String::new(),
        matchers: Vec::new(),
        checks: Vec::new(),
        managed_by: None,
    }
}
