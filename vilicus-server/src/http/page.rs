//! Lists: `{"meta": …, "objects": […]}`, by offset for configuration and by cursor for what only grows.

use serde::Serialize;
use utoipa::ToSchema;
use vilicus_store::query::{Order, Page};

use super::problem::Problem;
use super::query::Query;

/// The objects of a page when nobody says.
pub const DEFAULT_LIMIT: usize = 100;
/// The most objects of a page.
pub const MAX_LIMIT: usize = 1_000;

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// At most so many; `None` when the caller did not say.
    pub limit: Option<usize>,
    /// So many are skipped.
    pub offset: usize,
}

impl Bounds {
    /// The page. `whole` is for an agent's own lists, which are never paged unless it asks.
    #[must_use]
    pub fn page(&self, whole: bool) -> Page {
        let limit = match self.limit {
            Some(limit) => limit,
            None if whole => usize::MAX,
            None => DEFAULT_LIMIT,
        };
        Page { offset: self.offset, limit }
    }
}

/// Where in a list we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Meta {
    /// The most objects of this page; 0 when the list is not paged.
    pub limit: usize,
    /// How many were skipped.
    pub offset: usize,
    /// How many there are in all; `null` for lists that only grow.
    pub total_count: Option<usize>,
    /// A path with a query to the next page, or `null`.
    pub next: Option<String>,
    /// A path with a query to the previous page, or `null`.
    pub previous: Option<String>,
}

impl Meta {
    /// The place of a page by offset.
    #[must_use]
    pub fn of_page(query: &Query, page: Page, total: usize) -> Self {
        let link = |offset: usize| {
            Some(query.link(&[("limit", page.limit.to_string()), ("offset", offset.to_string())]))
        };
        let end = page.offset.saturating_add(page.limit);
        Self {
            limit: if page.limit == usize::MAX { 0 } else { page.limit },
            offset: page.offset,
            total_count: Some(total),
            next: if end < total { link(end) } else { None },
            previous: if page.offset > 0 { link(page.offset.saturating_sub(page.limit)) } else { None },
        }
    }

    /// The place of a page by cursor: `next` is the cursor's name and value, when there may be more.
    #[must_use]
    pub fn of_cursor(query: &Query, limit: usize, next: Option<(&str, String)>) -> Self {
        let next = next.map(|cursor| query.link(&[("limit", limit.to_string()), cursor]));
        Self { limit, offset: 0, total_count: None, next, previous: None }
    }
}

/// Where to go on in a list that only grows: down from the newest or from `before`, or up from `after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Only what has a smaller id.
    pub before: Option<u64>,
    /// Only what has a larger id; 0 is before everything.
    pub after: Option<u64>,
    limit: usize,
}

impl Cursor {
    /// The place that the query names.
    ///
    /// # Errors
    /// 400: it is none.
    pub fn from_query(query: &mut Query) -> Result<Self, Problem> {
        let (before, after) = (query.parsed("before")?, query.parsed("after")?);
        Ok(Self { before, after, limit: query.limit()?.unwrap_or(DEFAULT_LIMIT) })
    }

    /// In which order the page is.
    #[must_use]
    pub fn order(&self) -> Order {
        if self.after.is_some() { Order::OldestFirst } else { Order::NewestFirst }
    }

    /// How many to ask for: one more than the page holds tells whether there is another page.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.limit + 1
    }

    /// Cuts off what is more than a page, and says where the next one begins.
    pub fn cut<T>(&self, query: &Query, rows: &mut Vec<T>, id: impl Fn(&T) -> u64) -> Meta {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let name = if self.after.is_some() { "after" } else { "before" };
        let next = rows.last().filter(|_| more).map(|last| (name, id(last).to_string()));
        Meta::of_cursor(query, self.limit, next)
    }
}

/// A list as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct List<T> {
    /// Where in the list we are.
    pub meta: Meta,
    /// The objects of this page.
    pub objects: Vec<T>,
}

/// The part of a list that is held in memory whole.
#[must_use]
pub fn slice<T>(objects: Vec<T>, page: Page) -> Vec<T> {
    objects.into_iter().skip(page.offset).take(page.limit).collect()
}
