//! Checks that watch the same share one spec, and the policy that follows from it: a fleet has many checks, and few
//! different ones.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use vilicus_core::{Millis, Policy};

use crate::inventory::{Check, CheckSpec};

/// So many specs are kept before it is looked whether checks still have them.
const FIRST_LOOK: usize = 1024;

/// The specs that checks share.
#[derive(Debug, Default)]
pub(crate) struct Specs {
    by_hash: HashMap<u64, Arc<CheckSpec>>,
    /// By the address of a spec in `by_hash`: what it means for the checks of agents with one interval or another.
    policies: HashMap<usize, Vec<(Millis, Arc<Policy>)>>,
    next_look: usize,
}

impl Specs {
    /// Gives a check the spec that others have already, when it is the same.
    pub(crate) fn share(&mut self, check: &mut Arc<Check>) {
        if self.policies.contains_key(&address(&check.spec)) {
            return;
        }
        let Some(hash) = hash_of(&check.spec) else { return };
        match self.by_hash.entry(hash) {
            // A different one with this hash would be a rare chance: then one check has a spec of its own.
            Entry::Occupied(known) if **known.get() == *check.spec => {
                Arc::make_mut(check).spec = Arc::clone(known.get());
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => {
                free.insert(Arc::clone(&check.spec));
                self.policies.insert(address(&check.spec), Vec::new());
                self.forget_unused();
            }
        }
    }

    /// The policy of checks with this spec, for agents with this interval.
    pub(crate) fn policy(&mut self, spec: &Arc<CheckSpec>, check_interval: Millis) -> Arc<Policy> {
        let Some(known) = self.policies.get_mut(&address(spec)) else {
            return Arc::new(spec.policy(check_interval));
        };
        if let Some((_, policy)) = known.iter().find(|(interval, _)| *interval == check_interval) {
            return Arc::clone(policy);
        }
        known.retain(|(_, policy)| Arc::strong_count(policy) > 1);
        let policy = Arc::new(spec.policy(check_interval));
        known.push((check_interval, Arc::clone(&policy)));
        policy
    }

    /// Now and then forgets the specs that no check has any more, and their policies.
    fn forget_unused(&mut self) {
        if self.by_hash.len() < self.next_look.max(FIRST_LOOK) {
            return;
        }
        let policies = &mut self.policies;
        self.by_hash.retain(|_, spec| {
            let is_used = Arc::strong_count(spec) > 1;
            if !is_used {
                policies.remove(&address(spec));
            }
            is_used
        });
        self.next_look = self.by_hash.len() * 2;
    }
}

/// Where a spec is: another one cannot be there while it is kept.
fn address(spec: &Arc<CheckSpec>) -> usize {
    Arc::as_ptr(spec).addr()
}

/// `None` for a spec that no encoding can hold, which is shared with none then.
fn hash_of(spec: &CheckSpec) -> Option<u64> {
    let bytes = postcard::to_allocvec(spec).ok()?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use vilicus_core::AgentId;

    fn check(path: &str) -> Arc<Check> {
        let spec = CheckSpec::new("disk", json!({ "path": path }));
        Arc::new(Check::new(AgentId::new(1).unwrap(), "disk", spec))
    }

    #[test]
    fn equal_specs_are_one_and_a_change_leaves_the_others_alone() {
        let mut specs = Specs::default();
        let (mut one, mut two, mut other) = (check("/"), check("/"), check("/home"));
        for check in [&mut one, &mut two, &mut other] {
            specs.share(check);
        }
        assert!(Arc::ptr_eq(&one.spec, &two.spec) && !Arc::ptr_eq(&one.spec, &other.spec));
        Arc::make_mut(&mut two).enabled = false;
        assert!(one.enabled && !two.enabled);
    }

    #[test]
    fn the_policy_of_a_spec_is_one_for_each_interval() {
        let mut specs = Specs::default();
        let (mut one, mut two) = (check("/"), check("/"));
        specs.share(&mut one);
        specs.share(&mut two);
        let [minute, hour] = [1, 60].map(Millis::from_minutes);
        let policy = specs.policy(&one.spec, minute);
        assert_eq!((policy.interval, specs.policy(&one.spec, hour).interval), (minute, hour));
        assert!(Arc::ptr_eq(&policy, &specs.policy(&two.spec, minute)));
        // What was not shared has one of its own.
        assert!(!Arc::ptr_eq(&policy, &specs.policy(&check("/").spec, minute)));
    }

    #[test]
    fn specs_of_no_check_are_forgotten() {
        let mut specs = Specs::default();
        for number in 0..3 * FIRST_LOOK {
            specs.share(&mut check(&number.to_string()));
        }
        assert!(specs.by_hash.len() <= FIRST_LOOK, "{}", specs.by_hash.len());
        assert_eq!(specs.policies.len(), specs.by_hash.len());
    }
}
