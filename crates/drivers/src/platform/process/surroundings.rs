//! The environment that instances are started from: what they inherit, and where secrets are.
//!
//! Everything is inherited but the variables reserved for other apps. A secret is looked up here
//! each time an instance is started and is written nowhere. This file starts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use model::{AppName, Fault, Release, Secret, Variable};

/// An environment, by default our own.
#[derive(Clone, Default)]
pub struct Surroundings {
    variables: BTreeMap<OsString, OsString>,
    reserved: BTreeMap<String, BTreeSet<AppName>>,
}

impl Surroundings {
    /// Our own environment as it is now.
    pub fn own() -> Self {
        Self::of(std::env::vars_os())
    }

    /// These variables.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self { variables: variables.into_iter().collect(), reserved: BTreeMap::new() }
    }

    /// The same with variables that only these apps inherit.
    #[must_use]
    pub fn reserving(mut self, reserved: BTreeMap<String, BTreeSet<AppName>>) -> Self {
        self.reserved = reserved;
        self
    }

    /// What an instance of a release has in its environment, but for what tells it apart from the
    /// others. A secret that is not there is a fault.
    pub(super) fn environment(
        &self,
        release: &Release,
    ) -> Result<BTreeMap<OsString, OsString>, Fault> {
        let inherited = self.variables.iter().filter(|(name, _)| self.inherits(release, name));
        let mut environment: BTreeMap<_, _> =
            inherited.map(|(name, value)| (name.clone(), value.clone())).collect();
        for (name, variable) in &release.environment {
            let value = match variable {
                Variable::Plain(text) => text.into(),
                Variable::Secret(secret) => {
                    self.value(secret).ok_or_else(|| unset(release, name, secret))?.to_owned()
                }
            };
            environment.insert(name.into(), value);
        }
        Ok(environment)
    }

    /// Where programs of a release are looked for.
    pub(super) fn path<'a>(&'a self, release: &'a Release) -> Option<&'a OsStr> {
        match release.environment.get("PATH") {
            Some(Variable::Plain(text)) => Some(text.as_ref()),
            Some(Variable::Secret(secret)) => self.value(secret),
            None => self.variables.get(OsStr::new("PATH")).map(OsString::as_os_str),
        }
    }

    /// In words, each secret that is another one than at the deploy.
    pub(super) fn rotated(&self, release: &Release) -> Vec<String> {
        let mut words = Vec::new();
        for (name, variable) in &release.environment {
            let Variable::Secret(secret) = variable else { continue };
            let owner = release.owner(name);
            if self.value(secret).is_some_and(|value| !secret.is(owner, value.as_bytes())) {
                words.push(format!(
                    "the variable {}, which {} is taken from, has changed since the deploy; \
                     instances started from now on get its present value",
                    secret.from,
                    place(release, name)
                ));
            }
        }
        words
    }

    fn value(&self, secret: &Secret) -> Option<&OsStr> {
        self.variables.get(OsStr::new(&secret.from)).map(OsString::as_os_str)
    }

    fn inherits(&self, release: &Release, name: &OsStr) -> bool {
        let apps = name.to_str().and_then(|name| self.reserved.get(name));
        apps.is_none_or(|apps| apps.contains(&release.app))
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.keys().collect();
        f.debug_struct("Surroundings")
            .field("names", &names)
            .field("reserved", &self.reserved)
            .finish()
    }
}

fn unset(release: &Release, name: &str, secret: &Secret) -> Fault {
    let from = &secret.from;
    let place = place(release, name);
    Fault::environment(format!("the variable {from}, which {place} is taken from, is not set"))
        .help(format!("set {from} where `cutover up` is started, then start it again"))
}

fn place(release: &Release, name: &str) -> String {
    format!("`{name}` of {} {} (release {})", release.app, release.version, release.id)
}
