//! Lists in pages: how many rows, and after which.

use std::str::FromStr;

use serde::Serialize;

use crate::admin::http::params::RequestParams;
use crate::admin::http::problem::Problem;
use crate::admin::http::response::{ApiResponse, line};
use crate::model::{Seq, limits};

/// How many rows: `limits::PAGE` when nobody says. Lists stream, so that more costs time but no
/// memory.
pub fn limit(text: Option<String>) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(limits::PAGE) };
    let read = text.parse::<usize>().ok().filter(|n| *n > 0);
    read.ok_or_else(|| {
        Problem::bad(format!("'limit' (--limit): '{text}' must be a whole number from 1"))
    })
}

/// What a page of a list of the log continues after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After<T> {
    /// The last row of the page before.
    Row(T),
    /// This record, which a list names that stopped before the log's end. An id is no number.
    Record(Seq),
}

impl<T: FromStr> FromStr for After<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text.parse() {
            Ok(seq) => Ok(Self::Record(seq)),
            Err(_) => text.parse().map(Self::Row),
        }
    }
}

/// What the page continues after.
pub fn after<T>(params: &mut RequestParams) -> Result<Option<T>, Problem>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    let after = params.take("after").map(|text| text.parse()).transpose();
    after.map_err(|why| Problem::bad(format!("'after': {why}")))
}

/// A list that is in memory anyway, cut as the others are; all of it when no limit is given.
pub fn named_page<T: Serialize>(
    mut rows: Vec<(String, T)>,
    limit: Option<String>,
    after: Option<String>,
) -> Result<ApiResponse, Problem> {
    cut_to_page(&mut rows, |(name, _)| name, limit, after)?;
    Ok(ApiResponse::lines(rows.iter().map(|(_, row)| line(row))))
}

/// Leaves of such a list the rows of one page.
pub fn cut_to_page<T>(
    rows: &mut Vec<T>,
    name: impl Fn(&T) -> &str,
    limit: Option<String>,
    after: Option<String>,
) -> Result<(), Problem> {
    let limit = limit.map_or(Ok(rows.len().max(1)), |text| self::limit(Some(text)))?;
    if let Some(after) = after {
        let at = rows.iter().position(|row| name(row) == after);
        let at =
            at.ok_or_else(|| Problem::bad(format!("'after': there is no '{after}' in this list")))?;
        rows.drain(..=at);
    }
    rows.truncate(limit);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{After, limit};
    use crate::model::EventId;

    #[test]
    fn a_page_continues_after_a_row_or_a_record() {
        let id = EventId { seq: 7, tag: 9 };
        assert_eq!(id.to_string().parse(), Ok(After::Row(id)));
        assert_eq!("81234".parse::<After<EventId>>(), Ok(After::Record(81_234)));
        assert!("81x".parse::<After<EventId>>().is_err());
    }

    #[test]
    fn a_limit_is_a_number_from_1_up() {
        assert_eq!(limit(None), Ok(50));
        for text in ["0", "-1", "x", "1e3"] {
            assert!(limit(Some(text.into())).is_err(), "{text}");
        }
    }
}
