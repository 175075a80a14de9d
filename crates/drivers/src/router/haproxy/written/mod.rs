//! A HAProxy configuration as it is written in its files: sections, what they inherit, settings.
//!
//! It reads what people write, also what this version of HAProxy would refuse; it neither resolves
//! variables nor obeys `.if`: the lines of all branches count. It judges nothing.

mod line;
mod read;
mod section;

pub(super) use read::read;
pub(super) use section::{Section, Setting, Sort};

/// All sections of all files, in the order in which HAProxy reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) sections: Vec<Section>,
}

/// What is said of a switch such as `option redispatch`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said<'a> {
    /// Nothing: HAProxy's own default holds.
    Nothing,
    /// `option X`.
    On,
    /// `no option X`.
    Off(&'a Setting),
}

impl Written {
    /// The section itself, then the defaults it takes what is missing from.
    pub(super) fn chain<'a>(&'a self, section: &'a Section) -> impl Iterator<Item = &'a Section> {
        std::iter::successors(Some(section), |one| self.sections.get(one.inherits?))
    }

    /// The setting that begins with these words and holds in a section: its own last one, else that
    /// of its nearest defaults.
    pub(super) fn setting<'a>(
        &'a self,
        section: &'a Section,
        words: &[&str],
    ) -> Option<&'a Setting> {
        self.chain(section).find_map(|one| one.settings.iter().rfind(|set| set.begins(words)))
    }

    /// All settings of this word that hold in a section, those of its defaults too.
    pub(super) fn all<'a>(&'a self, section: &'a Section, word: &str) -> Vec<&'a Setting> {
        let settings = self.chain(section).flat_map(|one| &one.settings);
        settings.filter(|set| set.begins(&[word])).collect()
    }

    /// What is said of `option NAME`.
    pub(super) fn option<'a>(&'a self, section: &'a Section, name: &str) -> Said<'a> {
        let about =
            |set: &&Setting| set.begins(&["option", name]) || set.begins(&["no", "option", name]);
        let said = self.chain(section).find_map(|one| one.settings.iter().rfind(about));
        match said {
            Some(set) if set.begins(&["no"]) => Said::Off(set),
            Some(_) => Said::On,
            None => Said::Nothing,
        }
    }

    /// Every setting of the global sections.
    pub(super) fn global(&self) -> impl Iterator<Item = &Setting> {
        let globals = self.sections.iter().filter(|one| one.sort == Sort::Global);
        globals.flat_map(|one| &one.settings)
    }
}
