//! What the seven kinds of object have in common when they are compared: the fields as they are written, and the changes.

use serde_json::{Map, Value};
use vilicus_core::{Downtime, Inhibition, Route};
use vilicus_store::Change;
use vilicus_store::inventory::{Agent, Channel, Check, Template};

use crate::api::agent_body::AgentInput;
use crate::api::channel_body::ChannelInput;
use crate::api::check_input::CheckInput;
use crate::api::downtime_body::DowntimeInput;
use crate::api::inhibition::InhibitionInput;
use crate::api::route_body::RouteInput;
use crate::api::template_body::TemplateInput;

/// An object of the configuration.
pub(crate) trait Object: Clone + PartialEq {
    /// What it is called in paths and tables.
    const RESOURCE: &'static str;

    /// Its id.
    fn number(&self) -> u64;

    /// Who manages it.
    fn managed_by(&self) -> Option<&str>;

    /// Someone manages it from now on.
    fn manage(&mut self, by: &str);

    /// As it is written, references as ids.
    fn written(&self) -> Map<String, Value>;

    /// The change that makes it.
    fn creation(self) -> Change;

    /// The change that puts it in the place of the one with its id.
    fn update(self) -> Change;

    /// The change that removes it.
    fn deletion(&self) -> Change;
}

macro_rules! objects {
    ($($type:ty, $name:literal, $input:ty, $create:ident, $update:ident, $delete:ident;)*) => {$(
        impl Object for $type {
            const RESOURCE: &'static str = $name;

            fn number(&self) -> u64 {
                self.id.get()
            }

            fn managed_by(&self) -> Option<&str> {
                self.managed_by.as_deref()
            }

            fn manage(&mut self, by: &str) {
                self.managed_by = Some(by.to_owned());
            }

            fn written(&self) -> Map<String, Value> {
                // What we serialise for people can't fail; were it to, nothing would be shown of it.
                match serde_json::to_value(<$input>::from(self)) {
                    Ok(Value::Object(fields)) => fields,
                    _ => Map::new(),
                }
            }

            fn creation(self) -> Change {
                Change::$create(Box::new(self))
            }

            fn update(self) -> Change {
                Change::$update(Box::new(self))
            }

            fn deletion(&self) -> Change {
                Change::$delete(self.id)
            }
        }
    )*};
}

objects! {
    Template, "template", TemplateInput, CreateTemplate, UpdateTemplate, DeleteTemplate;
    Agent, "agent", AgentInput, CreateAgent, UpdateAgent, DeleteAgent;
    Channel, "channel", ChannelInput, CreateChannel, UpdateChannel, DeleteChannel;
    Route, "route", RouteInput, CreateRoute, UpdateRoute, DeleteRoute;
    Inhibition, "inhibition", InhibitionInput, CreateInhibition, UpdateInhibition, DeleteInhibition;
    Downtime, "downtime", DowntimeInput, CreateDowntime, UpdateDowntime, DeleteDowntime;
    Check, "check", CheckInput, CreateCheck, UpdateCheck, DeleteCheck;
}
