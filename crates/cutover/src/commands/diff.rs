//! What would change in a small text, line by line.
//!
//! Made for files of a few hundred lines: time and memory grow with the product of both lengths. It knows
//! nothing of what the lines mean.

/// Lines that go (`-`) and come (`+`), each run with the line before it; nothing when both are the
/// same.
pub(super) fn diff(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    // How many lines of the rests from here on are common.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let mut lines = Vec::new();
    let (mut i, mut j, mut kept) = (0, 0, None);
    while i < old.len() || j < new.len() {
        let same = i < old.len() && j < new.len() && old[i] == new[j];
        if same {
            kept = Some(old[i]);
            (i, j) = (i + 1, j + 1);
            continue;
        }
        if let Some(line) = kept.take() {
            lines.push(format!("      {line}\n"));
        }
        let goes = j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]);
        if goes {
            lines.push(format!("    - {}\n", old[i]));
            i += 1;
        } else {
            lines.push(format!("    + {}\n", new[j]));
            j += 1;
        }
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn only_what_changes_is_shown_and_the_line_before_it() {
        assert_eq!(diff("a\nb\n", "a\nb\n"), "");
        assert_eq!(
            diff("a\nb\nc\nd\n", "a\nB\nc\n"),
            "      a\n    - b\n    + B\n      c\n    - d\n"
        );
        assert_eq!(diff("", "x\n"), "    + x\n");
        assert_eq!(diff("one\n", "zero\none\n"), "    + zero\n");
    }
}
