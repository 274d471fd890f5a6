//! Check kinds: a name, typed parameters with a JSON Schema, and a constructor; and the registry of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::check::Check;
use crate::params::{self, ParamsError};

/// A kind of check, as `disk` or `http`.
///
/// A parameter that holds a secret is marked with `#[schemars(extend("writeOnly" = true))]`: the server shows it to
/// nobody but the agent and admins.
///
/// ```
/// use std::sync::Arc;
/// use vilicus_core::{check, kind::MetricDescription, Check, CheckKind, KindRegistry, ParamsError};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct QueueParams {
///     /// The name of the queue.
///     queue: String,
/// }
///
/// #[derive(Debug)]
/// struct QueueKind;
///
/// impl CheckKind for QueueKind {
///     type Params = QueueParams;
///     fn name(&self) -> &'static str { "queue" }
///     fn description(&self) -> &'static str { "how many jobs wait in a queue" }
///     fn metrics(&self) -> &'static [MetricDescription] { &[] }
///     fn build(&self, params: QueueParams) -> Result<Arc<dyn Check>, ParamsError> {
///         if params.queue.is_empty() {
///             return Err(ParamsError::new("queue", "the name of the queue is empty"));
///         }
///         Ok(Arc::new(check::from_fn(|| async { true })))
///     }
/// }
///
/// let kinds = KindRegistry::new().with(QueueKind);
/// let check = kinds.build("queue", &serde_json::json!({"queue": "mail"}))?;
/// # Ok::<(), vilicus_core::kind::BuildError>(())
/// ```
pub trait CheckKind: fmt::Debug + Send + Sync + 'static {
    /// The parameters. Doc comments on the fields become descriptions in the schema.
    type Params: DeserializeOwned + JsonSchema;

    /// The name: lower case letters, digits and `_`.
    fn name(&self) -> &'static str;

    /// What it checks, in a few words.
    fn description(&self) -> &'static str;

    /// The metrics that its checks report.
    fn metrics(&self) -> &'static [MetricDescription];

    /// Makes a check of this kind.
    ///
    /// # Errors
    /// Parameters that can't work, each named with its mend.
    fn build(&self, params: Self::Params) -> Result<Arc<dyn Check>, ParamsError>;
}

/// What a metric of a kind means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct MetricDescription {
    /// Its name.
    pub name: &'static str,
    /// Its base unit: `s`, `B`, `%`, `c` or empty.
    pub unit: &'static str,
    /// What it says.
    pub description: &'static str,
}

/// A kind without its parameter type, so that many can stand in one registry.
trait ErasedKind: fmt::Debug + Send + Sync {
    fn describe(&self) -> KindDescription;
    fn build(&self, params: &Value) -> Result<Arc<dyn Check>, ParamsError>;
}

impl<K: CheckKind> ErasedKind for K {
    fn describe(&self) -> KindDescription {
        KindDescription {
            name: self.name(),
            description: self.description(),
            metrics: self.metrics(),
            params_schema: params::schema_of::<K::Params>(),
        }
    }

    fn build(&self, params: &Value) -> Result<Arc<dyn Check>, ParamsError> {
        CheckKind::build(self, params::parse(params)?)
    }
}

/// What is known of a kind.
#[derive(Debug, Clone, serde::Serialize)]
pub struct KindDescription {
    /// Its name.
    pub name: &'static str,
    /// What it checks.
    pub description: &'static str,
    /// What it measures.
    pub metrics: &'static [MetricDescription],
    /// The JSON Schema of its parameters.
    pub params_schema: Value,
}

/// No check could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No kind of this name is registered.
    #[error("unknown kind '{name}'{}", near.as_ref().map_or(String::new(), |near| format!("; did you mean '{near}'?")))]
    UnknownKind {
        /// The name that was asked for.
        name: String,
        /// The nearest registered name, if any is near.
        near: Option<String>,
    },
    /// The parameters do not fit the kind.
    #[error(transparent)]
    Params(#[from] ParamsError),
}

/// The kinds that a program knows.
#[derive(Debug, Clone, Default)]
pub struct KindRegistry {
    kinds: BTreeMap<&'static str, Arc<dyn ErasedKind>>,
}

impl KindRegistry {
    /// A registry of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same registry with one more kind; a kind of the same name is replaced.
    #[must_use]
    pub fn with<K: CheckKind>(mut self, kind: K) -> Self {
        self.kinds.insert(kind.name(), Arc::new(kind));
        self
    }

    /// The same registry without the kind of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.kinds.remove(name);
        self
    }

    /// Whether a kind of this name is registered.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.kinds.contains_key(name)
    }

    /// The names of all kinds, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.kinds.keys().copied()
    }

    /// What is known of the kind of this name.
    #[must_use]
    pub fn describe(&self, name: &str) -> Option<KindDescription> {
        self.kinds.get(name).map(|kind| kind.describe())
    }

    /// The names of the parameters of a kind that hold secrets: those whose schema says `writeOnly`.
    ///
    /// *Source:* <https://json-schema.org/draft/2020-12/json-schema-validation#name-readonly-and-writeonly>.
    #[must_use]
    pub fn secret_params(&self, name: &str) -> Vec<String> {
        let schema = self.describe(name).map(|kind| kind.params_schema).unwrap_or_default();
        let params = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        params
            .filter(|(_, schema)| schema.get("writeOnly") == Some(&Value::Bool(true)))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Makes a check.
    ///
    /// # Errors
    /// An unknown kind, or parameters that do not fit it.
    pub fn build(&self, name: &str, params: &Value) -> Result<Arc<dyn Check>, BuildError> {
        let Some(kind) = self.kinds.get(name) else {
            let near = params::nearest(name, self.names()).map(str::to_owned);
            return Err(BuildError::UnknownKind { name: name.chars().take(255).collect(), near });
        };
        Ok(kind.build(params)?)
    }
}
