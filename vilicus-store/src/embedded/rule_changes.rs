//! Changes of what is configured of telling, and of templates. Whatever changes, every open problem is looked at again:
//! what is then to be told is told once, and what was told stays told.

use std::sync::Arc;

use vilicus_core::event::{Action, Happening};
use vilicus_core::{ChannelId, Downtime, DowntimeId, Inhibition, InhibitionId, Route, RouteId, TemplateId};

use crate::embedded::changes::{Changed, free, not_found};
use crate::embedded::effect::Effect;
use crate::embedded::unit::Unit;
use crate::inventory::{Channel, Template};
use crate::store::Change;

impl Unit<'_> {
    /// Changes what is configured of telling.
    pub(crate) fn change_rule(&mut self, change: Change, by: &str) -> Changed {
        match change {
            Change::CreateRoute(route) => self.create_route(*route, by),
            Change::UpdateRoute(route) => self.update_route(*route, by),
            Change::DeleteRoute(id) => self.delete_route(id, by),
            Change::CreateDowntime(downtime) => self.create_downtime(*downtime, by),
            Change::UpdateDowntime(downtime) => self.update_downtime(*downtime, by),
            Change::DeleteDowntime(id) => self.delete_downtime(id, by),
            Change::CreateInhibition(inhibition) => self.create_inhibition(*inhibition, by),
            Change::UpdateInhibition(inhibition) => self.update_inhibition(*inhibition, by),
            Change::DeleteInhibition(id) => self.delete_inhibition(id, by),
            Change::CreateTemplate(template) => self.create_template(*template, by),
            Change::UpdateTemplate(template) => self.update_template(*template, by),
            Change::DeleteTemplate(id) => self.delete_template(id, by),
            // Everything else is changed before this is asked.
            _ => Ok(0),
        }
    }

    fn create_route(&mut self, mut route: Route, by: &str) -> Changed {
        route.id = self.next_route();
        self.put_route(route, Action::Create, by)
    }

    fn update_route(&mut self, route: Route, by: &str) -> Changed {
        if self.truth.rules.route(route.id).is_none() {
            return Err(not_found("route", route.id.get()));
        }
        self.put_route(route, Action::Update, by)
    }

    fn put_route(&mut self, mut route: Route, action: Action, by: &str) -> Changed {
        self.given.in_route(&mut route);
        let routes = self.truth.rules.routes().unwrap_or_default();
        let holder = routes.iter().find(|other| other.name == route.name).map(|other| other.id.get());
        free(holder, route.id.get(), ("route", "name"), &route.name)?;
        let channels = route.channels.iter().chain(route.escalate.iter().flat_map(|step| &step.channels));
        if let Some(unknown) = channels.into_iter().find(|id| !self.truth.channels.contains_key(id)) {
            return Err(not_found("channel", unknown.get()));
        }
        let id = route.id.get();
        self.audit(action, "route", &route.name, by, (None, None));
        self.emit(Effect::Route(Arc::new(route)));
        self.look_at_all();
        Ok(id)
    }

    fn delete_route(&mut self, id: RouteId, by: &str) -> Changed {
        let route = self.truth.rules.route(id).ok_or_else(|| not_found("route", id.get()))?;
        let name = route.name.clone();
        self.emit(Effect::RouteGone(id));
        self.audit(Action::Delete, "route", &name, by, (None, None));
        self.look_at_all();
        Ok(id.get())
    }

    /// Takes a channel that is gone out of the routes, and from those that fall back to it.
    pub(crate) fn forget_channel(&mut self, channel: ChannelId) {
        let falls_back = |other: &&Arc<Channel>| other.fallback == Some(channel);
        for other in self.truth.channels.values().filter(falls_back).cloned().collect::<Vec<_>>() {
            let other = Channel { fallback: None, ..Channel::clone(&other) };
            self.emit(Effect::Channel(Arc::new(other)));
        }
        let names = |route: &&Route| route.steps().any(|(_, _, channels)| channels.contains(&channel));
        let routes = self.truth.rules.routes().unwrap_or_default();
        for mut route in routes.iter().filter(names).cloned().collect::<Vec<_>>() {
            route.channels.retain(|id| *id != channel);
            route.escalate.iter_mut().for_each(|step| step.channels.retain(|id| *id != channel));
            route.escalate.retain(|step| !step.channels.is_empty());
            self.emit(Effect::Route(Arc::new(route)));
        }
    }

    fn create_downtime(&mut self, mut downtime: Downtime, by: &str) -> Changed {
        downtime.id = self.next_downtime();
        downtime.created_at = self.now;
        self.put_downtime(downtime, Action::Create, by)
    }

    fn update_downtime(&mut self, mut downtime: Downtime, by: &str) -> Changed {
        let before = self.truth.rules.downtimes.get(&downtime.id);
        let before = before.ok_or_else(|| not_found("downtime", downtime.id.get()))?;
        downtime.created_at = before.created_at;
        self.put_downtime(downtime, Action::Update, by)
    }

    fn put_downtime(&mut self, downtime: Downtime, action: Action, by: &str) -> Changed {
        let id = downtime.id;
        self.audit(action, "downtime", &name_of(&downtime), by, (None, None));
        self.emit(Effect::Downtime(Arc::new(downtime)));
        self.turn_downtime(id);
        self.look_at_all();
        Ok(id.get())
    }

    fn delete_downtime(&mut self, id: DowntimeId, by: &str) -> Changed {
        let downtime = self.truth.rules.downtimes.get(&id).ok_or_else(|| not_found("downtime", id.get()))?;
        let name = name_of(downtime);
        let was_open = self.truth.rules.open.contains(&id);
        let comment = downtime.comment.clone();
        self.emit(Effect::DowntimeGone(id));
        if was_open {
            let what = Happening::Downtime { downtime: id, began: false, comment, until: None };
            self.record(self.now, None, None, what);
        }
        self.audit(Action::Delete, "downtime", &name, by, (None, None));
        self.look_at_all();
        Ok(id.get())
    }

    fn create_inhibition(&mut self, mut inhibition: Inhibition, by: &str) -> Changed {
        inhibition.id = self.next_inhibition();
        self.put_inhibition(inhibition, Action::Create, by)
    }

    fn update_inhibition(&mut self, inhibition: Inhibition, by: &str) -> Changed {
        if !self.truth.rules.inhibitions.contains_key(&inhibition.id) {
            return Err(not_found("inhibition", inhibition.id.get()));
        }
        self.put_inhibition(inhibition, Action::Update, by)
    }

    fn put_inhibition(&mut self, inhibition: Inhibition, action: Action, by: &str) -> Changed {
        let mut others = self.truth.rules.inhibitions.values();
        let holder = others.find(|other| other.name == inhibition.name).map(|other| other.id.get());
        free(holder, inhibition.id.get(), ("inhibition", "name"), &inhibition.name)?;
        let id = inhibition.id.get();
        self.audit(action, "inhibition", &inhibition.name, by, (None, None));
        self.emit(Effect::Inhibition(Arc::new(inhibition)));
        self.look_at_all();
        Ok(id)
    }

    fn delete_inhibition(&mut self, id: InhibitionId, by: &str) -> Changed {
        let inhibition = self.truth.rules.inhibitions.get(&id);
        let name = inhibition.ok_or_else(|| not_found("inhibition", id.get()))?.name.clone();
        self.emit(Effect::InhibitionGone(id));
        self.audit(Action::Delete, "inhibition", &name, by, (None, None));
        self.look_at_all();
        Ok(id.get())
    }

    fn create_template(&mut self, mut template: Template, by: &str) -> Changed {
        template.id = self.next_template();
        self.put_template(template, Action::Create, by)
    }

    fn update_template(&mut self, template: Template, by: &str) -> Changed {
        if !self.truth.rules.templates.contains_key(&template.id) {
            return Err(not_found("template", template.id.get()));
        }
        self.put_template(template, Action::Update, by)
    }

    fn put_template(&mut self, template: Template, action: Action, by: &str) -> Changed {
        let mut others = self.truth.rules.templates.values();
        let holder = others.find(|other| other.name == template.name).map(|other| other.id.get());
        free(holder, template.id.get(), ("template", "name"), &template.name)?;
        let id = template.id.get();
        self.audit(action, "template", &template.name, by, (None, None));
        self.emit(Effect::Template(Arc::new(template)));
        Ok(id)
    }

    fn delete_template(&mut self, id: TemplateId, by: &str) -> Changed {
        let template = self.truth.rules.templates.get(&id);
        let name = template.ok_or_else(|| not_found("template", id.get()))?.name.clone();
        self.emit(Effect::TemplateGone(id));
        self.audit(Action::Delete, "template", &name, by, (None, None));
        Ok(id.get())
    }
}

/// What the audit trail calls a downtime, which has no name.
fn name_of(downtime: &Downtime) -> String {
    let matchers: Vec<String> = downtime.matchers.iter().map(ToString::to_string).collect();
    match (downtime.comment.as_str(), matchers.join(", ")) {
        ("", matchers) => matchers,
        (comment, matchers) => format!("{comment} ({matchers})"),
    }
}
