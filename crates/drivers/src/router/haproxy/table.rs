//! The tables of HAProxy's answers, read by the names of their columns.
//!
//! Columns move and are added between versions, their names stay. Pure: it asks nobody. Whatever
//! bytes come in, the result is a table or `None`.

use std::collections::BTreeMap;

/// Rows under named columns.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    columns: &'a [String],
    cells: &'a [String],
}

/// A row that may be changed.
#[derive(Debug)]
pub(super) struct Cells<'a> {
    columns: &'a [String],
    cells: &'a mut [String],
}

impl Cells<'_> {
    /// The cell in the column of that name; empty when there is no such column.
    pub(super) fn get(&self, column: &str) -> &str {
        Row { columns: self.columns, cells: self.cells }.get(column)
    }

    /// Replaces it, if there is such a column.
    pub(super) fn set(&mut self, column: &str, value: &str) {
        let at = self.columns.iter().position(|name| name == column);
        if let Some(cell) = at.and_then(|at| self.cells.get_mut(at)) {
            value.clone_into(cell);
        }
    }
}

impl Table {
    /// `show stat`: comma-separated, the header begins with `# `; quoted cells hold commas.
    pub(super) fn stat(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let header = lines.next()?.strip_prefix("# ")?;
        Self::new(commas(header), lines.filter(|line| !line.is_empty()).map(commas))
    }

    /// `show servers state`: a format number, then space-separated under a header with `# `.
    pub(super) fn state(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip_while(|line| !line.starts_with('#'));
        let header = lines.next()?.strip_prefix("# ")?;
        let words = |line: &str| line.split_ascii_whitespace().map(str::to_owned).collect();
        Self::new(words(header), lines.filter(|line| !line.trim().is_empty()).map(words))
    }

    fn new(columns: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Option<Self> {
        let rows: Vec<Vec<String>> = rows.collect();
        // A row that is short was cut off on its way.
        rows.iter().all(|row| row.len() >= columns.len()).then_some(Self { columns, rows })
    }

    /// The same table with each row as `change` leaves it; `false` takes it out.
    pub(super) fn changed(mut self, mut change: impl FnMut(&mut Cells<'_>) -> bool) -> Self {
        let columns = &self.columns;
        self.rows.retain_mut(|cells| change(&mut Cells { columns, cells }));
        self
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { columns: &self.columns, cells })
    }
}

impl<'a> Row<'a> {
    /// The cell in the column of that name; empty when there is no such column.
    pub(super) fn get(&self, column: &str) -> &'a str {
        let at = self.columns.iter().position(|name| name == column);
        at.and_then(|at| self.cells.get(at)).map_or("", String::as_str)
    }

    /// The same as a number; 0 for an empty cell, as HAProxy writes what does not apply. What no
    /// count reaches is cut, so that sums stay numbers.
    pub(super) fn number(&self, column: &str) -> u64 {
        self.get(column).parse().unwrap_or(0).min(1 << 48)
    }

    /// True when the table has this column.
    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }
}

/// `show info`: `Name: value` lines.
pub(super) fn info(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once(": ")).collect()
}

/// `show map FILE`: a pointer, a key and a value on each line. `None` when a line is something else.
pub(super) fn entries(text: &str) -> Option<Vec<(String, String)>> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (pointer, rest) = line.split_once(' ')?;
            let (key, value) = rest.split_once(' ')?;
            pointer.starts_with("0x").then(|| (key.to_owned(), value.trim_end().to_owned()))
        })
        .collect()
}

/// `show map`: the files of all maps.
pub(super) fn map_files(text: &str) -> Option<Vec<String>> {
    let mut lines = text.lines();
    lines.next()?.strip_prefix("# id ")?;
    let file = |line: &str| {
        let (_, rest) = line.split_once('(')?;
        Some(rest.split_once(") ")?.0.to_owned())
    };
    Some(lines.filter_map(file).filter(|file| !file.is_empty()).collect())
}

/// `show map`: the version of the map of this file that requests read.
pub(super) fn map_version(text: &str, file: &str) -> Option<u64> {
    let named = format!(" ({file}) ");
    let line = text.lines().find(|line| line.contains(&named))?;
    let words = line.split_ascii_whitespace();
    words.rev().find_map(|word| word.strip_prefix("curr_ver=")).and_then(|n| n.parse().ok())
}

/// `show proc` of a master: pids of the workers, the present one first. `None` when it is no master.
pub(super) fn workers(text: &str) -> Option<Vec<u32>> {
    text.trim_start().strip_prefix("#<PID>")?;
    // Old workers are listed after the present one, under a heading of their own.
    let (present, old) = text.split_at(text.find("# old workers").unwrap_or(text.len()));
    let present = workers_in(present);
    (!present.is_empty()).then(|| present.into_iter().chain(workers_in(old)).collect())
}

fn workers_in(text: &str) -> Vec<u32> {
    let pid = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let pid = fields.next()?.parse().ok()?;
        (fields.next()? == "worker").then_some(pid)
    };
    text.lines().filter_map(pid).collect()
}

fn commas(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cells.last_mut().into_iter().for_each(|cell| cell.push(c)),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::{Table, entries, info, map_files, map_version, workers};

    const STAT: &str = "# pxname,svname,scur,last_chk,check_status,\nb,i-1,3,\"a, b\",* L7OK,\n\n";

    #[test]
    fn cells_are_found_by_name_wherever_the_column_stands() {
        let moved = "# svname,check_status,pxname,new,scur,last_chk,\ni-1,* L7OK,b,x,3,\"a, b\",\n";
        for text in [STAT, moved] {
            let table = Table::stat(text).unwrap();
            let row = table.rows().next().unwrap();
            assert_eq!((row.get("svname"), row.number("scur")), ("i-1", 3));
            assert_eq!((row.get("last_chk"), row.get("check_status")), ("a, b", "* L7OK"));
            assert_eq!((row.get("none"), row.has("none")), ("", false));
        }
    }

    #[test]
    fn nothing_that_comes_in_panics_and_cut_tables_are_refused() {
        for cut in 0..STAT.len() {
            let _never_panics = (Table::stat(&STAT[..cut]), Table::state(&STAT[..cut]));
            let _never_panics = (info(&STAT[..cut]), entries(&STAT[..cut]), workers(&STAT[..cut]));
        }
        assert_eq!(Table::stat("# pxname,svname,scur\nb,i-1"), None);
        assert_eq!(entries("0x1 key"), None);
        assert_eq!(map_files("Unknown command"), None);
    }

    #[test]
    fn the_present_worker_comes_first() {
        let text = "#<PID> <type> <reloads>\n10 master 2\n# workers\n30 worker 0\n# old workers\n\
                    20 worker 1\n25 worker 2\n# programs\n\n";
        assert_eq!(workers(text), Some(vec![30, 20, 25]));
        assert_eq!(workers("Unknown command. Please enter one of"), None);
    }

    #[test]
    fn maps_are_listed_by_file() {
        let text = "# id (file) description\n0 (/d/a.map) pattern loaded\n-1 () inline\n\n";
        assert_eq!(map_files(text), Some(vec!["/d/a.map".to_owned()]));
        let text =
            "# id (file) description\n0 (/d/a.map) used. curr_ver=7 next_ver=9 entry_cnt=2\n";
        assert_eq!((map_version(text, "/d/a.map"), map_version(text, "/d/b.map")), (Some(7), None));
    }
}
