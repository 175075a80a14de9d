//! Freezes a release: what runs is decided once, at deploy, and a rollback runs exactly that.
//!
//! Looks up the variables that the file only names, for their digests: their values go nowhere. Whether the program exists is found by the
//! platform, which can say more about it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use drivers::platform::discovered::is_name;
use model::fleet::HealthCheck;
use model::{Fault, Kind, Owner, Release, ReleaseId, Secret, Source, Variable, Version};

use super::command::fill_version;
use super::shape::{AppConfig, EnvironmentValue, HealthConfig};

impl AppConfig {
    /// The release that a deploy of `version` runs. Its secrets must be in our own environment.
    pub(crate) fn release(&self, id: ReleaseId, version: &Version) -> Result<Release, Fault> {
        self.release_with(id, version, |name| std::env::var_os(name))
    }

    /// The same with variables from elsewhere.
    pub(crate) fn release_with(
        &self,
        id: ReleaseId,
        version: &Version,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Release, Fault> {
        let fill = |text: &str| fill_version(text, version.as_str());
        let directory = absolute(&fill(&text_of(&self.directory)?))?;
        let frozen = |command: &[String]| {
            let mut command: Vec<String> = command.iter().map(|text| fill(text)).collect();
            if let Some(program) = command.first_mut().filter(|program| program.contains('/')) {
                *program = absolute(&text_of(&Path::new(&directory).join(&*program))?)?;
            }
            Ok::<_, Fault>(command)
        };
        let (command, checker) = (frozen(&self.command)?, frozen(&self.health.command)?);
        let mut environment = BTreeMap::new();
        for (name, value) in &self.environment {
            let value = match value {
                EnvironmentValue::Plain(text) => Variable::Plain(fill(text)),
                EnvironmentValue::From(from) => {
                    let value = variable(from).ok_or_else(|| unset(name, from))?;
                    let owner = Owner { app: &self.name, release: id.0, name };
                    Variable::Secret(Secret::new(owner, from, value.as_bytes()))
                }
            };
            environment.insert(name.clone(), value);
        }
        Ok(Release {
            app: self.name.clone(),
            id,
            version: version.clone(),
            command,
            directory,
            environment,
            health: check(&self.health, checker),
            stop_timeout_ms: ms(self.stop_timeout),
            source: self.source.as_ref().map(|source| found(source, fill)).transpose()?,
        })
    }
}

/// Where the instances of this version are found.
fn found(source: &Source, fill: impl Fn(&str) -> String) -> Result<Source, Fault> {
    let source = source.filled(fill);
    match &source {
        Source::Dns(zone) if !is_name(&zone.name) => {
            let what = format!("`{}` is no name in DNS", zone.name);
            Err(Fault::new(Kind::Usage, what)
                .help("ship a version whose name is made of letters, digits, `-` and `.`"))
        }
        _ => Ok(source),
    }
}

fn check(health: &HealthConfig, command: Vec<String>) -> HealthCheck {
    HealthCheck {
        path: health.path.clone(),
        command,
        interval_ms: ms(health.interval),
        timeout_ms: ms(health.timeout),
        rise: health.rise,
        fall: health.fall,
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn text_of(path: &Path) -> Result<String, Fault> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Fault::environment(format!("the path {} is not UTF-8", path.display()))
            .help("move the files to a path of plain letters")
    })
}

fn absolute(path: &str) -> Result<String, Fault> {
    let found = std::path::absolute(path)
        .map_err(|error| Fault::environment(format!("cannot make {path} absolute: {error}")))?;
    text_of(&found)
}

fn unset(name: &str, from: &str) -> Fault {
    Fault::environment(format!("the variable {from}, which `{name}` is taken from, is not set"))
        .help(format!("set {from} where `cutover up` is started, then start it again"))
}
