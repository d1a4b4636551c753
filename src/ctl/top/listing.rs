//! A list of rows as it is looked at: filter, order, marks, and the row that is chosen.

use std::collections::BTreeSet;

use super::data::TopData;
use super::screens::TopRow;
use crate::ctl::args::TopScreen;

/// See the module.
#[derive(Clone, Debug)]
pub struct TopListing {
    pub screen: TopScreen,
    pub filter: String,
    /// Only what is of this endpoint, from which one came here.
    pub of: Option<String>,
    /// The column, and whether the largest stands first.
    pub sorted: Option<(usize, bool)>,
    pub marked: BTreeSet<String>,
    /// The row that is chosen, which stays chosen where it moves; and its place, for when it goes.
    chosen: Option<String>,
    place: usize,
}

impl TopListing {
    pub fn new(screen: TopScreen) -> Self {
        let (filter, sorted) = (String::new(), screen.sorted_by());
        let marked = BTreeSet::new();
        Self { screen, filter, of: None, sorted, marked, chosen: None, place: 0 }
    }

    /// The rows that are shown, in their order.
    pub fn rows(&self, data: &TopData) -> Vec<TopRow> {
        let mut rows = self.screen.rows(data);
        rows.retain(|row| self.passes(row) && self.is_of(row));
        if let Some((column, is_descending)) = self.sorted {
            rows.sort_by(|a, b| {
                let order = a.cells.get(column).map(|cell| &cell.rank);
                let order = order.cmp(&b.cells.get(column).map(|cell| &cell.rank));
                if is_descending { order.reverse() } else { order }
            });
        }
        rows
    }

    fn passes(&self, row: &TopRow) -> bool {
        let (wanted, text) = match self.filter.strip_prefix('!') {
            Some(text) => (false, text),
            None => (true, self.filter.as_str()),
        };
        let text = text.to_lowercase();
        let has = row.cells.iter().any(|cell| cell.text.to_lowercase().contains(&text));
        text.is_empty() || has == wanted
    }

    /// Another endpoint may have this name in its own, or in its error.
    fn is_of(&self, row: &TopRow) -> bool {
        let Some(name) = &self.of else { return true };
        let column = self.screen.columns().iter().position(|column| column.title == "ENDPOINT");
        column.is_some_and(|column| row.cells.get(column).is_some_and(|cell| cell.text == *name))
    }

    /// The place of the chosen row.
    pub fn chosen(&self, rows: &[TopRow]) -> usize {
        let there =
            self.chosen.as_ref().and_then(|key| rows.iter().position(|row| row.key == *key));
        there.unwrap_or(self.place).min(rows.len().saturating_sub(1))
    }

    /// Chooses the row that is so far away.
    pub fn go(&mut self, rows: &[TopRow], by: isize) {
        self.place = self.chosen(rows).saturating_add_signed(by).min(rows.len().saturating_sub(1));
        self.chosen = rows.get(self.place).map(|row| row.key.clone());
    }

    /// What an action is about: the marked rows that are shown, or else the chosen one.
    pub fn subjects(&self, rows: &[TopRow]) -> Vec<String> {
        let marked = rows.iter().filter(|row| self.marked.contains(&row.key));
        let marked: Vec<String> = marked.map(|row| row.key.clone()).collect();
        match marked.is_empty() {
            true => rows.get(self.chosen(rows)).map(|row| row.key.clone()).into_iter().collect(),
            false => marked,
        }
    }

    pub fn mark_chosen(&mut self, rows: &[TopRow]) {
        if let Some(row) = rows.get(self.chosen(rows))
            && !self.marked.remove(&row.key)
        {
            self.marked.insert(row.key.clone());
        }
        self.go(rows, 1);
    }

    pub fn mark_all(&mut self, rows: &[TopRow]) {
        self.marked.extend(rows.iter().map(|row| row.key.clone()));
    }

    pub fn sort_next(&mut self) {
        let columns = self.screen.columns().len();
        let next = self.sorted.map_or(0, |(column, _)| (column + 1) % columns);
        // Of numbers the largest are looked for, of names the first.
        self.sorted = Some((next, self.screen.columns()[next].is_number));
    }

    pub fn sort_reverse(&mut self) {
        self.sorted = self.sorted.map(|(column, is_descending)| (column, !is_descending));
    }

    /// Sorts by the column of this title.
    ///
    /// # Errors
    /// Names the columns that there are.
    pub fn sort_by(&mut self, title: &str) -> Result<(), String> {
        let columns = self.screen.columns();
        let found = columns.iter().position(|column| column.title.eq_ignore_ascii_case(title));
        let Some(column) = found else {
            let titles: Vec<String> =
                columns.iter().map(|column| column.title.to_lowercase()).collect();
            return Err(format!("there is no column '{title}': use one of {}", titles.join(", ")));
        };
        self.sorted = Some((column, columns[column].is_number));
        Ok(())
    }
}
