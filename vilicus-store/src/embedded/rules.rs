//! What is configured of telling: routes in their order, downtimes, inhibitions; and templates of checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vilicus_core::{ChannelId, Downtime, DowntimeId, Inhibition, InhibitionId, Route, RouteId, TemplateId};

use crate::inventory::Template;

/// What is configured of telling.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    routes: Vec<Route>,
    pub(crate) downtimes: BTreeMap<DowntimeId, Arc<Downtime>>,
    /// The downtimes whose window is known to be open.
    pub(crate) open: BTreeSet<DowntimeId>,
    pub(crate) inhibitions: BTreeMap<InhibitionId, Arc<Inhibition>>,
    pub(crate) templates: BTreeMap<TemplateId, Arc<Template>>,
    /// The channels that are switched on, in order.
    pub(crate) channels: Vec<ChannelId>,
}

impl Rules {
    /// The routes in the order in which they are tried; `None` when there is none, so that every channel is told.
    pub(crate) fn routes(&self) -> Option<&[Route]> {
        if self.routes.is_empty() { None } else { Some(&self.routes) }
    }

    pub(crate) fn route(&self, id: RouteId) -> Option<&Route> {
        self.routes.iter().find(|route| route.id == id)
    }

    pub(crate) fn put_route(&mut self, route: Route) {
        self.remove_route(route.id);
        let place = |route: &Route| (route.position, route.id);
        let at = self.routes.partition_point(|other| place(other) < place(&route));
        self.routes.insert(at, route);
    }

    pub(crate) fn remove_route(&mut self, id: RouteId) {
        self.routes.retain(|route| route.id != id);
    }

    pub(crate) fn remove_downtime(&mut self, id: DowntimeId) {
        self.downtimes.remove(&id);
        self.open.remove(&id);
    }

    /// Notes whether a channel is switched on.
    pub(crate) fn switch(&mut self, channel: ChannelId, on: bool) {
        match (self.channels.binary_search(&channel), on) {
            (Err(at), true) => self.channels.insert(at, channel),
            (Ok(at), false) => {
                self.channels.remove(at);
            }
            _ => {}
        }
    }
}
