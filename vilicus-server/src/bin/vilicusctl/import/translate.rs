//! Hosts become agents, services checks of the kind `command`, contacts channels, and who is told of a service a route.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::command::{self, Macros};
use super::objects::{Object, Objects};
use super::period;

/// How many seconds Nagios' intervals count in.
const INTERVAL_LENGTH: f64 = 60.0;
/// What the tags begin with of those who are told of a check, and of a host.
const TELLS: &str = "tells=";
const TELLS_OF_HOST: &str = "tells-down=";
/// What a service takes from its host when it does not say it itself.
const IMPLIED: [&str; 4] = ["contact_groups", "contacts", "notification_interval", "notification_period"];
/// The letters of the problems of a service, and our words for them.
const STATES: [(&str, &str); 3] = [("w", "warning"), ("c", "critical"), ("u", "unknown")];

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
    /// Whether it is of hosts that are down, and not of services.
    of_host: bool,
    whom: String,
    /// Of which problems; empty for all.
    states: Vec<&'static str>,
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
        let (groups, faults) = translator.members();
        translator.groups = groups;
        translator.report.extend(faults);
        translator.strangers();
        translator
    }

    /// The hosts of each group, as hosts and groups say it.
    fn members(&self) -> (BTreeMap<&'a str, BTreeSet<&'a str>>, Vec<String>) {
        let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut faults = Vec::new();
        for group in self.objects.of("hostgroup") {
            let Some(name) = group.get("hostgroup_name") else { continue };
            let (members, odd) = self.named(group, "members", self.hosts.keys().copied());
            faults.extend(odd);
            groups.entry(name).or_default().extend(members);
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
        (groups, faults)
    }

    /// Those of `all` that a list of names means, in which `!` takes away; and what is odd in it.
    fn named<'n>(
        &self,
        object: &Object,
        field: &str,
        all: impl Iterator<Item = &'n str> + Clone,
    ) -> (BTreeSet<&'n str>, Vec<String>) {
        let (mut wanted, mut unwanted, mut faults) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for entry in object.list(field) {
            let (set, name) = match entry.strip_prefix('!') {
                Some(name) => (&mut unwanted, name),
                None => (&mut wanted, entry),
            };
            match self.objects.matching.pattern(name) {
                Ok(pattern) => set.extend(all.clone().filter(|name| pattern.finds(name))),
                Err(fault) => faults.push(format!("{}: {field}: {fault}", object.place)),
            }
        }
        (&wanted - &unwanted, faults)
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
            let mut tags: Vec<String> = groups.map(|(group, _)| (*group).to_owned()).collect();
            tags.extend(self.tells(host, None));
            agents.push(json!({"name": name, "tags": tags}));
        }
        agents
    }

    /// The hosts that a service is for.
    fn hosts_of(&mut self, service: &Object) -> BTreeSet<&'a str> {
        let (mut hosts, faults) = self.named(service, "host_name", self.hosts.keys().copied());
        let (groups, odd) = self.named(service, "hostgroup_name", self.groups.keys().copied());
        self.report.extend(faults.into_iter().chain(odd));
        hosts.extend(groups.iter().flat_map(|group| self.groups[group].iter().copied()));
        // What one list takes away the other does not give back.
        let unwanted = |field| {
            let names = service.list(field).into_iter().filter_map(|entry| entry.strip_prefix('!'));
            names.filter_map(|name| self.objects.matching.pattern(name).ok()).collect::<Vec<_>>()
        };
        let (no_hosts, no_groups) = (unwanted("host_name"), unwanted("hostgroup_name"));
        let in_group = |host: &str| {
            let mut of = self.groups.iter().filter(|(_, hosts)| hosts.contains(host));
            of.any(|(group, _)| no_groups.iter().any(|pattern| pattern.finds(group)))
        };
        hosts.retain(|host| !no_hosts.iter().any(|pattern| pattern.finds(host)) && !in_group(host));
        hosts
    }

    fn checks(&mut self) -> Vec<Value> {
        let mut checks = Vec::new();
        let mut places: BTreeMap<(String, String), &str> = BTreeMap::new();
        // One that names its host stands before one that its group brings, as for Nagios.
        let objects = self.objects;
        let mut services: Vec<&Object> = objects.of("service").collect();
        services.sort_by_key(|service| service.get("host_name").is_none());
        for service in services {
            let Some(name) = service.get("service_description") else {
                self.leave(service, "a service without service_description");
                continue;
            };
            let hosts = self.hosts_of(service);
            if hosts.is_empty() {
                self.leave(service, &format!("the service '{name}' is for no host that is defined"));
            }
            self.unknown_to_us(service);
            // What fails for one host fails for most of a group: a line for all of them.
            let mut failed: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for host in hosts {
                match self.check(service, name, host) {
                    Ok(check) => {
                        let key = (host.to_owned(), check["name"].as_str().unwrap_or_default().to_owned());
                        match places.get(&key) {
                            Some(place) => {
                                failed.entry(format!("{place} says it already")).or_default().push(host)
                            }
                            None => {
                                places.insert(key, &service.place);
                                checks.push(check);
                            }
                        }
                    }
                    Err(why) => failed.entry(why).or_default().push(host),
                }
            }
            for (why, hosts) in failed {
                let of = match hosts.as_slice() {
                    [first, others @ ..] if !others.is_empty() => {
                        format!("{first} and {} more", others.len())
                    }
                    hosts => hosts.concat(),
                };
                self.leave(service, &format!("'{name}' of {of}: {why}"));
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
        if service.get("notifications_enabled") == Some("0") || wants_nothing(service) {
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
        let tags: Vec<String> = service
            .list("servicegroups")
            .into_iter()
            .map(str::to_owned)
            .chain(self.tells(service, self.hosts.get(host).copied()))
            .collect();
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

    /// The tag of those who are told of a service of this host, or of a host itself.
    fn tells(&mut self, object: &Object, host: Option<&Object>) -> Option<String> {
        // Whom a service names it names alone: those of its host are for services that name nobody.
        let names_someone = ["contact_groups", "contacts"].iter().any(|field| object.get(field).is_some());
        let said = |field: &str| {
            let implied = host.filter(|_| IMPLIED.contains(&field));
            let implied = implied.filter(|_| !(names_someone && field.starts_with("contact")));
            object.get(field).or_else(|| implied?.get(field)).unwrap_or_default()
        };
        let entries = ["contact_groups", "contacts"].into_iter().flat_map(|field| said(field).split(','));
        let mut whom: Vec<&str> = entries.map(str::trim).filter(|entry| !entry.is_empty()).collect();
        whom.sort_unstable();
        if whom.is_empty() || wants_nothing(object) {
            return None;
        }
        let telling = Telling {
            of_host: host.is_none(),
            whom: whom.join(","),
            states: if host.is_some() { states(object) } else { Vec::new() },
            period: said("notification_period").to_owned(),
            interval: said("notification_interval").to_owned(),
        };
        let next = self.tellings.len() + 1;
        let prefix = if telling.of_host { TELLS_OF_HOST } else { TELLS };
        let tag = self.tellings.entry(telling).or_insert_with(|| format!("{prefix}{next}"));
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
                "name": format!("{} ({tag})", telling.whom), "match": conditions(&telling, &tag), "channels": contacts,
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

/// Whether nobody is told of it.
fn wants_nothing(object: &Object) -> bool {
    object.list("notification_options") == ["n"]
}

/// The problems of which people are told; empty for all.
fn states(service: &Object) -> Vec<&'static str> {
    let options = service.list("notification_options");
    if options.is_empty() {
        return Vec::new();
    }
    let named = STATES.iter().filter(|(letter, _)| options.iter().any(|option| option.starts_with(letter)));
    let named: Vec<&str> = named.map(|(_, word)| *word).collect();
    if named.len() == STATES.len() { Vec::new() } else { named }
}

/// What a route of these asks of a problem. A host that is down has no check.
fn conditions(telling: &Telling, tag: &str) -> Vec<String> {
    let mut conditions = vec![format!("tag={tag}")];
    if telling.of_host {
        conditions.push("check=".to_owned());
    }
    if !telling.states.is_empty() {
        conditions.push(format!("status=~{}", telling.states.join("|")));
    }
    conditions
}

/// Nagios' units as ours.
fn seconds(interval: f64) -> String {
    format!("{}s", (interval * INTERVAL_LENGTH).round().max(1.0))
}

#[cfg(test)]
mod tests {
    use super::super::matching::Matching;
    use super::*;

    fn objects(is_true_regexp: bool) -> Objects {
        let matching = Matching { is_regexp: true, is_true_regexp };
        let host = |name, more: &[(&str, &str)]| {
            Object::of(
                "host",
                &[&[("host_name", name), ("contact_groups", "night"), ("notification_interval", "20")], more]
                    .concat(),
            )
        };
        let service = |name, more: &[(&str, &str)]| {
            Object::of(
                "service",
                &[&[("service_description", name), ("check_command", "ssh")], more].concat(),
            )
        };
        let all = vec![
            host("pdbs101.wh", &[]),
            host("padm22.dyn", &[("notification_options", "n")]),
            Object::of(
                "hostgroup",
                &[("hostgroup_name", "prod"), ("members", "^p(adm|dbs)[0-9]+.*(wh|dyn)$")],
            ),
            Object::of("command", &[("command_name", "ssh"), ("command_line", "/p/check_ssh $HOSTADDRESS$")]),
            Object::of("contact", &[("contact_name", "ann"), ("email", "ann@example.org")]),
            Object::of("contactgroup", &[("contactgroup_name", "night"), ("members", "ann")]),
            service("SSH", &[("hostgroup_name", "prod")]),
            service("Load", &[("host_name", "^p"), ("notification_options", "c,r"), ("contacts", "ann")]),
            service("Quiet", &[("hostgroup_name", "prod,!prod"), ("host_name", "pdbs101.wh")]),
            service("SSH", &[("host_name", "pdbs101.wh"), ("max_check_attempts", "7")]),
            service("Stats", &[("host_name", "pdbs101.wh"), ("notification_options", "n")]),
        ];
        Objects { all, matching, ..Objects::default() }
    }

    #[test]
    fn names_are_regular_expressions_and_hosts_lend_their_contacts() {
        let translation = Translation::of(&objects(true), "smtp://localhost", "vilicus@localhost");
        let made = &translation.configuration;
        let names = |kind: &str| -> Vec<String> {
            let name = |object: &Value| {
                format!(
                    "{}{}",
                    object["agent"].as_str().map_or_else(String::new, |agent| format!("{agent}/")),
                    object["name"].as_str().unwrap_or_default()
                )
            };
            made[kind].as_array().unwrap().iter().map(name).collect()
        };
        let checks =
            ["padm22.dyn/Load", "pdbs101.wh/Load", "pdbs101.wh/SSH", "pdbs101.wh/Stats", "padm22.dyn/SSH"];
        assert_eq!(names("check"), checks, "{:?}", translation.report);
        assert_eq!(made["check"][2]["max_attempts"], 7, "who names the host stands before its group");
        assert_eq!(made["check"][3]["notifications"], false, "nobody is told of it");
        let routes: Vec<Value> =
            made["route"].as_array().unwrap().iter().map(|route| route["match"].clone()).collect();
        assert!(routes.contains(&json!(["tag=tells-down=1", "check="])), "{routes:?}");
        assert!(routes.iter().any(|conditions| conditions[1] == "status=~critical"), "{routes:?}");
        assert_eq!(made["agent"][0]["tags"], json!(["prod"]), "nobody is told when it is down");
        assert_eq!(translation.report.len(), 2, "{:?}", translation.report);
        assert!(translation.report[1].contains("'SSH' of pdbs101.wh: test:1 says it already"));
        assert!(translation.report[0].contains("'Quiet' is for no host"), "{:?}", translation.report);
    }

    #[test]
    fn names_are_names_when_the_main_file_does_not_say_otherwise() {
        let mut objects = objects(false);
        objects.matching = Matching::default();
        let translation = Translation::of(&objects, "smtp://localhost", "vilicus@localhost");
        assert_eq!(
            translation.configuration["check"].as_array().unwrap().len(),
            3,
            "Quiet, SSH and Stats name their host"
        );
    }
}
