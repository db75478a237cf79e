//! Tables: what was computed from figures, in rows of its own.

use serde_json::{Map, Value, json};

/// A table; its first column says what a row is about.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Words(String),
    Number(f64),
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self { title: title.into(), columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// For people: columns as wide as their widest cell.
    pub(crate) fn print(&self) {
        println!("\n{}", self.title);
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(Cell::text).collect()).collect();
        let header: Vec<String> = self.columns.iter().map(|name| (*name).to_owned()).collect();
        let width = |at: usize| {
            let cells = rows.iter().chain([&header]).filter_map(|row| row.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        for row in [&header].into_iter().chain(&rows) {
            let cells = row.iter().enumerate().map(|(at, cell)| format!("{cell:>width$}", width = width(at)));
            println!("  {}", cells.collect::<Vec<_>>().join("  "));
        }
    }

    /// For the rest.
    pub(crate) fn json(&self) -> Value {
        let row = |cells: &Vec<Cell>| {
            let named = self.columns.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), cell.json()));
            Value::Object(named.collect::<Map<_, _>>())
        };
        json!({"work": self.title, "rows": self.rows.iter().map(row).collect::<Vec<_>>()})
    }
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Self::Words(words) => words.clone(),
            Self::Number(value) => match value.abs() {
                size if size >= 1e6 => format!("{:.1} M", value / 1e6),
                size if size >= 100.0 || size.fract() == 0.0 => format!("{value:.0}"),
                size if size >= 9.95 => format!("{value:.1}"),
                _ => format!("{value:.2}"),
            },
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Words(words) => json!(words),
            Self::Number(value) => json!(value),
        }
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<u64> for Cell {
    fn from(value: u64) -> Self {
        Self::Number(value as f64)
    }
}

impl From<&str> for Cell {
    fn from(words: &str) -> Self {
        Self::Words(words.to_owned())
    }
}

impl From<String> for Cell {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}
