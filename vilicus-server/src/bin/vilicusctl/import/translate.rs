//! Hosts become agents, services checks of the kind `command`, contacts channels, and who is told of a service a route.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::command::{self, Macros};
use super::objects::{Object, Objects};
use super::period;

/// How many seconds Nagios' intervals count in.
const INTERVAL_LENGTH: f64 = 60.0;
/// What the tag of those who are told of a check begins with.
const TELLS: &str = "tells=";

/// The configuration, and what is not in it.
#[derive(Debug)]
pub(super) struct Translation {
    pub(super) configuration: Value,
    /// One line for each thing that was not taken over.
    pub(super) report: Vec<String>,
    counts: [(&'static str, usize); 4],
}

impl Translation {
    /// Translates; mail goes over `smtp`, and comes from `from`.
    pub(super) fn of(objects: &Objects, smtp: &str, from: &str) -> Self {
        let mut translator = Translator::new(objects);
        let agents = translator.agents();
        let checks = translator.checks();
        let channels = translator.channels(smtp, from);
        let routes = translator.routes(&channels);
        let counts = [
            ("hosts", agents.len()),
            ("services", checks.len()),
            ("contacts", channels.len()),
            ("routes", routes.len()),
        ];
        let mut configuration = Map::new();
        for (name, list) in [("agent", agents), ("check", checks), ("channel", channels), ("route", routes)] {
            if !list.is_empty() {
                configuration.insert(name.to_owned(), list.into());
            }
        }
        let mut report = objects.faults.clone();
        report.append(&mut translator.report);
        Self { configuration: configuration.into(), report, counts }
    }

    /// What was taken over, in numbers.
    pub(super) fn summary(&self) -> String {
        let parts: Vec<String> = self.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        format!("{} taken over; {} things were not, see above", parts.join(", "), self.report.len())
    }
}

/// Who is told, when and how often.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Telling {
    whom: String,
    period: String,
    interval: String,
}

struct Translator<'a> {
    objects: &'a Objects,
    hosts: BTreeMap<&'a str, &'a Object>,
    /// The hosts of each group.
    groups: BTreeMap<&'a str, BTreeSet<&'a str>>,
    commands: BTreeMap<&'a str, &'a str>,
    /// Each way of telling, with the tag that its checks have.
    tellings: BTreeMap<Telling, String>,
    report: Vec<String>,
}

impl<'a> Translator<'a> {
    fn new(objects: &'a Objects) -> Self {
        let hosts: BTreeMap<&str, &Object> =
            objects.of("host").filter_map(|host| Some((host.get("host_name")?, host))).collect();
        let commands = objects
            .of("command")
            .filter_map(|command| Some((command.get("command_name")?, command.get("command_line")?)));
        let mut translator = Self {
            objects,
            groups: BTreeMap::new(),
            commands: commands.collect(),
            tellings: BTreeMap::new(),
            report: Vec::new(),
            hosts,
        };
        translator.groups = translator.members();
        translator.strangers();
        translator
    }

    /// The hosts of each group, as hosts and groups say it.
    fn members(&self) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for group in self.objects.of("hostgroup") {
            let Some(name) = group.get("hostgroup_name") else { continue };
            let members = group.list("members");
            let all = members.contains(&"*");
            let named = self.hosts.keys().filter(|host| all || members.contains(host));
            groups.entry(name).or_default().extend(named);
        }
        for (name, host) in &self.hosts {
            for group in host.list("hostgroups") {
                groups.entry(group).or_default().insert(name);
            }
        }
        // Groups of groups, one level: deeper ones are read in the order of their definitions.
        for group in self.objects.of("hostgroup") {
            let Some(name) = group.get("hostgroup_name") else { continue };
            for inner in group.list("hostgroup_members") {
                let inner = groups.get(inner).cloned().unwrap_or_default();
                groups.entry(name).or_default().extend(inner);
            }
        }
        groups
    }

    /// Names the kinds of objects that have no counterpart.
    fn strangers(&mut self) {
        let known = [
            "host",
            "hostgroup",
            "service",
            "command",
            "contact",
            "contactgroup",
            "timeperiod",
            "servicegroup",
        ];
        for object in self.objects.all.iter().filter(|object| !known.contains(&object.kind.as_str())) {
            self.report.push(format!("{}: a {} is not taken over", object.place, object.kind));
        }
    }

    fn leave(&mut self, object: &Object, what: &str) {
        self.report.push(format!("{}: {what}", object.place));
    }

    fn agents(&mut self) -> Vec<Value> {
        let hosts: Vec<(&str, &Object)> = self.hosts.iter().map(|(name, host)| (*name, *host)).collect();
        let mut agents = Vec::new();
        for (name, host) in hosts {
            if host.get("parents").is_some() {
                self.leave(host, "parents are not taken over; let checks depend on each other instead");
            }
            let groups = self.groups.iter().filter(|(_, members)| members.contains(name));
            let tags: Vec<&str> = groups.map(|(group, _)| *group).collect();
            agents.push(json!({"name": name, "tags": tags}));
        }
        agents
    }

    /// The hosts that a service is for.
    fn hosts_of(&self, service: &Object) -> BTreeSet<&'a str> {
        let (mut wanted, mut unwanted) = (BTreeSet::new(), BTreeSet::new());
        for entry in service.list("host_name") {
            match entry.strip_prefix('!') {
                Some(not) => drop(unwanted.insert(not.to_owned())),
                None if entry == "*" => wanted.extend(self.hosts.keys().copied()),
                None => wanted.extend(self.hosts.get_key_value(entry).map(|(name, _)| *name)),
            }
        }
        for entry in service.list("hostgroup_name") {
            let (not, group) = entry.strip_prefix('!').map_or((false, entry), |group| (true, group));
            let members = self.groups.get(group).into_iter().flatten().copied();
            if not {
                unwanted.extend(members.map(str::to_owned));
            } else if group == "*" {
                wanted.extend(self.hosts.keys().copied());
            } else {
                wanted.extend(members);
            }
        }
        wanted.retain(|host| !unwanted.contains(*host));
        wanted
    }

    fn checks(&mut self) -> Vec<Value> {
        let mut checks = Vec::new();
        for service in self.objects.of("service") {
            let Some(name) = service.get("service_description") else {
                self.leave(service, "a service without service_description");
                continue;
            };
            let hosts = self.hosts_of(service);
            if hosts.is_empty() {
                self.leave(service, &format!("the service '{name}' is for no host that is defined"));
            }
            self.unknown_to_us(service);
            for host in hosts {
                match self.check(service, name, host) {
                    Ok(check) => checks.push(check),
                    Err(why) => self.leave(service, &format!("'{name}' of {host}: {why}")),
                }
            }
        }
        checks
    }

    /// Names what a service says that no check can.
    fn unknown_to_us(&mut self, service: &Object) {
        for (field, why) in [
            ("event_handler", "nothing is mended by a command"),
            ("parents", "say depends_on at the check"),
            ("first_notification_delay", "say first_delay at the route"),
        ] {
            if service.get(field).is_some() {
                self.leave(service, &format!("{field} is not taken over: {why}"));
            }
        }
        let period = service.get("check_period").and_then(|name| self.period(name));
        if period.is_some_and(|period| period.text.is_some()) {
            self.leave(
                service,
                "check_period is not taken over: checks run always; let the route's schedule be silent",
            );
        }
    }

    fn check(&mut self, service: &Object, name: &str, host: &str) -> Result<Value, String> {
        let command = service.get("check_command").ok_or("it has no check_command")?;
        if service.get("active_checks_enabled") == Some("0") {
            return Err(
                "it is passive: make a check of the kind heartbeat, or send results over the API".to_owned()
            );
        }
        let line = self.line(service, command, host)?;
        let mut check = Map::new();
        // A name holds no slash: it would look like the path of another check.
        check.insert("agent".to_owned(), host.into());
        check.insert("name".to_owned(), name.replace('/', "-").into());
        check.insert("kind".to_owned(), "command".into());
        check.insert("params".to_owned(), json!({"command": line.program, "args": line.arguments}));
        for (ours, theirs) in [("interval", "check_interval"), ("retry_interval", "retry_interval")] {
            let theirs = service.get(theirs).and_then(|text| text.parse::<f64>().ok());
            if let Some(interval) = theirs.filter(|interval| *interval > 0.0) {
                check.insert(ours.to_owned(), seconds(interval).into());
            }
        }
        if let Some(attempts) = service.get("max_check_attempts").and_then(|text| text.parse::<u32>().ok()) {
            check.insert("max_attempts".to_owned(), attempts.max(1).into());
        }
        if service.get("is_volatile") == Some("1") {
            check.insert("volatile".to_owned(), true.into());
        }
        if service.get("notifications_enabled") == Some("0") {
            check.insert("notifications".to_owned(), false.into());
        }
        if service.get("flap_detection_enabled") == Some("0") {
            check.insert("flap_detection".to_owned(), false.into());
        }
        if let Some(notes) = service.get("notes") {
            check.insert("description".to_owned(), notes.into());
        }
        if let Some(url) =
            service.get("notes_url").filter(|url| url.starts_with("http") && !url.contains('$'))
        {
            check.insert("runbook_url".to_owned(), url.into());
        }
        let tags: Vec<String> =
            service.list("servicegroups").into_iter().map(str::to_owned).chain(self.tells(service)).collect();
        if !tags.is_empty() {
            check.insert("tags".to_owned(), tags.into());
        }
        Ok(check.into())
    }

    fn line(&self, service: &Object, check_command: &str, host: &str) -> Result<command::Line, String> {
        let mut macros = Macros::new(&self.objects.macros);
        let about = self.hosts.get(host).copied();
        let of_host = |field: &str| about.and_then(|about| about.get(field));
        macros.set("HOSTNAME", host);
        macros.set("HOSTADDRESS", of_host("address").unwrap_or(host));
        macros.set("HOSTALIAS", of_host("alias").unwrap_or(host));
        macros.set("HOSTDISPLAYNAME", of_host("display_name").unwrap_or(host));
        macros.set("SERVICEDESC", service.get("service_description").unwrap_or_default());
        for (prefix, object) in [("_HOST", about), ("_SERVICE", Some(service))] {
            for (name, value) in object.into_iter().flat_map(Object::fields) {
                if let Some(own) = name.strip_prefix('_') {
                    macros.set(&format!("{prefix}{}", own.to_uppercase()), value);
                }
            }
        }
        // What NRPE runs on the host its agent runs by itself.
        if let Some(remote) = check_command.strip_prefix("check_nrpe!") {
            let name = remote.trim().trim_start_matches("-c ").split(['!', ' ']).next().unwrap_or_default();
            let missing =
                || format!("what NRPE runs as '{name}' is in nrpe.cfg of {host}, which is not here");
            return command::split(self.objects.nrpe.get(name).ok_or_else(missing)?);
        }
        command::line(check_command, &self.commands, &macros)
    }

    /// The tag of those who are told of a service.
    fn tells(&mut self, service: &Object) -> Option<String> {
        let mut whom: Vec<&str> = service.list("contact_groups");
        whom.extend(service.list("contacts"));
        whom.sort_unstable();
        if whom.is_empty() {
            return None;
        }
        let telling = Telling {
            whom: whom.join(","),
            period: service.get("notification_period").unwrap_or_default().to_owned(),
            interval: service.get("notification_interval").unwrap_or_default().to_owned(),
        };
        let next = self.tellings.len() + 1;
        let tag = self.tellings.entry(telling).or_insert_with(|| format!("{TELLS}{next}"));
        Some(tag.clone())
    }

    fn channels(&mut self, smtp: &str, from: &str) -> Vec<Value> {
        let mut channels = Vec::new();
        for contact in self.objects.of("contact") {
            let Some(name) = contact.get("contact_name") else { continue };
            match contact.get("email") {
                Some(email) => channels.push(json!({
                    "name": name, "kind": "email", "params": {"smtp": smtp, "from": from, "to": [email]},
                })),
                None => {
                    self.leave(contact, &format!("the contact '{name}' has no email; make a channel for it"))
                }
            }
            if contact.get("pager").is_some() {
                self.leave(contact, "a pager is not taken over; there are channels for phones");
            }
        }
        channels
    }

    /// The contacts of a group, or the contact of this name.
    fn contacts(&self, name: &str) -> BTreeSet<String> {
        let group =
            self.objects.of("contactgroup").find(|group| group.get("contactgroup_name") == Some(name));
        let members = group.map(|group| group.list("members")).unwrap_or_default();
        let by_contact =
            self.objects.of("contact").filter(|contact| contact.list("contactgroups").contains(&name));
        let mut contacts: BTreeSet<String> = members.into_iter().map(str::to_owned).collect();
        contacts.extend(by_contact.filter_map(|contact| contact.get("contact_name")).map(str::to_owned));
        if group.is_none() && contacts.is_empty() {
            contacts.insert(name.to_owned());
        }
        contacts
    }

    fn routes(&mut self, channels: &[Value]) -> Vec<Value> {
        let known: BTreeSet<&str> = channels.iter().filter_map(|channel| channel["name"].as_str()).collect();
        let mut routes = Vec::new();
        for (telling, tag) in std::mem::take(&mut self.tellings) {
            let contacts = telling.whom.split(',').flat_map(|name| self.contacts(name));
            let contacts: BTreeSet<String> = contacts.filter(|name| known.contains(name.as_str())).collect();
            if contacts.is_empty() {
                self.report
                    .push(format!("{}: nobody of these has a channel, so nobody is told", telling.whom));
                continue;
            }
            let mut route = json!({
                "name": format!("{} ({tag})", telling.whom), "match": [format!("tag={tag}")], "channels": contacts,
                "continue": true,
            });
            if let Some(interval) = telling.interval.parse::<f64>().ok().filter(|interval| *interval > 0.0) {
                route["repeat_interval"] = seconds(interval).into();
            }
            if let Some(period) = self.period(&telling.period) {
                if !period.lost.is_empty() {
                    let lost = period.lost.join(", ");
                    self.report.push(format!("the time period '{}': not taken over: {lost}", telling.period));
                }
                if let Some(text) = period.text {
                    route["schedule"] = text.into();
                }
            }
            routes.push(route);
        }
        routes
    }

    fn period(&self, name: &str) -> Option<period::Schedule> {
        self.objects
            .of("timeperiod")
            .find(|period| period.get("timeperiod_name") == Some(name))
            .map(period::schedule)
    }
}

/// Nagios' units as ours.
fn seconds(interval: f64) -> String {
    format!("{}s", (interval * INTERVAL_LENGTH).round().max(1.0))
}
