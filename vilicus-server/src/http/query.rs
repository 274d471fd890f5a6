//! Which objects are wanted: the query of a URL as filters. A filter that nobody knows is refused by its name.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use http::request::Parts;
use vilicus_core::params::nearest;
use vilicus_core::{Millis, Timestamp};

use super::page::{Bounds, MAX_LIMIT};
use super::problem::Problem;

/// The query of a request. Handlers take what they know, then [`finish`](Query::finish) refuses the rest.
#[derive(Debug, Clone)]
pub struct Query {
    /// The path, for links to other pages.
    path: String,
    given: Vec<(String, String)>,
    known: Vec<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or("");
        let given = url::form_urlencoded::parse(query.as_bytes());
        let given: Vec<(String, String)> =
            given.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        if given.len() > MAX_FILTERS {
            return Err(Problem::bad_request(format!("more than {MAX_FILTERS} filters")));
        }
        Ok(Self { path: parts.uri.path().to_owned(), given, known: Vec::new() })
    }
}

/// The most filters of one request.
const MAX_FILTERS: usize = 1_000;

impl Query {
    /// The last value of this name.
    pub fn one(&mut self, name: &str) -> Option<String> {
        self.known.push(name.to_owned());
        self.given.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.clone())
    }

    /// Every value of this name.
    pub fn each(&mut self, name: &str) -> Vec<String> {
        self.known.push(name.to_owned());
        self.given.iter().filter(|(given, _)| given == name).map(|(_, value)| value.clone()).collect()
    }

    /// Every value of this name, and of `name__in`, whose values are joined with commas. `None` when neither is given.
    pub fn any(&mut self, name: &str) -> Option<Vec<String>> {
        let mut values = self.each(name);
        let joined = self.each(&format!("{name}__in"));
        let given = !values.is_empty() || !joined.is_empty();
        values.extend(joined.iter().flat_map(|list| list.split(',')).map(str::to_owned));
        given.then_some(values)
    }

    /// The value of this name, parsed.
    ///
    /// # Errors
    /// 400: it is not what this filter takes.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        self.one(name).map(|text| parse(name, &text)).transpose()
    }

    /// Every value of this name and of `name__in`, parsed.
    ///
    /// # Errors
    /// 400: one of them is not what this filter takes.
    pub fn any_parsed<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        name: &str,
    ) -> Result<Option<Vec<T>>, Problem> {
        self.any(name).map(|texts| texts.iter().map(|text| parse(name, text)).collect()).transpose()
    }

    /// A moment: RFC 3339, or milliseconds since 1970.
    ///
    /// # Errors
    /// 400: it is neither.
    pub fn moment(&mut self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.one(name) else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(millis) => Ok(Some(Timestamp::from_millis(millis))),
            // In a query an unescaped `+` of an offset has become a space.
            Err(_) => parse(name, &text.replace(' ', "+")).map(Some),
        }
    }

    /// How long an answer may be held (`?wait=`).
    ///
    /// # Errors
    /// 400: it is not a duration.
    pub fn wait(&mut self) -> Result<Option<Millis>, Problem> {
        self.parsed("wait")
    }

    /// `limit` and `offset`.
    ///
    /// # Errors
    /// 400: they are not whole numbers.
    pub fn bounds(&mut self) -> Result<Bounds, Problem> {
        let limit = self.limit()?;
        let offset = self.parsed("offset")?.unwrap_or(0);
        Ok(Bounds { limit, offset })
    }

    /// `limit`, at most [`MAX_LIMIT`]; 0 means that.
    ///
    /// # Errors
    /// 400: it is not a whole number.
    pub fn limit(&mut self) -> Result<Option<usize>, Problem> {
        let limit: Option<usize> = self.parsed("limit")?;
        Ok(limit.map(|limit| if limit == 0 { MAX_LIMIT } else { limit.min(MAX_LIMIT) }))
    }

    /// Refuses what nobody asked for.
    ///
    /// # Errors
    /// 400: names the first unknown filter, and the nearest known one.
    pub fn finish(&self) -> Result<(), Problem> {
        // Clients of the original system ask for the format; there is only one.
        let format = |name: &str, value: &str| name == "format" && value == "json";
        let unknown =
            self.given.iter().find(|(name, value)| !self.known.contains(name) && !format(name, value));
        let Some((name, _)) = unknown else { return Ok(()) };
        let shown: String = name.chars().take(60).collect();
        let known = || self.known.iter().map(String::as_str).filter(|name| !name.contains("__"));
        Err(Problem::bad_request(match nearest(&shown, known()) {
            Some(near) => format!("unknown filter {shown:?}; did you mean '{near}'?"),
            None => format!("unknown filter {shown:?}; known are {}", known().collect::<Vec<_>>().join(", ")),
        }))
    }

    /// A link to the same list with these values instead: a path with a query.
    #[must_use]
    pub fn link(&self, replaced: &[(&str, String)]) -> String {
        let kept = self.given.iter().filter(|(name, _)| !replaced.iter().any(|(other, _)| other == name));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept);
        query.extend_pairs(replaced.iter().map(|(name, value)| (name, value)));
        format!("{}?{}", self.path, query.finish())
    }
}

fn parse<T: FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| {
        let shown: String = text.chars().take(60).collect();
        Problem::bad_request(format!("the filter {name} does not take {shown:?}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn query(uri: &str) -> Query {
        let (mut parts, ()) = http::Request::builder().uri(uri).body(()).unwrap().into_parts();
        Query::from_request_parts(&mut parts, &()).await.unwrap()
    }

    #[tokio::test]
    async fn an_unknown_filter_is_named_with_the_nearest() {
        let mut query = query("/x/?agnet=1&limit=5").await;
        query.any("agent");
        query.bounds().unwrap();
        let problem = query.finish().unwrap_err();
        assert_eq!(
            (problem.status().as_u16(), problem.detail()),
            (400, r#"unknown filter "agnet"; did you mean 'agent'?"#)
        );
    }

    #[tokio::test]
    async fn limits_are_whole_numbers_and_bounded() {
        for (uri, expected) in [("/x/?limit=0", Some(1000)), ("/x/?limit=5000", Some(1000)), ("/x/", None)] {
            assert_eq!(query(uri).await.limit().unwrap(), expected);
        }
        for uri in [
            "/x/?limit=-1",
            "/x/?limit=ten",
            "/x/?offset=1.5",
            "/x/?offset=99999999999999999999",
            "/x/?limit=",
        ] {
            assert_eq!(query(uri).await.bounds().unwrap_err().status(), 400, "{uri}");
        }
    }

    #[tokio::test]
    async fn several_values_mean_any_of_them() {
        let mut query = query("/x/?kind=cpu&kind__in=disk,load").await;
        assert_eq!(query.any("kind").unwrap(), ["cpu", "disk", "load"]);
        assert_eq!(query.any("name"), None);
        assert!(query.finish().is_ok());
        assert_eq!(
            query.link(&[("offset", "100".to_owned())]),
            "/x/?kind=cpu&kind__in=disk%2Cload&offset=100"
        );
    }
}
