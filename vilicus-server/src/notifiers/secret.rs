//! A parameter that is read from the configuration and shown to nobody.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A password, token or key. `Debug` shows `***`, it can't be serialised, and no error about it repeats it.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The secret itself; for the one place that sends or uses it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(text.into())
    }

    // serde's own message would quote a number or a word that was meant as the secret.

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        Err(no_string())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(no_string())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        Err(no_string())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(no_string())
    }

    fn visit_unit<E: Error>(self) -> Result<Secret, E> {
        Err(no_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
        Err(no_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
        Err(no_string())
    }
}

fn no_string<E: Error>() -> E {
    E::custom("must be a string")
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "writeOnly": true})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_is_not_quoted() {
        for json in ["1234567", "[\"1234567\"]", "{\"1234567\": 1}", "true", "null"] {
            let error = serde_json::from_str::<Secret>(json).unwrap_err();
            assert!(error.to_string().starts_with("must be a string"), "{error}");
        }
        let secret: Secret = serde_json::from_str("\"x\"").unwrap();
        assert_eq!((secret.expose(), format!("{secret:?}").as_str()), ("x", "***"));
    }

    #[test]
    fn one_that_is_missing_is_said_to_be_missing() {
        #[derive(Debug, Deserialize)]
        struct Params {
            user: Secret,
        }
        let error = serde_json::from_str::<Params>("{}").map(|params| params.user).unwrap_err();
        assert!(error.to_string().contains("missing field `user`"), "{error}");
    }
}
